/**
 * A step of a share of a batch: it stops where the sums of all samples are needed for the loss, and where the gradients of all shares are.
 * While a bucket of gradients is added up on the host, the GPU computes the next one.
 */
import type { ShareExchange } from "../../core/engine/training.ts";
import { COUNTS, RESULTS } from "../../core/lowering/training_context.ts";
import type { Segments } from "../buffers.ts";
import type { PreparedDispatch } from "../commands.ts";
import type { DeviceProgram, Tools } from "../program.ts";
import { readBytesInto, type Staging } from "../readback.ts";
import type { TrainingPlan } from "./plan.ts";
import { type GradientBucket, itemsBetween, joinRows, type SharedPlan, splitRows } from "./shared_plan.ts";
import type { DeviceValues } from "./values.ts";

/** What a share's steps run on. */
export interface SharedRun {
  readonly tools: Tools;
  readonly plan: TrainingPlan;
  readonly shared: SharedPlan;
  /** Samples of the share. */
  readonly batch: number;
  readonly device: DeviceProgram<TrainingPlan>;
  readonly values: DeviceValues;
  readonly exchange: ShareExchange;
  readonly staging: Staging;
}

const bytesOf = (floats: Float32Array) => new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);

/**
 * Enqueues a training step, the optimizer's included, for which nobody waits.
 * @returns the losses, and the sum of the gradients' squares without the loss scale
 * @throws if another share has failed, or the device
 */
export async function sharedTrainStep(run: SharedRun, lossScale: number): Promise<Float32Array> {
  const { tools, tools: { commands }, plan, shared: { buckets, updateAt }, device, exchange } = run;
  const dispatch = dispatcher(run, "training");
  await begin(run, dispatch, buckets[0].before);
  const results = new Float32Array(plan.resultCount);
  let squares = 0;
  for (const [index, bucket] of buckets.entries()) {
    const next = buckets.at(index + 1);
    const losses = next ? [] : [{ source: device.slot(RESULTS), target: results }];
    await readAll(run, [...gradientsOf(run, bucket, exchange.place(index)), ...losses], () => {
      dispatch(bucket.before, next?.before ?? updateAt);
      commands.submit();
    });
    const sum = await exchange.sum(index);
    for (const { source, target } of gradientsOf(run, bucket, sum.values)) writeWhole(tools, source, target);
    squares += sum.squares;
  }
  const [range] = device.slot(RESULTS).ranges;
  results[results.length - 1] = squares / lossScale ** 2;
  commands.write({ ...range, offset: range.offset + results.byteLength - 4, bytes: 4 }, bytesOf(results.subarray(-1)));
  dispatch(updateAt, plan.steps.length);
  await addLosses(run, results);
  return results;
}

/** A validation. @returns the losses, and the counts of the share's samples. @throws as {@link sharedTrainStep} */
export async function sharedValidation(run: SharedRun): Promise<{ results: Float32Array; counts: Float32Array }> {
  const { plan: { steps, resultCount, countBytes }, device } = run;
  await begin(run, dispatcher(run, "validation"), steps.length);
  const [results, counts] = [new Float32Array(resultCount), new Float32Array(countBytes / 4)];
  await readAll(run, [
    { source: device.slot(RESULTS), target: results },
    { source: device.slot(COUNTS), target: counts },
  ]);
  await addLosses(run, results);
  return { results, counts };
}

type Dispatch = (from: number, to: number) => void;

/** Enqueues the forward pass, the losses and what follows up to a step. All shares are in the same step then. */
async function begin(run: SharedRun, dispatch: Dispatch, to: number): Promise<void> {
  const { tools: { commands }, shared: { sums, totalsAt, needs }, batch, exchange } = run;
  dispatch(0, totalsAt);
  if (sums.length > 0) await gatherSums(run);
  dispatch(totalsAt, to);
  if (sums.length > 0) return;
  commands.submit();
  // Nothing is to be known yet; but what the last step's gradients are read from is written anew from here on.
  await exchange.gather(new Float32Array(batch * needs.rowFloats));
}

/** The losses of all shares, where each has its own. */
async function addLosses(
  { shared: { sums, needs: { rowFloats } }, batch, exchange }: SharedRun,
  results: Float32Array,
) {
  if (sums.length > 0) return;
  const rows = new Float32Array(batch * rowFloats);
  rows.set(results.subarray(0, rowFloats));
  const all = await exchange.gather(rows);
  results.fill(0, 0, rowFloats);
  for (let i = 0; i < all.length; i++) results[i % rowFloats] += all[i];
}

function dispatcher({ tools, plan, device, values }: SharedRun, runs: "training" | "validation"): Dispatch {
  const steps: readonly (readonly PreparedDispatch[])[] = device.dispatches(values);
  return (from, to) => {
    for (const step of itemsBetween(plan, steps, runs, [from, to])) step.forEach(tools.commands.dispatch);
  };
}

/** Has every share know the sums of all samples. */
async function gatherSums(run: SharedRun): Promise<void> {
  const { tools, device, shared: { sums }, exchange } = run;
  const widths = sums.map(({ floats }) => floats);
  const own = sums.map(({ own, floats }) => {
    const source = device.slot(own);
    return { source, target: new Float32Array(Math.floor(source.bytes / 4 / floats) * floats) };
  });
  await readAll(run, own);
  const joined = joinRows(own.map(({ target }) => target), widths);
  const all = splitRows(await exchange.gather(joined), widths);
  sums.forEach(({ all: slot }, i) => writeWhole(tools, device.slot(slot), all[i]));
}

/** An array of the device, and the same on the host. */
interface Copy {
  readonly source: Segments;
  readonly target: Float32Array;
}

/** A bucket's chunks, and where each is in the whole bucket. */
function gradientsOf({ plan: { layout }, values }: SharedRun, { chunks }: GradientBucket, whole: Float32Array): Copy[] {
  let at = 0;
  return chunks.map((chunk) => {
    const { floats } = layout.chunks[chunk];
    const target = whole.subarray(at, at + floats);
    at += floats;
    return { source: values.whole("gradients", chunk), target };
  });
}

/** Reads all of them together. @param meanwhile Enqueues what can run before they are here */
async function readAll(
  { tools: { gpu, commands }, staging }: SharedRun,
  copies: readonly Copy[],
  meanwhile?: () => void,
): Promise<void> {
  await Promise.all(copies.map(({ source, target }, i) => {
    // When the last one is on its way all are.
    const last = i === copies.length - 1 ? meanwhile : undefined;
    return readBytesInto(gpu, commands, source, 0, bytesOf(target), { staging, meanwhile: last });
  }));
}

/** Writes an array of one segment from its start on. */
function writeWhole({ commands }: Tools, { ranges: [range] }: Segments, data: Float32Array): void {
  commands.write({ ...range, bytes: data.byteLength }, bytesOf(data));
}
