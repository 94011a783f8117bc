/** Where the small parameters of many dispatches lie in one buffer. */
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
import { BINDING_ALIGNMENT, type DeviceBuffer, roundUp } from "./buffers.ts";
import type { Commands } from "./commands.ts";
import { uniformBytes } from "./uniform_bytes.ts";

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
