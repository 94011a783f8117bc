/**
 * The loss of one output on a GPU: see kernels/operators/training/loss.ts. What softmax needs of each voxel is found with the target at the
 * output's resolution. A target value is its row of the membership table, or -1. What differs from output to output is in the uniforms.
 */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { type ArrayView, wholeView } from "../emit/views.ts";
import { cutRanges, walkedSegment } from "../emit/ranges.ts";
import { dispatchOf, f32Literal, kernelHeader, threadKernel, threadMain, u32 } from "../emit/thread_kernel.ts";
import type { WgslDispatch, WgslOperator } from "../kernel.ts";
import { wgsl } from "../emit/template.ts";
import { lossCost, lossName, type TargetLabels, topKOfLoss } from "../../operators/training/loss.ts";
import { topCount, type TopKLoss } from "../../operators/training/top_k.ts";
import { totalText, totalUniforms } from "./loss_total.ts";
import { LOSS_QUANTITIES, type LossShape, type LossSums } from "./loss_spec.ts";
import { planTopK, planTopRounds, type ShareTopK, type TopK } from "./top_k.ts";
import { planChunkSums, planSumTotals, sumsBytes } from "./sums.ts";
import { type TensorRange, voxelView, voxelWalk } from "./tensors.ts";

/** Each sample's labels lie in whole words. */
export interface LossTarget extends LossShape, TargetLabels {
  /** u32: source planes, rows and columns of the target's (see nearestExact). */
  readonly axesSlot: string;
}

/** Words of a sample's labels. */
export const labelWords = (grid: Vec3) => Math.ceil(voxelCount(grid) / 2);

const cost = (spec: LossShape) => lossCost(spec, spec.logits.channels);

const logitText = ({ logits }: LossShape) => `load_logits(voxel * ${logits.channelStride / 4}u + block)`;

/** `mask_of(block)`: which lanes of a block are channels. */
const maskText = ({ logits: { channels } }: LossShape) =>
  wgsl`
fn mask_of(block: u32) -> vec4<bool> {
  return vec4u(block * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(${channels}u);
}`;

/** `smoothed`: the target of the block, of its membership `g`. */
const smoothText = ({ labelSmoothing }: TopKLoss, { logits: { channels } }: LossShape) =>
  wgsl`
let spread = select(vec4f(0.0), vec4f(${f32Literal(labelSmoothing / channels)}), mask_of(block));
let smoothed = fma(g, vec4f(${f32Literal(1 - labelSmoothing)}), spread);`;

/** A voxel per thread, four at a time of the logits' segments. */
function voxelRanges({ batch, grid, logits }: LossShape, others: readonly TensorRange[] = []) {
  return cutRanges(batch * voxelCount(grid), [logits, ...others].map((tensor) => voxelWalk(tensor, 1)));
}

/** The label map at an output's resolution, and what softmax needs of every voxel. */
export function planLossTarget(spec: LossTarget): WgslOperator {
  const { grid, labelGrid, logits } = spec;
  const voxels = voxelCount(grid);
  const padded = logits.channelStride / 4;
  const ignored = spec.ignoreLabel === undefined ? "" : `if (label == ${spec.ignoreLabel}) { row = -1; }`;
  const softmax = spec.regions ? "" : wgsl`
var largest = -3.0e38;
var predicted = 0u;
for (var channel = 0u; channel < ${logits.channels}u; channel++) {
  let value = load_logits(voxel * ${padded}u + channel / 4u)[channel % 4u];
  if (value > largest) { largest = value; predicted = channel; }
}
var sum = 0.0;
for (var block = 0u; block < ${padToFour(logits.channels) / 4}u; block++) {
  let e = select(vec4f(0.0), exp(${logitText(spec)} - largest), mask_of(block));
  sum += e.x + e.y + e.z + e.w;
}
store_softmax(voxel * 2u, largest + log(sum));
store_softmax(voxel * 2u + 1u, f32(predicted));
${spec.topK ? entropyText(spec, spec.topK) : ""}`;
  const dispatches = voxelRanges(spec).map((range): WgslDispatch => {
    const views: ArrayView[] = [
      wholeView("labels", spec.labelSlot, "u32", "read"),
      wholeView("axes", spec.axesSlot, "u32", "read"),
      wholeView("targets", spec.targetSlot, "u32", "read_write"),
      ...(spec.regions ? [] : [
        wholeView("softmax", spec.softmaxSlot, "f32", "read_write"),
        voxelView("logits", logits, "read", [range.start, range.end - 1]),
      ]),
      ...(spec.topK
        ? [
          wholeView("membership", spec.membershipSlot, "vec4<f32>", "read"),
          wholeView("entropies", spec.topK.entropiesSlot, "u32", "read_write"),
        ]
        : []),
    ];
    const text = wgsl`
${maskText(spec)}

${threadMain("voxel")}
  let sample = voxel / p.voxels;
  let within = voxel % p.voxels;
  let line = within / p.columns;
  let z = load_axes(line / p.rows);
  let y = load_axes(p.planes + line % p.rows);
  let x = load_axes(p.planes + p.rows + within % p.columns);
  let at = (z * ${labelGrid[1]}u + y) * ${labelGrid[2]}u + x;
  let word = load_labels(sample * ${labelWords(labelGrid)}u + at / 2u);
  let label = extractBits(bitcast<i32>(word), at % 2u * 16u, 16u);
  var row = select(${spec.labels}, label, label >= 0 && label < ${spec.labels});
  ${ignored}
  store_targets(voxel, bitcast<u32>(row));
  ${softmax}
}
`;
    const [planes, rows, columns] = grid.map(u32);
    return threadKernel("loss target", views, range, text, { voxels: u32(voxels), planes, rows, columns });
  });
  return { algorithm: "target downsampling", dispatches, temporaries: {}, ...cost(spec) };
}

/** The voxel's cross-entropy: never less than zero but for rounding, whose bits would not be in order. */
const entropyText = (spec: LossShape, topK: TopKLoss) =>
  wgsl`
var own = 0.0;
if (row >= 0) {
  for (var block = 0u; block < ${padToFour(spec.logits.channels) / 4}u; block++) {
    ${blockText(spec)}
    ${smoothText(topK, spec)}
    own += dot(smoothed, z - vec4f(largest));
  }
}
store_entropies(voxel, select(0u, bitcast<u32>(log(sum) - own) & 0x7fffffffu, row >= 0));`;

/** What the kernels over voxels read. */
function lossViews(spec: LossShape, voxels: readonly [number, number]): ArrayView[] {
  return [
    voxelView("logits", spec.logits, "read", voxels),
    wholeView("targets", spec.targetSlot, "u32", "read"),
    wholeView("membership", spec.membershipSlot, "vec4<f32>", "read"),
    ...(spec.regions ? [] : [wholeView("softmax", spec.softmaxSlot, "f32", "read")]),
  ];
}

/** `row` of the voxel (an i32), and `z` and `g` of its block. */
const rowText = "let row = bitcast<i32>(load_targets(voxel));";
const blockText = (spec: LossShape) =>
  wgsl`
let z = ${logitText(spec)};
let g = load_membership(u32(row) * ${padToFour(spec.logits.channels) / 4}u + block);`;

/** `probability`, and with regions `decay` = exp(-|z|). */
const probabilityText = ({ regions }: LossShape) =>
  regions
    ? wgsl`
let decay = exp(-abs(z));
let probability = select(decay, vec4f(1.0), z >= vec4f(0.0)) / (vec4f(1.0) + decay);`
    : "let probability = exp(z - log_sum);";

const PARTS = "loss parts";
const TOTALS = "loss totals";

/** Sums over the voxels, the loss, and the coefficients of its gradient. */
export function planLossSums(spec: LossSums): WgslOperator {
  const { topK } = spec;
  // With TopK the cross-entropy is added to the Dice afterwards.
  const dice = topK ? { ...spec, crossEntropyWeight: 0 } : spec;
  const { parts, totals } = sumsBytes(sumsShape(spec));
  const operator: WgslOperator = {
    algorithm: lossName(spec),
    dispatches: [...sumDispatches(spec, TOTALS), totalDispatch(dice, TOTALS)],
    temporaries: { [PARTS]: parts, [TOTALS]: totals },
    ...cost(spec),
  };
  if (!topK) return operator;
  const { optionsSlot, resultIndex } = spec;
  const top = planTopK({ ...topKOfLoss(spec, topK), optionsSlot, resultIndex });
  return {
    algorithm: operator.algorithm,
    dispatches: [...operator.dispatches, ...top.dispatches],
    temporaries: { ...operator.temporaries, ...top.temporaries },
    flops: operator.flops + top.flops,
    bytes: operator.bytes + top.bytes,
  };
}

const sumsShape = ({ batch, grid, logits }: LossShape) => ({
  batch,
  voxels: voxelCount(grid),
  blocks: padToFour(logits.channels) / 4,
  quantities: LOSS_QUANTITIES,
});

/** Of a sample. */
export const lossSumFloats = (channels: number): number => LOSS_QUANTITIES * padToFour(channels);

/** Of a share of a batch: the sums of its samples, f32 [sample][quantity][padded]. */
export function planShareSums(spec: LossSums & { readonly sumsSlot: string }): WgslOperator {
  return {
    algorithm: lossName(spec),
    dispatches: sumDispatches(spec, spec.sumsSlot),
    temporaries: { [PARTS]: sumsBytes(sumsShape(spec)).parts },
    ...cost(spec),
  };
}

/** The loss and the coefficients of its gradient, of the sums of all samples. */
export function planShareTotal(spec: LossSums & { readonly sumsSlot: string }): WgslOperator {
  const { share, sumsSlot, topK } = spec;
  // With TopK the cross-entropy is added to the Dice afterwards.
  const crossEntropyWeight = topK ? 0 : spec.crossEntropyWeight;
  const dispatch = totalDispatch({ ...spec, crossEntropyWeight, batch: share?.of ?? spec.batch }, sumsSlot);
  return { algorithm: lossName(spec), dispatches: [dispatch], temporaries: {}, flops: 0, bytes: 0 };
}

/** Of a share of a batch: the largest cross-entropies of the whole one, in rounds. @throws RangeError without a share or TopK */
export function planShareTop(spec: LossSums & Omit<ShareTopK, keyof TopK | "rows">): WgslOperator[] {
  const { topK, share, optionsSlot, resultIndex } = spec;
  if (!topK || !share) throw new RangeError("Planning the largest cross-entropies of a share: there is no such loss");
  const k = topCount(share.of * voxelCount(spec.grid), topK.percent);
  const { stateSlot, countsSlot, allCountsSlot, sumSlot, allSumsSlot } = spec;
  const slots = { stateSlot, countsSlot, allCountsSlot, sumSlot, allSumsSlot };
  return planTopRounds({ ...topKOfLoss(spec, topK), k, optionsSlot, resultIndex, ...slots, rows: share.of });
}

/** Sums over the voxels of each sample. */
function sumDispatches(spec: LossSums, totalsSlot: string): WgslDispatch[] {
  const { regions, limits, topK } = spec;
  const shape = sumsShape(spec);
  const entropy = topK
    ? "vec4f(0.0)"
    : regions
    ? "max(z, vec4f(0.0)) - z * g + log(vec4f(1.0) + decay)"
    : "g * (vec4f(log_sum) - z)";
  const sums = planChunkSums({
    ...shape,
    name: "loss",
    limits,
    partsSlot: PARTS,
    viewsOf: (voxels) => lossViews(spec, voxels),
    body: wgsl`
${rowText}
if (row < 0) { continue; }
${regions ? "" : "let log_sum = load_softmax(voxel * 2u);"}
${blockText(spec)}
${probabilityText(spec)}
sum_0 = fma(probability, g, sum_0);
sum_1 += probability;
sum_2 += g;
sum_3 += ${entropy};
sum_4 += vec4f(1.0);`,
  });
  return [...sums, planSumTotals({ ...shape, partsSlot: PARTS, totalsSlot })];
}

/** The loss of the samples' sums, and the coefficients of its gradient. */
function totalDispatch(spec: LossSums, totalsSlot: string): WgslDispatch {
  const header = kernelHeader(
    [
      wholeView("totals", totalsSlot, "f32", "read"),
      wholeView("options", spec.optionsSlot, "f32", "read"),
      wholeView("coefficients", spec.coefficientsSlot, "f32", "read_write"),
      wholeView("results", spec.resultSlot, "f32", "read_write"),
    ],
    { start: 0, end: 1 },
    totalUniforms(spec),
  );
  const code = totalText(header.text, spec, padToFour(spec.logits.channels));
  return dispatchOf("loss total", header, [1, 1, 1], code);
}

/** dL/dlogits; padding lanes become zero. A thread: a voxel. */
export function planLossGradient(
  spec: LossShape & { readonly coefficientsSlot: string; readonly gradient: TensorRange },
): WgslOperator {
  const { batch: own, logits, gradient, topK, share } = spec;
  const blocks = padToFour(logits.channels) / 4;
  const batch = share?.of ?? own;
  // Of the whole batch.
  const sample = "voxel / p.voxels";
  const place = share ? `(${sample} + ${share.first}u)` : sample;
  const [entropy, goal] = topK
    ? ["vec4f(load_entropies(voxel))", "smoothed"]
    : [`load_coefficients(${2 * batch * blocks}u)`, "g"];
  const each = (body: string) =>
    wgsl`
for (var block = 0u; block < ${blocks}u; block++) {
  ${body}
}`;
  const load = wgsl`
${blockText(spec)}
${probabilityText(spec)}
let d = fma(load_coefficients(table + block), g, load_coefficients(table + ${blocks}u + block));`;
  const store = (value: string) => `store_gradient(voxel * ${gradient.channelStride / 4}u + block, ${value});`;
  const dice = spec.regions ? "d * probability * (vec4f(1.0) - probability)" : "probability * (d - vec4f(inner))";
  const dispatches = voxelRanges(spec, [gradient]).map((range) => {
    const voxels = [range.start, range.end - 1] as const;
    const views = [
      ...lossViews(spec, voxels),
      wholeView("coefficients", spec.coefficientsSlot, "vec4<f32>", "read"),
      ...(topK ? [wholeView("entropies", topK.entropiesSlot, "f32", "read")] : []),
      {
        ...voxelView("gradient", gradient, "read_write", voxels),
        segments: walkedSegment(voxelWalk(gradient, 1), range),
      },
    ];
    const code = wgsl`
${maskText(spec)}

${threadMain("voxel")}
  ${rowText}
  if (row < 0) {
    ${each(store("vec4f(0.0)"))}
    return;
  }
  let table = ${place} * ${2 * blocks}u;
  let entropy = ${entropy};
  ${
      spec.regions ? "" : wgsl`
let log_sum = load_softmax(voxel * 2u);
var inner = 0.0;
${each(`${load}\ninner += dot(probability, d);`)}`
    }
  ${
      each(
        `${load}\n${topK ? smoothText(topK, spec) : ""}\nlet value = fma(entropy, probability - ${goal}, ${dice});\n${
          store("select(vec4f(0.0), value, mask_of(block))")
        }`,
      )
    }
}
`;
    return threadKernel("loss gradient", views, range, code, { voxels: u32(voxelCount(spec.grid)) });
  });
  return { algorithm: "loss backward", dispatches, temporaries: {}, ...cost(spec) };
}

/** Counts per channel: true positives, false positives, false negatives. */
const COUNT_QUANTITIES = 3;

/** Bytes of the counts: see {@link planLossCounts}. */
export const countBytes = (spec: Pick<LossShape, "batch" | "grid"> & { readonly channels: number }) =>
  sumsBytes({
    batch: spec.batch,
    voxels: voxelCount(spec.grid),
    blocks: padToFour(spec.channels) / 4,
    quantities: COUNT_QUANTITIES,
  }).parts;

/** Voxels by channel that are predicted and true, predicted alone, true alone: f32 parts [...][3][padded channels], whole numbers. */
export function planLossCounts(spec: LossShape & { readonly countsSlot: string }): WgslOperator {
  const { batch, limits, regions } = spec;
  const blocks = padToFour(spec.logits.channels) / 4;
  const predicted = regions
    ? "select(vec4f(0.0), vec4f(1.0), z > vec4f(0.0))"
    : "select(vec4f(0.0), vec4f(1.0), vec4f(load_softmax(voxel * 2u + 1u)) == " +
      "vec4f(f32(block * 4u)) + vec4f(0.0, 1.0, 2.0, 3.0))";
  return {
    algorithm: "counts",
    dispatches: planChunkSums({
      name: "counts",
      batch,
      voxels: voxelCount(spec.grid),
      blocks,
      quantities: COUNT_QUANTITIES,
      limits,
      viewsOf: (voxels) => lossViews(spec, voxels),
      body: wgsl`
${rowText}
if (row < 0) { continue; }
${blockText(spec)}
let predicted = ${predicted};
sum_0 += predicted * g;
sum_1 += predicted * (vec4f(1.0) - g);
sum_2 += (vec4f(1.0) - predicted) * g;`,
      partsSlot: spec.countsSlot,
    }),
    temporaries: {},
    ...cost(spec),
  };
}
