/** Backward of instance norm and leaky ReLU on a GPU: see kernels/operators/training/norm.ts. */
import { normBackwardCost, type NormBackwardOf } from "../../operators/training/norm.ts";
import type { ConvLimits } from "../conv/problem.ts";
import { cutRanges, walkedSegment } from "../emit/ranges.ts";
import { f32, threadKernel, threadMain, u32, type Uniform } from "../emit/thread_kernel.ts";
import { wholeView } from "../emit/views.ts";
import { SCALAR_BYTES, type WgslDispatch, type WgslOperator } from "../kernel.ts";
import { wgsl } from "../emit/template.ts";
import { type PerSample, planChunkSums, planSumsFinish, sumsBytes } from "./sums.ts";
import { blocksOf, type TensorRange, voxelView, voxelWalk } from "./tensors.ts";

export interface NormBackward extends NormBackwardOf<TensorRange> {
  readonly limits: ConvLimits;
}

const PARTS = "norm backward parts";
/** Sums of d, the bias' gradient, and of d times the normalised value, the weight's. */
const QUANTITIES = 2;
/** f32 [batch][2][padded]: dL/dx = scale * d + factor * x + constant. */
const COEFFICIENTS = "norm backward coefficients";

export function planNormBackward(spec: NormBackward): WgslOperator {
  const { batch, voxels, gradient } = spec;
  const blocks = blocksOf(gradient);
  return {
    algorithm: "norm backward",
    dispatches: [...sumsOf(spec, blocks), finishOf(spec, blocks, coefficientsOf(spec)), ...apply(spec, blocks)],
    temporaries: {
      [PARTS]: sumsBytes({ batch, voxels, blocks, quantities: QUANTITIES }).parts,
      [COEFFICIENTS]: batch * 2 * blocks * 16,
    },
    ...costOf(spec),
  };
}

/** Of a share of a batch, to whose norm the batch is one sample: the sums, f32 [2][padded], and the parameters' gradients. */
export function planNormSums(spec: NormBackward & { readonly sumsSlot: string }): WgslOperator {
  const { batch, voxels, gradient, sumsSlot } = spec;
  const blocks = blocksOf(gradient);
  const finish = finishOf(spec, blocks, {
    views: [wholeView("own", sumsSlot, "vec4<f32>", "read_write")],
    uniforms: {},
    body: wgsl`
let at = sample * 2u * p.blocks + block;
store_own(at, total_0);
store_own(at + p.blocks, total_1);`,
  });
  return {
    algorithm: "norm backward, its sums",
    dispatches: [...sumsOf(spec, blocks), finish],
    temporaries: { [PARTS]: sumsBytes({ batch, voxels, blocks, quantities: QUANTITIES }).parts },
    ...costOf(spec),
  };
}

/** What follows from the sums of all shares, f32 [rows][2][padded], which are of `of` voxels. */
export function planNormApply(
  spec: NormBackward & { readonly sumsSlot: string; readonly rows: number; readonly of: number },
): WgslOperator {
  const { sumsSlot, rows, of } = spec;
  const blocks = blocksOf(spec.gradient);
  const views = [wholeView("sums", sumsSlot, "vec4<f32>", "read"), ...coefficientViews(spec)];
  const text = wgsl`
${threadMain("block")}
  let sample = 0u;
  var total_0 = vec4f(0.0);
  var total_1 = vec4f(0.0);
  for (var row = 0u; row < p.rows; row++) {
    total_0 += load_sums(row * 2u * p.blocks + block);
    total_1 += load_sums((row * 2u + 1u) * p.blocks + block);
  }
  ${COEFFICIENT_TEXT}
}
`;
  const uniforms = { ...coefficientUniforms(spec, of), blocks: u32(blocks), rows: u32(rows) };
  const coefficients = threadKernel("backward of batch moments", views, { start: 0, end: blocks }, text, uniforms);
  return {
    algorithm: "norm backward",
    dispatches: [coefficients, ...apply(spec, blocks)],
    temporaries: { [COEFFICIENTS]: 2 * blocks * 16 },
    flops: 0,
    bytes: 0,
  };
}

const costOf = (spec: NormBackward) =>
  normBackwardCost(spec, {
    stored: SCALAR_BYTES[spec.stored.layout.type],
    gradient: SCALAR_BYTES[spec.gradient.layout.type],
  });

/** Where what the kernels read lies, in vec4. */
const placeUniforms = ({ stored, gradient, totalChannels, channelOffset }: NormBackward): Record<string, Uniform> => ({
  norm_stride: u32(totalChannels / 4),
  norm_offset: u32(channelOffset / 4),
  stored_stride: u32(stored.channelStride / 4),
  stored_offset: u32(stored.channelOffset / 4),
  gradient_stride: u32(gradient.channelStride / 4),
  gradient_offset: u32(gradient.channelOffset / 4),
});

/** The norm's row of a sample: scale at `norm`, shift and slope behind it. */
const TABLE_TEXT = `let norm = sample * 3u * p.norm_stride + p.norm_offset + block;
let scale = load_norm(norm);
let shift = load_norm(norm + p.norm_stride);
let slope = load_norm(norm + 2u * p.norm_stride);`;

/** `x` and `d` of a voxel's block. */
const ELEMENT_TEXT = `let x = load_stored(voxel * p.stored_stride + p.stored_offset + block);
let at = voxel * p.gradient_stride + p.gradient_offset + block;
let d = load_gradient(at) * select(slope, vec4f(1.0), fma(x, scale, shift) > vec4f(0.0));`;

function sumsOf(spec: NormBackward, blocks: number): WgslDispatch[] {
  return planChunkSums({
    name: "norm backward",
    batch: spec.batch,
    voxels: spec.voxels,
    blocks,
    quantities: QUANTITIES,
    limits: spec.limits,
    viewsOf: (voxels) => [
      voxelView("stored", spec.stored, "read", voxels),
      voxelView("gradient", spec.gradient, "read", voxels),
      wholeView("norm", spec.normSlot, "vec4<f32>", "read"),
      wholeView("unit", spec.unitNormSlot, "vec4<f32>", "read"),
    ],
    uniforms: placeUniforms(spec),
    setup: wgsl`
${TABLE_TEXT}
let unit = sample * 3u * p.blocks + block;
let unit_scale = load_unit(unit);
let unit_shift = load_unit(unit + p.blocks);`,
    body: wgsl`
${ELEMENT_TEXT}
sum_0 += d;
sum_1 = fma(d, fma(x, unit_scale, unit_shift), sum_1);`,
    partsSlot: PARTS,
  });
}

/** The gradients of the norm's parameters, and what follows from a sample's sums. */
function finishOf(spec: NormBackward, blocks: number, perSample: PerSample): WgslDispatch {
  const { batch, voxels, gradient: { channels }, weightGradientSlot, biasGradientSlot } = spec;
  return planSumsFinish({
    name: "norm backward",
    batch,
    voxels,
    blocks,
    quantities: QUANTITIES,
    channels,
    partsSlot: PARTS,
    gradientSlots: [biasGradientSlot, weightGradientSlot],
    perSample,
  });
}

const coefficientsOf = (spec: NormBackward): PerSample => ({
  views: coefficientViews(spec),
  uniforms: coefficientUniforms(spec, spec.voxels),
  body: COEFFICIENT_TEXT,
});

const coefficientViews = ({ normSlot, unitNormSlot }: NormBackward) => [
  wholeView("norm", normSlot, "vec4<f32>", "read"),
  wholeView("unit", unitNormSlot, "vec4<f32>", "read"),
  wholeView("coefficients", COEFFICIENTS, "vec4<f32>", "read_write"),
];

/** @param voxels Whose sums they are */
const coefficientUniforms = (spec: NormBackward, voxels: number) => ({
  ...placeUniforms(spec),
  share: f32(1 / voxels),
});

const COEFFICIENT_TEXT = wgsl`
let scale = load_norm(sample * 3u * p.norm_stride + p.norm_offset + block);
let unit = sample * 3u * p.blocks + block;
let coefficient = sample * 2u * p.blocks + block;
let mean = total_0 * p.share;
let product = total_1 * p.share;
store_coefficients(coefficient, -scale * product * load_unit(unit));
store_coefficients(coefficient + p.blocks, -scale * fma(product, load_unit(unit + p.blocks), mean));`;

function apply(spec: NormBackward, blocks: number): WgslDispatch[] {
  const { stored, gradient } = spec;
  const walks = { stored: voxelWalk(stored, blocks), gradient: voxelWalk(gradient, blocks) };
  return cutRanges(spec.batch * spec.voxels * blocks, Object.values(walks)).map((range) => {
    const voxels = [Math.floor(range.start / blocks), Math.floor((range.end - 1) / blocks)] as const;
    const views = [
      { ...voxelView("stored", stored, "read", voxels), segments: walkedSegment(walks.stored, range) },
      { ...voxelView("gradient", gradient, "read_write", voxels), segments: walkedSegment(walks.gradient, range) },
      wholeView("norm", spec.normSlot, "vec4<f32>", "read"),
      wholeView("coefficients", COEFFICIENTS, "vec4<f32>", "read"),
    ];
    // What is divided by is in the text: with a division of any two numbers it would be slower than memory.
    const code = wgsl`
${threadMain("thread")}
  let voxel = thread / ${blocks}u;
  let block = thread % ${blocks}u;
  let sample = voxel / ${spec.voxels}u;
  ${TABLE_TEXT}
  ${ELEMENT_TEXT}
  let coefficient = sample * ${2 * blocks}u + block;
  let constant = load_coefficients(coefficient + ${blocks}u);
  store_gradient(at, fma(scale, d, fma(load_coefficients(coefficient), x, constant)));
}
`;
    return threadKernel("norm backward", views, range, code, placeUniforms(spec));
  });
}
