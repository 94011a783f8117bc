/**
 * How V and M, the transformed tiles of a Winograd convolution, are stored between its dispatches: in 32 bits, or in blocks of 16.
 *
 * 16-bit floats would do for neither: F(4x4x4) makes 10 times as much of what rounding changes in V and M, and 20 times at a tile's worst
 * output, so that 11 bits are beyond what the self-test allows (tests/engine/gpu_self_test_test.ts tries it). A block of four channels in
 * 64 bits has 14 bits for each and one step for all, and a third of that error. It is made of bits and of sums that are exact but for one
 * rounding, so that devices, which may round 16-bit floats to either side, do not differ; and its range is so wide that nothing that
 * activations in 16 bits lead to is too large for it or too small. What is no number stays none: a loss scale's step is skipped by it.
 *
 * One step for four channels has a price: an output channel whose weights are a tenth or a hundredth of its neighbours' has 0.6 or 6 % of
 * error by root mean square, where f32 tiles leave 0.02 %. Of a prediction the first tile tells, whose
 * labels are compared with f32's and whose logits with the CPU's; of a training nothing does.
 */
import { wgsl } from "../emit/template.ts";
import type { ArrayView } from "../emit/views.ts";
import type { SlotLayout } from "../kernel.ts";

export interface TileStorage {
  /** In the names of kernels and ways. */
  readonly suffix: string;
  /** What four channels are stored as: in bindings, and in variables with their zero; and its bytes. */
  readonly element: ArrayView["element"];
  readonly zero: string;
  readonly bytes: number;
  /** Functions that `pack` and `unpack` use. */
  readonly functions: string;
  /** Expressions: what is stored of a vec4f, and back. */
  readonly pack: (value: string) => string;
  readonly unpack: (stored: string) => string;
  /** Instructions of both for four channels, as AMD's compiler makes them. */
  readonly packing: number;
  readonly unpacking: number;
}

/**
 * How tiles of these tensors may be stored, blocks only where all of them have 16 bits themselves. Images have 32: one channel may be a
 * thousand times another, which would be lost beside it in a block.
 */
export const storagesOf = (...tensors: readonly { readonly layout: SlotLayout }[]): readonly TileStorage[] =>
  tensors.every(({ layout }) => layout.type === "f16") ? [BLOCKS, WHOLE] : [WHOLE];

export const WHOLE: TileStorage = {
  suffix: "",
  element: "vec4<f32>",
  zero: "vec4f(0.0)",
  bytes: 16,
  functions: "",
  pack: (value) => value,
  unpack: (stored) => stored,
  packing: 0,
  unpacking: 0,
};

/** The steps are the f32 whose bits above the 21st are FIRST_STEP + code: 2^-36 times 1, 1.25, 1.5, 1.75, 2, ... up to 1.5 * 2^27. */
const FIRST_STEP = 364;
/** The code of a block with an infinity, NaN or what is too large, all of which comes back as NaN: the bits above the 21st of that. */
const NO_NUMBER_CODE = 255;
const NO_NUMBER_STEP = 0x7fc00000 >> 21;
/** 2^13 in the count of these bits, less one: to the first step of which a number is less than 8192 times. */
const TO_LARGEST = 13 * 4 - 1;
/** 2^23 + 2^13: added to a multiple of the step it leaves, rounded, what is stored in the last bits of an f32. */
const ROUNDING = 8396800;

export const BLOCKS: TileStorage = {
  suffix: " in 16 bits",
  element: "vec2<u32>",
  zero: "vec2u(0x80002000u)",
  bytes: 8,
  functions: wgsl`
/// Four multiples of a step, 14 bits each above -8192, and 8 bits for the step.
fn pack_block(value: vec4f) -> vec2u {
  let bits = bitcast<vec4u>(value) & vec4u(0x7fffffffu);
  // A little more, so that rounding up has room.
  let largest = (max(max(bits.x, bits.y), max(bits.z, bits.w)) + 1024u) >> 21u;
  let code = clamp(largest, ${FIRST_STEP + TO_LARGEST}u, ${FIRST_STEP + TO_LARGEST + NO_NUMBER_CODE}u) - ${
    FIRST_STEP + TO_LARGEST
  }u;
  let inverse = 1.0 / bitcast<f32>((code + ${FIRST_STEP}u) << 21u);
  let m = bitcast<vec4u>(fma(value, vec4f(inverse), vec4f(${ROUNDING}.0)));
  return (m.yw << vec2u(18u)) | (vec2u(code & 15u, code >> 4u) << vec2u(14u)) | (m.xz & vec2u(0x3fffu));
}

fn unpack_block(block: vec2u) -> vec4f {
  let code = (block >> vec2u(14u)) & vec2u(15u);
  let of_step = code.x | (code.y << 4u);
  let step = bitcast<f32>(select(of_step + ${FIRST_STEP}u, ${NO_NUMBER_STEP}u, of_step == ${NO_NUMBER_CODE}u) << 21u);
  let low = block & vec2u(0x3fffu);
  let high = block >> vec2u(18u);
  // 2^23 and more: what is stored is the last bits of these f32.
  return (bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y) | vec4u(0x4b000000u)) - vec4f(${ROUNDING}.0)) * step;
}
`,
  pack: (value) => `pack_block(${value})`,
  unpack: (stored) => `unpack_block(${stored})`,
  packing: 25,
  unpacking: 23,
};
