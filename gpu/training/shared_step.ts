/**
 * A step of a share of a batch: it stops where the sums of all samples are needed for the loss, and where the gradients of all shares are.
 * While a bucket of gradients is added up on the host, the GPU computes the next one.
 */
import type { ShareExchange } from "../../core/engine/training.ts";
import { RESULTS } from "../../core/lowering/training_context.ts";
import type { Segments } from "../buffers.ts";
import type { PreparedDispatch } from "../commands.ts";
import type { DeviceProgram, Tools } from "../program.ts";
import { readBytesInto } from "../readback.ts";
import type { TrainingPlan } from "./plan.ts";
import { type GradientBucket, itemsBetween, joinRows, type SharedPlan, splitRows } from "./shared_plan.ts";
import type { DeviceValues } from "./values.ts";

/** What a share's steps run on. */
export interface SharedRun {
  readonly tools: Tools;
  readonly plan: TrainingPlan;
  readonly shared: SharedPlan;
  readonly device: DeviceProgram<TrainingPlan>;
  readonly values: DeviceValues;
  readonly exchange: ShareExchange;
}

const bytesOf = (floats: Float32Array) => new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);

/**
 * Enqueues a training step, the optimizer's included, for which nobody waits.
 * @returns the losses, and the sum of the gradients' squares without the loss scale
 * @throws if another share has failed, or the device
 */
export async function sharedTrainStep(run: SharedRun, lossScale: number): Promise<Float32Array> {
  const { tools, tools: { commands }, plan, shared: { buckets, totalsAt, updateAt }, device, exchange } = run;
  const dispatch = dispatcher(run, "training");
  dispatch(0, totalsAt);
  await gatherSums(run);
  dispatch(totalsAt, buckets[0].before);
  const results = new Float32Array(plan.resultCount);
  let squares = 0;
  for (const [index, bucket] of buckets.entries()) {
    const next = buckets.at(index + 1);
    const losses = next ? [] : [{ source: device.slot(RESULTS), target: results }];
    await readAll(tools, [...gradientsOf(run, bucket, exchange.place(index)), ...losses], () => {
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
  return results;
}

/** Enqueues a validation. @throws as {@link sharedTrainStep} */
export async function sharedValidation(run: SharedRun): Promise<void> {
  const { plan: { steps }, shared: { totalsAt } } = run;
  const dispatch = dispatcher(run, "validation");
  dispatch(0, totalsAt);
  await gatherSums(run);
  dispatch(totalsAt, steps.length);
}

function dispatcher({ tools, plan, device, values }: SharedRun, runs: "training" | "validation") {
  const steps: readonly (readonly PreparedDispatch[])[] = device.dispatches(values);
  return (from: number, to: number) => {
    for (const step of itemsBetween(plan, steps, runs, [from, to])) step.forEach(tools.commands.dispatch);
  };
}

/** Has every share know the sums of all samples. */
async function gatherSums({ tools, device, shared: { sums }, exchange }: SharedRun): Promise<void> {
  const widths = sums.map(({ floats }) => floats);
  const own = sums.map(({ own, floats }) => {
    const source = device.slot(own);
    return { source, target: new Float32Array(Math.floor(source.bytes / 4 / floats) * floats) };
  });
  await readAll(tools, own);
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
async function readAll({ gpu, commands }: Tools, copies: readonly Copy[], meanwhile?: () => void): Promise<void> {
  await Promise.all(copies.map(({ source, target }, i) => {
    // When the last one is on its way all are.
    const last = i === copies.length - 1 ? meanwhile : undefined;
    return readBytesInto(gpu, commands, source, 0, bytesOf(target), { meanwhile: last });
  }));
}

/** Writes an array of one segment from its start on. */
function writeWhole({ commands }: Tools, { ranges: [range] }: Segments, data: Float32Array): void {
  commands.write({ ...range, bytes: data.byteLength }, bytesOf(data));
}
