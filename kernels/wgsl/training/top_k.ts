/**
 * The largest values on a GPU: see kernels/operators/training/top_k.ts. Counts are whole numbers, so that atomics give the same on every run.
 */
import { TOP_BINS, TOP_SHIFTS, topKCost, type TopKProblem } from "../../operators/training/top_k.ts";
import { dispatchOf, f32Literal, kernelHeader, threadKernel, threadMain, u32 } from "../emit/thread_kernel.ts";
import type { ThreadRange } from "../emit/ranges.ts";
import { wholeView } from "../emit/views.ts";
import type { WgslDispatch, WgslOperator } from "../kernel.ts";
import { meetHalves, wgsl } from "../emit/template.ts";
import { OPTION } from "./optimizer.ts";

/** The shares are times the loss scale. */
export interface TopK extends TopKProblem {
  readonly optionsSlot: string;
  /** Which f32 of the result slot is its. */
  readonly resultIndex: number;
}

/** The fewest values of a workgroup, and about the most workgroups. */
const [LEAST_VALUES, MOST_GROUPS] = [4096, 256];

/** u32 [groups][TOP_BINS]. */
const COUNTS = "top values' counts";
/** u32: bits of the k-th largest value as far as known, how many of the values that have them count, how many do have them. */
const STATE = "top values' state";
/** f32 [groups]: sums of the values above the k-th. */
const SUMS = "top values' sums";

export function planTopK(spec: TopK): WgslOperator {
  const cut = cutOf(spec);
  const { groups } = cut;
  return {
    algorithm: "largest values by their bytes",
    dispatches: [
      ...TOP_SHIFTS.flatMap((shift) => [
        histogramDispatch(spec, OWN, { ...cut, shift }),
        choiceDispatch(spec, OWN, groups, shift),
      ]),
      sharesDispatch(spec, OWN, cut),
      totalDispatch(spec, OWN, groups),
    ],
    temporaries: { [COUNTS]: groups * TOP_BINS * 4, [STATE]: 16, [SUMS]: Math.max(16, groups * 4) },
    ...topKCost(spec.count),
  };
}

/** Where counts, state and sums lie. */
interface Slots {
  readonly counts: string;
  readonly state: string;
  readonly sums: string;
}

const OWN: Slots = { counts: COUNTS, state: STATE, sums: SUMS };

/** Values of a share of a batch, of whose values the k largest are wanted. */
export interface ShareTopK extends TopK {
  readonly stateSlot: string;
  /** u32 [TOP_BINS] of this share, and [rows][TOP_BINS] of all. */
  readonly countsSlot: string;
  readonly allCountsSlot: string;
  /** f32 of this share, and [rows] of all. */
  readonly sumSlot: string;
  readonly allSumsSlot: string;
  readonly rows: number;
}

/** Bytes of the state between rounds, and counts that shares tell each other. */
export const TOP_STATE_BYTES = 16;
export const TOP_COUNTS = TOP_BINS;

/** As {@link planTopK}, in rounds between which the shares' counts, and before the last one their sums, have to be gathered. */
export function planTopRounds(spec: ShareTopK): WgslOperator[] {
  const cut = cutOf(spec);
  const { groups } = cut;
  const own: Slots = { counts: COUNTS, state: spec.stateSlot, sums: SUMS };
  const all: Slots = { counts: spec.allCountsSlot, state: spec.stateSlot, sums: spec.allSumsSlot };
  const count = (shift: number) => [
    histogramDispatch(spec, own, { ...cut, shift }),
    addGroups("u32", { source: COUNTS, target: spec.countsSlot, groups, length: TOP_BINS }),
  ];
  const choose = (shift: number) => choiceDispatch(spec, all, spec.rows, shift);
  const shares = [
    sharesDispatch(spec, own, cut),
    addGroups("f32", { source: SUMS, target: spec.sumSlot, groups, length: 1 }),
  ];
  const rounds = [
    count(TOP_SHIFTS[0]),
    ...TOP_SHIFTS.map((
      shift,
      i,
    ) => [choose(shift), ...(i + 1 < TOP_SHIFTS.length ? count(TOP_SHIFTS[i + 1]) : shares)]),
    [totalDispatch(spec, all, spec.rows)],
  ];
  const temporaries = { [COUNTS]: groups * TOP_BINS * 4, [SUMS]: Math.max(16, groups * 4) };
  const { flops, bytes } = topKCost(spec.count);
  const cost = { flops: flops / rounds.length, bytes: bytes / rounds.length };
  return rounds.map((dispatches) => ({ algorithm: "largest values by their bytes", dispatches, temporaries, ...cost }));
}

/** Adds up [groups][length] numbers. */
function addGroups(
  type: "u32" | "f32",
  { source, target, groups, length }: {
    readonly source: string;
    readonly target: string;
    readonly groups: number;
    readonly length: number;
  },
): WgslDispatch {
  const views = [wholeView("parts", source, type, "read"), wholeView("sums", target, type, "read_write")];
  const text = wgsl`
${threadMain("thread")}
  var sum = ${type}(0);
  for (var group = 0u; group < p.groups; group++) { sum += load_parts(group * p.row + thread); }
  store_sums(thread, sum);
}
`;
  const uniforms = { groups: u32(groups), row: u32(length) };
  return threadKernel("top values' groups", views, { start: 0, end: length }, text, uniforms);
}

function cutOf({ count }: TopK): Cut {
  const length = Math.max(LEAST_VALUES, Math.ceil(count / MOST_GROUPS / TOP_BINS) * TOP_BINS);
  return { range: { start: 0, end: count }, length, groups: Math.ceil(count / length) };
}

interface Cut {
  readonly range: ThreadRange;
  /** Values of a workgroup, and how many workgroups there are. */
  readonly length: number;
  readonly groups: number;
}

const walkText = (length: number) =>
  `let end = min(p.end, (group.x + 1u) * ${length}u);
for (var i = group.x * ${length}u + lane; i < end; i += ${TOP_BINS}u)`;

const MAIN = `@compute @workgroup_size(${TOP_BINS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {`;

/** How often each value of the next byte is among the values whose bytes above are known. */
function histogramDispatch(
  spec: TopK,
  slots: Slots,
  { range, length, groups, shift }: Cut & { readonly shift: number },
) {
  const header = kernelHeader(
    [
      wholeView("values", spec.valuesSlot, "u32", "read"),
      wholeView("state", slots.state, "u32", "read"),
      wholeView("counts", slots.counts, "u32", "read_write"),
    ],
    range,
    { shift: u32(shift), known: u32(shift === TOP_SHIFTS[0] ? 0 : 1) },
  );
  const code = wgsl`
${header.text}

var<workgroup> bins: array<atomic<u32>, ${TOP_BINS}>;

${MAIN}
  atomicStore(&bins[lane], 0u);
  workgroupBarrier();
  let above = select(0u, (load_state(0u) >> p.shift) >> 8u, p.known == 1u);
  ${walkText(length)} {
    let bits = load_values(i) >> p.shift;
    if ((bits >> 8u) == above) { atomicAdd(&bins[bits & 255u], 1u); }
  }
  workgroupBarrier();
  store_counts(group.x * ${TOP_BINS}u + lane, atomicLoad(&bins[lane]));
}
`;
  const workgroups = [groups, 1, 1] as const;
  return dispatchOf("top values' histogram", header, workgroups, code);
}

/** The byte of the k-th largest value. */
function choiceDispatch(spec: TopK, slots: Slots, groups: number, shift: number): WgslDispatch {
  const header = kernelHeader(
    [
      wholeView("counts", slots.counts, "u32", "read"),
      wholeView("state", slots.state, "u32", "read_write"),
    ],
    { start: 0, end: groups },
    { shift: u32(shift), known: u32(shift === TOP_SHIFTS[0] ? 0 : 1) },
  );
  const code = wgsl`
${header.text}

var<workgroup> bins: array<u32, ${TOP_BINS}>;

@compute @workgroup_size(${TOP_BINS})
fn main(@builtin(local_invocation_index) lane: u32) {
  var count = 0u;
  for (var i = 0u; i < p.end; i++) { count += load_counts(i * ${TOP_BINS}u + lane); }
  bins[lane] = count;
  workgroupBarrier();
  if (lane > 0u) { return; }
  var left = ${spec.k}u;
  var bits = 0u;
  if (p.known == 1u) {
    bits = load_state(0u);
    left = load_state(1u);
  }
  var bin = ${TOP_BINS - 1}u;
  while (bin > 0u && bins[bin] < left) {
    left -= bins[bin];
    bin--;
  }
  store_state(0u, bits | (bin << p.shift));
  store_state(1u, left);
  store_state(2u, bins[bin]);
}
`;
  return dispatchOf("top values' choice", header, [1, 1, 1], code);
}

function sharesDispatch(spec: TopK, slots: Slots, { range, length, groups }: Cut): WgslDispatch {
  const header = kernelHeader([
    wholeView("values", spec.valuesSlot, "u32", "read_write"),
    wholeView("state", slots.state, "u32", "read"),
    wholeView("options", spec.optionsSlot, "f32", "read"),
    wholeView("sums", slots.sums, "f32", "read_write"),
  ], range);
  const code = wgsl`
${header.text}

var<workgroup> halves: array<f32, ${TOP_BINS}>;

${MAIN}
  let least = load_state(0u);
  let weight = ${f32Literal(spec.weight / spec.k)} * load_options(${OPTION.lossScale}u);
  let tied = weight * (f32(load_state(1u)) / f32(load_state(2u)));
  var sum = 0.0;
  ${walkText(length)} {
    let bits = load_values(i);
    var share = 0.0;
    if (bits == least) { share = tied; }
    if (bits > least) {
      share = weight;
      sum += bitcast<f32>(bits);
    }
    store_values(i, bitcast<u32>(share));
  }
  halves[lane] = sum;
  workgroupBarrier();
  ${meetHalves(TOP_BINS)}
  if (lane == 0u) { store_sums(group.x, halves[0]); }
}
`;
  return dispatchOf("top values' shares", header, [groups, 1, 1], code);
}

/** The mean, added to the result. */
function totalDispatch(spec: TopK, slots: Slots, groups: number): WgslDispatch {
  const header = kernelHeader([
    wholeView("sums", slots.sums, "f32", "read"),
    wholeView("state", slots.state, "u32", "read"),
    wholeView("results", spec.resultSlot, "f32", "read_write"),
  ], { start: 0, end: groups });
  const code = wgsl`
${header.text}

@compute @workgroup_size(1)
fn main() {
  var sum = bitcast<f32>(load_state(0u)) * f32(load_state(1u));
  for (var i = 0u; i < p.end; i++) { sum += load_sums(i); }
  let before = load_results(${spec.resultIndex}u);
  store_results(${spec.resultIndex}u, fma(sum, ${f32Literal(spec.weight / spec.k)}, before));
}
`;
  return dispatchOf("top values' mean", header, [1, 1, 1], code);
}
