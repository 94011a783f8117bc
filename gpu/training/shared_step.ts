/**
 * A step of a share of a batch: it stops where the sums of all samples are needed for the loss, and where the gradients of all shares are.
 * While a bucket of gradients is added up on the host, the GPU computes the next one.
 */
import type { ShareExchange } from "../../core/engine/training.ts";
import type { BufferRange, Segments } from "../buffers.ts";
import type { PreparedDispatch } from "../commands.ts";
import type { DeviceProgram, Tools } from "../program.ts";
import { readBytesInto } from "../readback.ts";
import type { TrainingPlan } from "./plan.ts";
import { type GradientBucket, itemsBetween, joinRows, planShared, type SharedPlan, splitRows } from "./shared_plan.ts";
import type { DeviceValues } from "./values.ts";

/** What a share's steps run on. */
export interface SharedRun {
  readonly tools: Tools;
  readonly plan: TrainingPlan;
  readonly device: DeviceProgram<TrainingPlan>;
  readonly values: DeviceValues;
  readonly exchange: ShareExchange;
}

const bytesOf = (floats: Float32Array) => new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);

/** Enqueues a training step, the optimizer's included. @throws if another share has failed, or the device */
export async function sharedTrainStep(run: SharedRun): Promise<void> {
  const { tools: { commands }, plan, exchange } = run;
  const shared = planShared(plan);
  const { buckets, totalsAt, updateAt } = shared;
  const dispatch = dispatcher(run, "training");
  dispatch(0, totalsAt);
  await gatherSums(run, shared);
  dispatch(totalsAt, buckets[0].before);
  for (const [index, bucket] of buckets.entries()) {
    await readBucket(run, bucket, exchange.place(index));
    dispatch(bucket.before, buckets.at(index + 1)?.before ?? updateAt);
    commands.submit();
    writeBucket(run, bucket, await exchange.sum(index));
  }
  dispatch(updateAt, plan.steps.length);
}

/** Enqueues a validation. @throws as {@link sharedTrainStep} */
export async function sharedValidation(run: SharedRun): Promise<void> {
  const shared = planShared(run.plan);
  const dispatch = dispatcher(run, "validation");
  dispatch(0, shared.totalsAt);
  await gatherSums(run, shared);
  dispatch(shared.totalsAt, run.plan.steps.length);
}

function dispatcher({ tools, plan, device, values }: SharedRun, runs: "training" | "validation") {
  const steps: readonly (readonly PreparedDispatch[])[] = device.dispatches(values);
  return (from: number, to: number) => {
    for (const step of itemsBetween(plan, steps, runs, [from, to])) step.forEach(tools.commands.dispatch);
  };
}

/** Has every share know the sums of all samples. */
async function gatherSums({ tools, device, exchange }: SharedRun, { sums }: SharedPlan): Promise<void> {
  const widths = sums.map(({ floats }) => floats);
  const own = await Promise.all(sums.map(async ({ own, floats }) => {
    const source = device.slot(own);
    const read = new Float32Array(Math.floor(source.bytes / 4 / floats) * floats);
    await readBytesInto(tools.gpu, tools.commands, source, 0, bytesOf(read));
    return read;
  }));
  const all = splitRows(await exchange.gather(joinRows(own, widths)), widths);
  sums.forEach(({ all: slot }, i) => writeWhole(tools, device.slot(slot), all[i]));
}

/** Parts of a bucket, chunk by chunk. */
function* partsOf({ plan: { layout } }: SharedRun, { chunks }: GradientBucket, whole: Float32Array) {
  let at = 0;
  for (const chunk of chunks) {
    const { floats } = layout.chunks[chunk];
    yield { chunk, part: whole.subarray(at, at + floats) };
    at += floats;
  }
}

async function readBucket(run: SharedRun, bucket: GradientBucket, place: Float32Array): Promise<void> {
  const { tools: { gpu, commands }, values } = run;
  await Promise.all(
    [...partsOf(run, bucket, place)].map(({ chunk, part }) =>
      readBytesInto(gpu, commands, values.whole("gradients", chunk), 0, bytesOf(part))
    ),
  );
}

function writeBucket(run: SharedRun, bucket: GradientBucket, sum: Float32Array): void {
  for (const { chunk, part } of partsOf(run, bucket, sum)) {
    writeWhole(run.tools, run.values.whole("gradients", chunk), part);
  }
}

/** Writes an array of one segment from its start on. */
function writeWhole({ commands }: Tools, { ranges }: Segments, data: Float32Array): void {
  const [range]: readonly BufferRange[] = ranges;
  commands.write({ ...range, bytes: data.byteLength }, bytesOf(data));
}
