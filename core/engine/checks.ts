/**
 * Argument checks that every engine makes before it enqueues anything: a wrong call is a defect of the caller and throws a
 * RangeError there and then, not a wrong result later.
 */
import { type Vec3, voxelCount } from "../base/shape.ts";
import type {
  AccumulatePatch,
  AxisTable,
  GatherPatches,
  LogitRing,
  ResamplePlanes,
  ResampleToLabels,
  ResampleToProbabilities,
  TensorHandle,
} from "./engine.ts";

function ensure(condition: boolean, doing: string, problem: () => string): asserts condition {
  if (!condition) throw new RangeError(`${doing}: ${problem()}`);
}

function ensureLength(tensor: TensorHandle, needed: number, doing: string): void {
  ensure(tensor.length >= needed, doing, () => `${tensor.label} has ${tensor.length} elements, ${needed} are needed`);
}

/** Checks that [offset, offset + length) lies in the tensor. */
export function checkRange(tensor: TensorHandle, offset: number, length: number, doing: string): void {
  ensure(
    Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 &&
      offset + length <= tensor.length,
    doing,
    () => `elements ${offset} to ${offset + length} are not in ${tensor.label}, which has ${tensor.length}`,
  );
}

/** Checks the length of a new tensor. */
export function checkAlloc(length: number, label: string): void {
  ensure(Number.isSafeInteger(length) && length >= 0, `Allocating ${label}`, () => `${length} elements`);
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
export function checkRing(ring: LogitRing, doing: string): void {
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

/** Checks that a program was compiled by the engine that is asked to use it and is not disposed. */
export function checkAlive(alive: boolean, what: string, doing: string): void {
  ensure(alive, doing, () => `${what} is disposed, or belongs to another engine`);
}
