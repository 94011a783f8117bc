/**
 * A step of a share of a batch: it stops where the sums of all samples are needed for the loss, and where the gradients of all shares are.
 * While a bucket of gradients is added up on the host, the GPU computes the next one.
 */
import type { ShareExchange } from "../../core/engine/training.ts";
import type { Gathered } from "../../core/lowering/meetings.ts";
import { COUNTS, RESULTS } from "../../core/lowering/training_context.ts";
import type { Segments } from "../buffers.ts";
import type { PreparedDispatch } from "../commands.ts";
import type { DeviceProgram, Tools } from "../program.ts";
import { readBytesInto, type Staging } from "../readback.ts";
import { bytesOf } from "../upload.ts";
import type { TrainingPlan } from "./plan.ts";
import {
  type GradientBucket,
  itemsBetween,
  joinRows,
  type SharedPlan,
  splitRows,
  trainingStops,
} from "./shared_plan.ts";
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

/**
 * Enqueues a training step, the optimizer's included, for which nobody waits.
 * @returns the losses, and the sum of the gradients' squares without the loss scale
 * @throws if another share has failed, or the device
 */
export async function sharedTrainStep(run: SharedRun, lossScale: number): Promise<Float32Array> {
  const { tools, tools: { commands }, plan, shared, shared: { updateAt }, device, exchange } = run;
  const dispatch = dispatcher(run, "training");
  const stops = trainingStops(shared);
  const results = new Float32Array(plan.resultCount);
  let squares = 0;
  dispatch(0, stops[0].at);
  for (const [i, stop] of stops.entries()) {
    const next = stops.at(i + 1)?.at ?? updateAt;
    if (stop.kind === "meeting") {
      await meet(run, stop.gathered);
      dispatch(stop.at, next);
      continue;
    }
    const { index, bucket } = stop;
    const isLast = index === shared.buckets.length - 1;
    const losses = isLast ? [{ source: device.slot(RESULTS), target: results }] : [];
    await readAll(run, [...gradientsOf(run, bucket, exchange.place(index)), ...losses], () => {
      dispatch(stop.at, next);
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
  const { plan: { steps, resultCount, countBytes }, shared, device } = run;
  const dispatch = dispatcher(run, "validation");
  let from = 0;
  for (const { at, gathered } of shared.meetings.filter(({ isOfTraining }) => !isOfTraining)) {
    dispatch(from, at);
    await meet(run, gathered);
    from = at;
  }
  dispatch(from, steps.length);
  const [results, counts] = [new Float32Array(resultCount), new Float32Array(countBytes / 4)];
  await readAll(run, [
    { source: device.slot(RESULTS), target: results },
    { source: device.slot(COUNTS), target: counts },
  ]);
  await addLosses(run, results);
  return { results, counts };
}

type Dispatch = (from: number, to: number) => void;

/** The losses of all shares, where each has its own. */
async function addLosses(
  { shared: { ownLosses }, batch, exchange }: SharedRun,
  results: Float32Array,
) {
  if (!ownLosses) return;
  const losses = results.length - 1;
  const rows = new Float32Array(batch * losses);
  rows.set(results.subarray(0, losses));
  const all = await exchange.gather(rows);
  results.fill(0, 0, losses);
  for (let i = 0; i < all.length; i++) results[i % losses] += all[i];
}

function dispatcher({ tools, plan, device, values }: SharedRun, runs: "training" | "validation"): Dispatch {
  const steps: readonly (readonly PreparedDispatch[])[] = device.dispatches(values);
  return (from, to) => {
    for (const step of itemsBetween(plan, steps, runs, [from, to])) step.forEach(tools.commands.dispatch);
  };
}

/** Has every share know what all have; with nothing to know it waits for the others. */
async function meet(run: SharedRun, gathered: readonly Gathered[]): Promise<void> {
  const { tools, device, batch, exchange } = run;
  if (gathered.length === 0) {
    tools.commands.submit();
    await exchange.gather(new Float32Array(0));
    return;
  }
  const widths = gathered.map(({ floats }) => floats);
  const rows = gathered.map(({ floats }) => new Float32Array(batch * floats));
  await readAll(
    run,
    gathered.map(({ own, floats, isOfShare }, i) => ({
      source: device.slot(own),
      target: isOfShare ? rows[i].subarray(0, floats) : rows[i],
    })),
  );
  const all = splitRows(await exchange.gather(joinRows(rows, widths)), widths);
  gathered.forEach(({ all: slot }, i) => writeWhole(tools, device.slot(slot), all[i]));
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
