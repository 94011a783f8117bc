/** Operands of passes over whole tensors: their channels, and the norm and activation applied as they are loaded. */
import { type ArrayView, wholeView } from "../emit/views.ts";
import type { WgslOperand, WgslTarget } from "../kernel.ts";

/** Element (of four channels) `block` of a voxel of a tensor of batch * voxels. */
export function elementOf(tensor: WgslOperand | WgslTarget, voxel: number, block: number): number {
  return voxel * (tensor.channelStride / 4) + tensor.channelOffset / 4 + block;
}

/** The same in a kernel. */
export function elementText(tensor: WgslOperand | WgslTarget, voxel: string, block: string): string {
  return `${voxel} * ${tensor.channelStride / 4}u + ${tensor.channelOffset / 4}u + ${block}`;
}

/** The norm table `<name>_norm` of an operand, if it has one. */
export function normViews(name: string, operand: WgslOperand): ArrayView[] {
  return operand.normSlot === undefined ? [] : [wholeView(`${name}_norm`, operand.normSlot, "vec4<f32>", "read")];
}

/** `normalise_<name>(value, sample, block)`: t = value * scale + shift, max(t, t * slope), or the value itself without a table. */
export function normaliseText(name: string, operand: WgslOperand): string {
  const stride = operand.channelStride / 4;
  const body = operand.normSlot === undefined
    ? "  return value;"
    : `  let at = sample * ${3 * stride}u + ${operand.channelOffset / 4}u + block;
  let t = fma(value, load_${name}_norm(at), load_${name}_norm(at + ${stride}u));
  return max(t, t * load_${name}_norm(at + ${2 * stride}u));`;
  return `fn normalise_${name}(value: vec4f, sample: u32, block: u32) -> vec4f {
${body}
}`;
}
