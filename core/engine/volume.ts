/**
 * The port's operators around a network: what each is asked for, and the checks that every engine makes of a call before it enqueues
 * anything.
 */
import { type Vec3, voxelCount } from "../base/shape.ts";
import { ensure, ensureLength } from "./checks.ts";
import type { Program, TensorHandle } from "./engine.ts";

/** A grid of voxels inside a flat tensor: element of voxel (a, b, c) = offset + a*strides[0] + b*strides[1] + c*strides[2]. */
export interface GridView {
  readonly offset: number;
  readonly strides: Vec3;
}

/** One sample of a patch gather: where its corner lies in the volume (may be outside: zeros there) and what is flipped. */
export interface PatchPlacement {
  readonly origin: Vec3;
  readonly mirror: readonly [boolean, boolean, boolean];
}

export interface GatherPatches {
  /** Image (channels, z, y, x), f32, contiguous. */
  readonly volume: TensorHandle<"f32">;
  readonly channels: number;
  readonly grid: Vec3;
  /** The cascade's previous stage on the same grid; one 0/1 channel per label follows the image channels. */
  readonly labelMap?: { readonly labels: TensorHandle<"i16">; readonly oneHot: readonly number[] };
  /** One entry a sample, at most the program's batch; samples of the batch beyond them are left as they are. */
  readonly patches: readonly PatchPlacement[];
  readonly program: Program;
}

/**
 * Logits being summed, streamed along one axis of the volume. Channels last: element of plane s, row u, column v, channel c =
 * (((s mod planes) * rows + u) * columns + v) * channelStride + c. `weightSums` has one element a voxel, the same order.
 */
export interface LogitRing {
  readonly logits: TensorHandle<"f32">;
  readonly weightSums: TensorHandle<"f32">;
  /** One element, which becomes 1 if a logit that {@link VolumeCalls.finishPlanes} divides is NaN or infinite; then nothing sets it back. */
  readonly nonFinite?: TensorHandle<"f32">;
  readonly channels: number;
  /** Elements from voxel to voxel: padToFour(channels), or {@link VolumeCalls.ringStride}. */
  readonly channelStride: number;
  /** Planes kept at a time. */
  readonly planes: number;
  readonly rows: number;
  readonly columns: number;
  /** Volume axes (of z, y, x) that planes, rows and columns run along: a permutation of 0, 1, 2. */
  readonly axes: Vec3;
  /** Planes of the whole volume along axes[0]. */
  readonly depth: number;
}

export interface AccumulatePatch {
  readonly program: Program;
  /** Which sample of the program's output. */
  readonly sample: number;
  /** Where the patch lies in the volume, and how its input was flipped; parts outside the volume are dropped. */
  readonly placement: PatchPlacement;
  /** Importance map of the patch (z, y, x). */
  readonly importance: TensorHandle<"f32">;
  /** Factor on the logits, 1 / number of mirrorings. */
  readonly scale: number;
  /** True where the importance is added to `weightSums` too (once per tile: not for each mirroring or fold). */
  readonly addWeight: boolean;
  readonly ring: LogitRing;
}

/** A 1-D linear resampling as a table: out[j] = in[first[j]] * (1 - fraction[j]) + in[second[j]] * fraction[j]. */
export interface AxisTable {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly fraction: Float32Array;
}

/** How logits become labels. */
export type LabelRule =
  /** values[index of the largest logit], the first of equals. */
  | { readonly kind: "argmax"; readonly values: readonly number[] }
  /** For i in order: where logit[i] > 0 the label becomes values[i]; 0 where none is. */
  | { readonly kind: "regions"; readonly values: readonly number[] };

export interface ResamplePlanes {
  readonly ring: LogitRing;
  /** Tables along the ring's axes (planes, rows, columns). */
  readonly tables: readonly [AxisTable, AxisTable, AxisTable];
  /** Output planes [from, to) along axes[0]; their source planes lie in the ring, final and divided by their weights. */
  readonly from: number;
  readonly to: number;
}

export interface ResampleToLabels extends ResamplePlanes {
  readonly rule: LabelRule;
  readonly target: TensorHandle<"u8"> | TensorHandle<"u16">;
  /** Where output (plane, row, column) goes. */
  readonly view: GridView;
}

export interface ResampleToProbabilities extends ResamplePlanes {
  readonly nonlinearity: "softmax" | "sigmoid";
  /** (to - from) planes of (channels, rows, columns), contiguous. */
  readonly target: TensorHandle<"f32">;
}

/** The operators around a network. */
export interface VolumeCalls {
  /** Fills the program's input from a volume. */
  gatherPatches(call: GatherPatches): void;
  /** The smallest channel stride of a ring that the engine can work with. */
  ringStride(channels: number): number;
  /** ring += flip(output) * importance * scale. */
  accumulate(call: AccumulatePatch): void;
  /** Divides planes [from, to) of the ring by weightSums * folds, in place. */
  finishPlanes(ring: LogitRing, from: number, to: number, folds: number): void;
  resampleToLabels(call: ResampleToLabels): void;
  resampleToProbabilities(call: ResampleToProbabilities): void;
}

/** Checks a gather; `inputChannels` are those of the program's graph. */
export function checkGather(call: GatherPatches): void {
  const doing = "Gathering patches";
  const voxels = voxelCount(call.grid);
  ensureLength(call.volume, call.channels * voxels, doing);
  if (call.labelMap) ensureLength(call.labelMap.labels, voxels, doing);
  const input = call.program.graph.nodes[0];
  const wanted = input.kind === "input" ? input.channels : 0;
  const given = call.channels + (call.labelMap?.oneHot.length ?? 0);
  ensure(given === wanted, doing, () => `the network has ${wanted} input channels, ${given} are given`);
  const { batch } = call.program;
  ensure(
    call.patches.length <= batch,
    doing,
    () => `${call.patches.length} patches for a program of batch ${batch}`,
  );
}

/** Checks a ring's tensors and axes. */
function checkRing(ring: LogitRing, doing: string): void {
  ensure(
    ring.channelStride >= ring.channels,
    doing,
    () => `a ring of ${ring.channels} channels has a channel stride of ${ring.channelStride}`,
  );
  const voxels = ring.planes * ring.rows * ring.columns;
  ensureLength(ring.logits, voxels * ring.channelStride, doing);
  ensureLength(ring.weightSums, voxels, doing);
  const sorted = [...ring.axes].sort();
  ensure(sorted.every((axis, i) => axis === i), doing, () => `axes ${ring.axes} are no permutation of 0, 1, 2`);
  ensure(
    ring.planes >= 1 && ring.planes <= ring.depth,
    doing,
    () => `${ring.planes} planes for a depth of ${ring.depth}`,
  );
}

/** Checks an accumulation; parts of the patch outside the volume are allowed, more planes inside than the ring has are not. */
export function checkAccumulate(call: AccumulatePatch): void {
  const doing = "Accumulating logits";
  const { program, ring, placement } = call;
  checkRing(ring, doing);
  ensure(
    call.sample >= 0 && call.sample < program.batch,
    doing,
    () => `sample ${call.sample} of a batch of ${program.batch}`,
  );
  ensure(
    ring.channels === program.outputChannels,
    doing,
    () => `the ring has ${ring.channels} channels, the network ${program.outputChannels}`,
  );
  ensureLength(call.importance, voxelCount(program.patch), doing);
  const origin = placement.origin[ring.axes[0]];
  const planes = Math.min(origin + program.patch[ring.axes[0]], ring.depth) - Math.max(origin, 0);
  ensure(planes <= ring.planes, doing, () => `the patch covers ${planes} planes, the ring holds ${ring.planes}`);
}

/** Checks a range of planes that must be in the ring at once. */
export function checkFinish(ring: LogitRing, from: number, to: number, folds: number): void {
  const doing = "Finishing planes";
  checkRing(ring, doing);
  ensure(
    from >= 0 && from <= to && to <= ring.depth && to - from <= ring.planes,
    doing,
    () => `planes ${from} to ${to} of ${ring.depth}, the ring holds ${ring.planes}`,
  );
  ensure(folds >= 1, doing, () => `${folds} folds`);
}

function checkResample(call: ResamplePlanes, doing: string): void {
  const { ring, tables, from, to } = call;
  checkRing(ring, doing);
  const sizes: Vec3 = [ring.depth, ring.rows, ring.columns];
  tables.forEach((table, axis) => checkTable(table, sizes[axis], doing));
  ensure(
    from >= 0 && from <= to && to <= tables[0].first.length,
    doing,
    () => `output planes ${from} to ${to} of ${tables[0].first.length}`,
  );
  let [low, high] = [ring.depth, -1];
  for (let j = from; j < to; j++) {
    low = Math.min(low, tables[0].first[j], tables[0].second[j]);
    high = Math.max(high, tables[0].first[j], tables[0].second[j]);
  }
  ensure(
    high - low < ring.planes,
    doing,
    () => `source planes ${low} to ${high + 1} are needed at once, the ring holds ${ring.planes}`,
  );
}

function checkTable(table: AxisTable, size: number, doing: string): void {
  const { first, second, fraction } = table;
  ensure(
    first.length === second.length && first.length === fraction.length,
    doing,
    () => `a table has ${first.length} first, ${second.length} second indices and ${fraction.length} fractions`,
  );
  for (const indices of [first, second]) {
    for (let i = 0; i < indices.length; i++) {
      ensure(
        indices[i] >= 0 && indices[i] < size,
        doing,
        () => `a table names index ${indices[i]} of an axis of ${size}`,
      );
    }
  }
}

/** Checks a resampling to labels: tables, rule, and that the view stays in the target. */
export function checkResampleToLabels(call: ResampleToLabels): void {
  const doing = "Resampling to labels";
  checkResample(call, doing);
  const { ring, rule, view, from, to, tables, target } = call;
  ensure(
    rule.values.length === ring.channels,
    doing,
    () => `${rule.values.length} label values for ${ring.channels} channels`,
  );
  if (from === to) return;
  const last = [[from, to - 1], [0, tables[1].first.length - 1], [0, tables[2].first.length - 1]];
  let [low, high] = [view.offset, view.offset];
  last.forEach(([a, b], axis) => {
    low += Math.min(a * view.strides[axis], b * view.strides[axis]);
    high += Math.max(a * view.strides[axis], b * view.strides[axis]);
  });
  ensure(
    low >= 0 && high < target.length,
    doing,
    () => `the view covers elements ${low} to ${high} of ${target.label}, which has ${target.length}`,
  );
}

/** Checks a resampling to probabilities. */
export function checkResampleToProbabilities(call: ResampleToProbabilities): void {
  const doing = "Resampling to probabilities";
  checkResample(call, doing);
  const { ring, tables, from, to, target } = call;
  ensureLength(target, (to - from) * ring.channels * tables[1].first.length * tables[2].first.length, doing);
}
