/** The small parameters of dispatches as bytes, and where those of many dispatches lie in one buffer. */
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
import { BINDING_ALIGNMENT, type DeviceBuffer, roundUp } from "./buffers.ts";
import type { Commands } from "./commands.ts";

/** Bytes of the uniform block as kernels see it. @throws RangeError if a value does not fit its type. */
export function uniformBytes(uniforms: NonNullable<WgslDispatch["uniforms"]>): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(roundUp(uniforms.length * 4, 16)));
  uniforms.forEach(({ type, value }, i) => {
    if (type === "f32") return view.setFloat32(i * 4, value, true);
    const [least, most] = type === "u32" ? [0, 2 ** 32 - 1] : [-(2 ** 31), 2 ** 31 - 1];
    if (!(Number.isInteger(value) && value >= least && value <= most)) {
      throw new RangeError(`Writing a kernel's uniforms: value ${i} is ${value}, which is no ${type}`);
    }
    view.setUint32(i * 4, value, true);
  });
  return new Uint8Array(view.buffer);
}

/** Bytes of all dispatches' uniforms, each where a binding may begin. */
export function uniformBytesOf(dispatches: readonly WgslDispatch[]): number {
  return dispatches.reduce((sum, { uniforms }) => sum + roundUp((uniforms?.length ?? 0) * 4, BINDING_ALIGNMENT), 0);
}

/** Writes all dispatches' uniforms, which never change; returns their places, in order. */
export function writeUniforms(
  commands: Commands,
  dispatches: readonly WgslDispatch[],
  buffer: DeviceBuffer,
): number[] {
  const all = new Uint8Array(uniformBytesOf(dispatches));
  let end = 0;
  const offsets = dispatches.map(({ uniforms }) => {
    const offset = end;
    if (!uniforms) return offset;
    const bytes = uniformBytes(uniforms);
    all.set(bytes, offset);
    end = roundUp(offset + bytes.length, BINDING_ALIGNMENT);
    return offset;
  });
  if (end > 0) commands.write({ buffer, offset: 0, bytes: end }, all.subarray(0, end));
  return offsets;
}
