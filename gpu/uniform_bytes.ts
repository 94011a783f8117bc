/** The small parameters of a dispatch as bytes. */
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
import { roundUp } from "./buffers.ts";

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
