/** How a step of a share of a batch is cut: where the others are waited for, and in what order gradients are done. Pure. */
import type { ShareNeeds } from "../../core/engine/training.ts";
import type { Step } from "../../core/lowering/schedule.ts";
import type { Gathered, Meeting } from "../../core/lowering/meetings.ts";
import { itemsOf, type SharedSteps } from "../../core/lowering/training.ts";
import { gradientSlot } from "../../core/lowering/training_context.ts";
import type { WgslOperator } from "../../kernels/wgsl/kernel.ts";
import type { ParameterLayout } from "./parameters.ts";

/** Chunks of gradients that cross together. */
export interface GradientBucket {
  readonly chunks: readonly number[];
  readonly floats: number;
  /** The step before which they are done. */
  readonly before: number;
}

export interface SharedPlan extends SharedSteps {
  readonly buckets: readonly GradientBucket[];
  /** Rows are of what a meeting gathers, or of losses: a share's are in its first row. */
  readonly needs: ShareNeeds;
}

/** Where a step stops: for what a meeting gathers, or for the gradients of a bucket. */
export type Stop =
  | { readonly kind: "meeting"; readonly at: number; readonly gathered: readonly Gathered[] }
  | { readonly kind: "bucket"; readonly at: number; readonly index: number; readonly bucket: GradientBucket };

/** Reading a bucket takes 11 ms at least, in which the GPU waits; so they are about this large. */
const BUCKET_BYTES = 64 * 2 ** 20;

/** What a share needs to know of its steps. @param losses How many outputs have one */
export function planShared(
  steps: readonly Step<WgslOperator>[],
  layout: ParameterLayout,
  shared: SharedSteps,
  losses: number,
): SharedPlan {
  const buckets = bucketsOf(steps, layout, shared);
  const widths = shared.meetings.map(({ gathered }) => gathered.reduce((sum, { floats }) => sum + floats, 0));
  const rowFloats = Math.max(losses, ...widths);
  return { ...shared, buckets, needs: { rowFloats, bucketFloats: buckets.map(({ floats }) => floats) } };
}

/**
 * Chunks in the order in which they are done, several together. The last one is alone: nothing is left to compute while it crosses, and it
 * is the first layers', which have few parameters and take long.
 */
function bucketsOf(steps: readonly Step<WgslOperator>[], layout: ParameterLayout, { updateAt }: SharedSteps) {
  const chunkOf = new Map(layout.parameters.map(({ name, chunk }) => [gradientSlot(name), chunk]));
  const last = new Map<number, number>();
  steps.slice(0, updateAt).forEach(({ operator }, step) => {
    for (const { slot, access } of operator.dispatches.flatMap(({ bindings }) => bindings)) {
      const chunk = chunkOf.get(slot);
      if (chunk !== undefined && access === "read_write") last.set(chunk, step);
    }
  });
  const trained = [...layout.chunks.keys()].filter((chunk) => layout.chunks[chunk].trained);
  const inOrder = trained.toSorted((a, b) => (last.get(a) ?? 0) - (last.get(b) ?? 0));
  const buckets: GradientBucket[] = [];
  let chunks: number[] = [];
  inOrder.forEach((chunk, i) => {
    chunks.push(chunk);
    const floats = chunks.reduce((sum, one) => sum + layout.chunks[one].floats, 0);
    if (floats * 4 < BUCKET_BYTES && i < inOrder.length - 2) return;
    buckets.push({ chunks, floats, before: (last.get(chunk) ?? 0) + 1 });
    chunks = [];
  });
  return buckets;
}

/**
 * Where a training step stops, in turn. All shares have begun it before the first gradients cross, of which the last step's are read until
 * then: where nothing else is gathered, nothing is.
 */
export function trainingStops({ meetings, buckets }: SharedPlan): Stop[] {
  const first: Meeting[] = meetings.length > 0 ? [] : [{ at: buckets[0].before, gathered: [] }];
  const stops: Stop[] = [
    ...[...first, ...meetings].map(({ at, gathered }): Stop => ({ kind: "meeting", at, gathered })),
    ...buckets.map((bucket, index): Stop => ({ kind: "bucket", at: bucket.before, index, bucket })),
  ];
  return stops.sort((a, b) => a.at - b.at);
}

/** What a training step or a validation runs of `items`, one for each of all steps, from one step to before another. */
export function itemsBetween<T>(
  plan: Parameters<typeof itemsOf>[0],
  items: readonly T[],
  runs: "training" | "validation",
  [from, to]: readonly [number, number],
): T[] {
  const numbered = items.map((item, step) => ({ item, step }));
  return itemsOf(plan, numbered, runs).filter(({ step }) => step >= from && step < to).map(({ item }) => item);
}

/** Rows of several arrays [sample][floats], side by side: [sample][all floats]. */
export function joinRows(arrays: readonly Float32Array[], floats: readonly number[]): Float32Array<ArrayBuffer> {
  const width = floats.reduce((a, b) => a + b, 0);
  const samples = arrays[0].length / floats[0];
  const joined = new Float32Array(samples * width);
  forEachRow(floats, samples, (array, sample, at) => {
    joined.set(arrays[array].subarray(sample * floats[array], (sample + 1) * floats[array]), sample * width + at);
  });
  return joined;
}

/** {@link joinRows} the other way. */
export function splitRows(joined: Float32Array, floats: readonly number[]): Float32Array<ArrayBuffer>[] {
  const width = floats.reduce((a, b) => a + b, 0);
  const samples = joined.length / width;
  const arrays = floats.map((each) => new Float32Array(samples * each));
  forEachRow(floats, samples, (array, sample, at) => {
    const start = sample * width + at;
    arrays[array].set(joined.subarray(start, start + floats[array]), sample * floats[array]);
  });
  return arrays;
}

/** @param visit Told where each array's row begins among those of the sample */
function forEachRow(
  floats: readonly number[],
  samples: number,
  visit: (array: number, sample: number, at: number) => void,
): void {
  let at = 0;
  floats.forEach((each, array) => {
    for (let sample = 0; sample < samples; sample++) visit(array, sample, at);
    at += each;
  });
}
