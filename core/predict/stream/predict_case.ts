/**
 * The network part of one case: rows of tiles through the network, planes of logits resampled to labels as soon as no later row
 * touches them. Order of every voxel's sum: row, fold, tile, mirroring. Upstream: predict_sliding_window_return_logits in
 * nnunetv2/inference/predict_from_raw_data.py, which keeps all logits and accumulates in float16; here they are summed in f32.
 */
import { Interrupted, UserError } from "../../base/errors.ts";
import { permute, type Vec3, voxelCount } from "../../base/shape.ts";
import type { Engine, Program, TensorHandle } from "../../engine/engine.ts";
import type { LogitRing, PatchPlacement, ResamplePlanes } from "../../engine/volume.ts";
import type { LabelVolume } from "../../formats/image/image.ts";
import { gatherCase, PROBABILITY_CHUNK_BYTES } from "./case_plan.ts";
import { freeArray } from "../../base/free_array.ts";
import { importanceMap } from "./importance.ts";
import { createLogitStore, type LogitStore } from "./logit_store.ts";
import type { PredictCaseCall } from "./predict_case_call.ts";
import type { Range, TileRow, TileWindow } from "./stream.ts";
import { resampleWholeVolume } from "./whole_volume.ts";

/** Batches that may be enqueued on the CPU engine and not done; enough to keep it busy while the next is being described. */
const BATCHES_AHEAD = 2;
/**
 * On a GPU a fence holds this thread until all is done, and is reached 10 ms after; by then the next batches are enqueued. So there is one
 * now and then: about so many seconds of work, but so many batches at most.
 */
const [SECONDS_AHEAD, MOST_AHEAD] = [0.5, 16];

/**
 * Predicts one case; the labels are in the file's axis order.
 * @throws Interrupted when the signal is aborted.
 */
export async function predictCase(call: PredictCaseCall): Promise<LabelVolume> {
  const { engine, model, network, plan, plan: { stream, geometry } } = call;
  const program = await network.program(stream.batch);
  const patch = model.configuration.patchSize;
  using importance = engine.alloc("f32", voxelCount(patch), "importance map");
  engine.upload(importance, importanceMap(patch));
  using labels = engine.alloc(plan.elementType, voxelCount(geometry.fileShape), "labels");
  engine.clear(labels);
  await using store = createLogitStore({
    engine,
    plan: stream,
    channels: model.outputChannels,
    folds: model.folds.length,
    scratchFolder: call.scratchFolder,
  });
  await using pace = pacer(engine, stream.samples, call.onProgress);
  for (const row of stream.rows) {
    await store.open(row.opens);
    for (let fold = 0; fold < model.folds.length; fold++) {
      throwIfAborted(call.signal);
      const weights = await network.weights(fold, stream.foldsResident);
      for (const window of stream.windows) {
        const planes = planesOf(row, patch[stream.axes[0]], stream.size[0]);
        const { ring, shift } = await store.acquire(window, planes);
        const samples = samplesOf(call, row, window);
        for (let from = 0; from < samples.length; from += stream.batch) {
          throwIfAborted(call.signal);
          const batch = samples.slice(from, from + stream.batch);
          gatherCase(engine, model, program, call.input, batch.map(({ placement }) => placement));
          engine.run(program, weights);
          accumulate(call, { program, batch, importance, ring, shift, addWeight: fold === 0 });
          await pace.next(batch.length);
        }
        await store.release(window, planes);
      }
    }
    store.close(row.closes);
    if (plan.tables) await emit(call, store, row.emits, labels);
  }
  if (await store.hasNonFinite()) throw nonFiniteLogits(call);
  if (!plan.tables) {
    const ring = await store.read([0, stream.size[0]]);
    return await resampleWholeVolume({ ...call, ring });
  }
  throwIfAborted(call.signal);
  return { data: await engine.download(labels), shape: geometry.fileShape };
}

/** Any label made from such numbers would be a guess that looks like a segmentation. */
function nonFiniteLogits({ model: { folds }, input: { id } }: PredictCaseCall): UserError {
  return new UserError({
    doing: "running the network",
    caseId: id,
    file: folds.map(({ file }) => file).join(", "),
    problem: "the network's output has NaN or infinite values, so there is no segmentation",
    remedy: "check that the image has the intensities the model was trained on (its unit and range), and that the " +
      "checkpoint is whole: a training that diverged leaves NaN weights (use another checkpoint with -chk)",
  });
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new Interrupted("The prediction was stopped");
}

/** Planes of the volume that a row's patches cover. */
function planesOf(row: TileRow, patch: number, depth: number): Range {
  return [Math.max(0, row.positions[0]), Math.min(depth, row.positions[row.positions.length - 1] + patch)];
}

interface Sample {
  readonly placement: PatchPlacement;
  /** True for the first mirroring of a tile. */
  readonly first: boolean;
}

/** Tiles in order, each with all its mirrorings. */
function samplesOf({ plan: { stream, mirrorings } }: PredictCaseCall, row: TileRow, window: TileWindow): Sample[] {
  const samples: Sample[] = [];
  for (const position of row.positions) {
    for (const [rowOrigin, columnOrigin] of window.origins) {
      const origin: [number, number, number] = [0, 0, 0];
      origin[stream.axes[0]] = position;
      origin[stream.axes[1]] = rowOrigin;
      origin[stream.axes[2]] = columnOrigin;
      mirrorings.forEach((mirror, index) => samples.push({ placement: { origin, mirror }, first: index === 0 }));
    }
  }
  return samples;
}

interface Accumulation {
  readonly program: Program;
  readonly batch: readonly Sample[];
  readonly importance: TensorHandle<"f32">;
  readonly ring: LogitRing;
  readonly shift: Vec3;
  readonly addWeight: boolean;
}

function accumulate({ engine, plan }: PredictCaseCall, of: Accumulation): void {
  of.batch.forEach(({ placement: { origin, mirror }, first }, sample) => {
    const moved: Vec3 = [origin[0] + of.shift[0], origin[1] + of.shift[1], origin[2] + of.shift[2]];
    engine.accumulate({
      program: of.program,
      sample,
      placement: { origin: moved, mirror },
      importance: of.importance,
      scale: 1 / plan.mirrorings.length,
      addWeight: of.addWeight && first,
      ring: of.ring,
    });
  });
}

/** Resamples final planes to output planes [from, to): labels on the engine, probabilities to their file. */
async function emit(
  call: PredictCaseCall,
  store: LogitStore,
  [from, to]: Range,
  labels: TensorHandle<"u8"> | TensorHandle<"u16">,
): Promise<void> {
  const { engine, model, plan, probabilities, plan: { stream: { axes }, geometry } } = call;
  if (!plan.tables) return;
  const tables = permute<ResamplePlanes["tables"][0]>([...plan.tables], axes);
  const planeValues = model.outputChannels * tables[1].first.length * tables[2].first.length;
  const most = probabilities ? Math.max(1, Math.floor(PROBABILITY_CHUNK_BYTES / (4 * planeValues))) : Infinity;
  const view = { offset: geometry.offset, strides: permute([...geometry.strides], axes) };
  for (let at = from; at < to;) {
    throwIfAborted(call.signal);
    const { end, sources } = chunkFrom(tables[0], at, Math.min(to, at + most), store.planesAtOnce);
    const ring = await store.read(sources);
    const planes: ResamplePlanes = { ring, tables, from: at, to: end };
    engine.resampleToLabels({ ...planes, rule: plan.rule, target: labels, view });
    if (probabilities) {
      using target = engine.alloc("f32", (end - at) * planeValues, "probabilities");
      engine.resampleToProbabilities({ ...planes, nonlinearity: plan.nonlinearity, target });
      const planesOfProbabilities = await engine.download(target);
      probabilities.writePlanes(axes, at, end, planesOfProbabilities);
      freeArray(planesOfProbabilities);
    }
    at = end;
  }
}

/** As many output planes from `at` on as `planesAtOnce` source planes allow, and those source planes. */
function chunkFrom(
  table: ResamplePlanes["tables"][0],
  at: number,
  to: number,
  planesAtOnce: number,
): { readonly end: number; readonly sources: Range } {
  let low = Infinity;
  let high = -1;
  let end = at;
  for (; end < to; end++) {
    const nextLow = Math.min(low, table.first[end], table.second[end]);
    const nextHigh = Math.max(high, table.first[end], table.second[end]);
    if (end > at && nextHigh - nextLow >= planesAtOnce) break;
    [low, high] = [nextLow, nextHigh];
  }
  return { end, sources: [low, high + 1] };
}

interface Pacer extends AsyncDisposable {
  /** Counts a batch as enqueued; waits while too many are not done. */
  next(samples: number): Promise<void>;
}

function pacer(engine: Engine, of: number, onProgress?: (done: number, of: number) => void): Pacer {
  return engine.kind === "gpu" ? gpuPacer(engine, of, onProgress) : cpuPacer(engine, of, onProgress);
}

function gpuPacer(engine: Engine, of: number, onProgress?: (done: number, of: number) => void): Pacer {
  let [done, all, enqueued, batches, allowed] = [0, 0, 0, 0, 1];
  let started = performance.now();
  let last: { readonly samples: number; readonly fence: Promise<void> } | undefined;
  const settle = async () => {
    if (!last) return;
    const { samples, fence } = last;
    last = undefined;
    await fence;
    onProgress?.(done += samples, of);
  };
  return {
    async next(samples) {
      all += samples;
      enqueued += samples;
      // Lets the engine hand over what was enqueued.
      if (++batches < allowed && all < of) return await Promise.resolve();
      const fence = engine.flush();
      // A failure is met when the fence is awaited, or by the next call.
      fence.catch(() => {});
      await settle();
      const seconds = (performance.now() - started) / 1000 / batches;
      // At most twice as many as before: the first ones compile, warm up, or are slower for other reasons.
      allowed = Math.max(1, Math.min(MOST_AHEAD, 2 * batches, Math.floor(SECONDS_AHEAD / seconds)));
      last = { samples: enqueued, fence };
      [enqueued, batches, started] = [0, 0, performance.now()];
      if (all >= of) await settle();
    },
    async [Symbol.asyncDispose]() {
      await settle().catch(() => {});
      if (batches > 0) await engine.flush().catch(() => {});
    },
  };
}

function cpuPacer(engine: Engine, of: number, onProgress?: (done: number, of: number) => void): Pacer {
  const pending: { readonly samples: number; readonly fence: Promise<void> }[] = [];
  let done = 0;
  const settle = async (ahead: number) => {
    while (pending.length > ahead) {
      const [{ samples, fence }] = pending.splice(0, 1);
      await fence;
      onProgress?.(done += samples, of);
    }
  };
  return {
    async next(samples) {
      const fence = engine.flush();
      // A failure is met when the fence is awaited, or by the next call.
      fence.catch(() => {});
      pending.push({ samples, fence });
      await settle(BATCHES_AHEAD - 1);
    },
    async [Symbol.asyncDispose]() {
      await settle(0).catch(() => {});
    },
  };
}
