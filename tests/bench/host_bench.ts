/**
 * The host's time of a prediction and of a training on the GPU engine: everything is recorded, submitted and waited for as usual, and every
 * dispatch runs no workgroups, so that what is left is the host's (and the driver's) time. Results are worthless. A software adapter does.
 *
 *   deno task bench host [--edge 96] [--train-edge 64] [--features 32,64,128,256,320] [--tiles 4] [--steps 12] [--batch N] [--rounds 3]
 *                        [--cache MIB] [--working] [--no-train] [--no-predict]
 *
 * A sample is a tile in one of its eight mirrorings. --batch: so many samples a pass, and not as the program plans it. --cache: of a
 * convolution's transformed tiles that are kept at a time, as it is measured on a device. --working: the dispatches do their work.
 * Recording is the time in calls that enqueue, and in WebGPU's that finish and submit; the rest is mostly waiting.
 */
import { setImmediate } from "node:timers";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { architecture } from "../../core/cases/networks.ts";
import { randomValues, randomWeights } from "../../core/cases/random_data.ts";
import { prepareTraining, TIMED_SGD, timedTraining } from "../../core/cases/training.ts";
import { weightShapes } from "../../core/graph/weight_shapes.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { loadNetwork } from "../../core/predict/model/network.ts";
import { planCase, uploadCase } from "../../core/predict/stream/case_plan.ts";
import { predictCase } from "../../core/predict/stream/predict_case.ts";
import { stepsAhead } from "../../core/train/steps_ahead.ts";
import { createGpuEngine, type GpuEngine } from "../../gpu/engine.ts";
import { makeCase, makeModel } from "../unit/predict_fixture.ts";
import { say } from "./say.ts";

const MIRRORINGS = 8;

interface Setting {
  readonly edge: number;
  readonly trainEdge: number;
  readonly features: readonly number[];
  readonly tiles: number;
  readonly steps: number;
  readonly rounds: number;
  /** Samples a pass; as planned unless given. */
  readonly batch?: number;
}

export async function bench(args: readonly string[]): Promise<number> {
  const option = (name: string, otherwise: number) =>
    args.includes(name) ? Number(args[args.indexOf(name) + 1]) : otherwise;
  const features = args.includes("--features") ? args[args.indexOf("--features") + 1] : "32,64,128,256,320";
  const setting: Setting = {
    edge: option("--edge", 96),
    trainEdge: option("--train-edge", 64),
    features: features.split(",").map(Number),
    tiles: option("--tiles", 4),
    steps: option("--steps", 12),
    rounds: option("--rounds", 3),
    ...(args.includes("--batch") && { batch: option("--batch", 1) }),
  };
  const meter = createMeter(!args.includes("--working"));
  await using opened = await createGpuEngine({
    allowSoftware: true,
    ...(args.includes("--cache") && { cacheBytes: option("--cache", 24) * 2 ** 20 }),
  });
  const engine = meter.timed(opened);
  if (!args.includes("--no-predict")) await benchPrediction(engine, setting, meter);
  if (!args.includes("--no-train")) await benchTraining(engine, setting, meter);
  return 0;
}

interface Meter {
  /** Runs something and tells what it took, and what of it was done or waited for on the device. */
  measure(run: () => Promise<unknown>): Promise<Measured>;
  /** The engine, whose calls that enqueue are timed. */
  timed(engine: GpuEngine): GpuEngine;
}

interface Measured {
  readonly milliseconds: number;
  readonly recording: number;
  readonly waits: number;
  readonly dispatches: number;
  readonly submissions: number;
}

/** Calls of the engine that enqueue. */
const ENQUEUING = [
  "run",
  "gatherPatches",
  "accumulate",
  "upload",
  "clear",
  "resampleToLabels",
  "setSample",
  "trainStep",
] as const;

/** Counts calls of WebGPU, from here on, and takes the work out of dispatches; before a device is asked for. */
function createMeter(empty: boolean): Meter {
  let [dispatches, submissions, waits, recording] = [0, 0, 0, 0];
  let depth = 0;
  /** Times a call, those within others once. */
  const timed = <A extends unknown[], R>(call: (...args: A) => R) =>
    function (this: unknown, ...args: A): R {
      const start = performance.now();
      depth++;
      try {
        return call.apply(this, args);
      } finally {
        if (--depth === 0) recording += performance.now() - start;
      }
    };
  // What a software adapter is not trusted with, long submissions, is as on a GPU.
  if (empty) {
    Object.defineProperties(GPUAdapterInfo.prototype, {
      description: { get: () => "a GPU without work" },
      isFallbackAdapter: { get: () => false },
    });
  }
  const { prototype: pass } = GPUComputePassEncoder;
  const { dispatchWorkgroups } = pass;
  pass.dispatchWorkgroups = function (x: number, y = 1, z = 1) {
    dispatches++;
    if (empty) dispatchWorkgroups.call(this, 0, 0, 0);
    else dispatchWorkgroups.call(this, x, y, z);
  };
  const { prototype: encoder } = GPUCommandEncoder;
  encoder.finish = timed(encoder.finish);
  const { prototype: queue } = GPUQueue;
  const { submit } = queue;
  queue.submit = timed(function (this: GPUQueue, buffers: GPUCommandBuffer[]) {
    submissions++;
    return submit.call(this, buffers);
  });
  const { prototype: buffer } = GPUBuffer;
  const { mapAsync } = buffer;
  buffer.mapAsync = function (mode, offset, size) {
    waits++;
    return mapAsync.call(this, mode, offset, size);
  };
  return {
    async measure(run) {
      [dispatches, submissions, waits, recording] = [0, 0, 0, 0];
      const start = performance.now();
      await run();
      return { milliseconds: performance.now() - start, recording, waits, dispatches, submissions };
    },
    timed(engine) {
      const calls = ENQUEUING.map((name) => {
        const call: (...args: never[]) => unknown = engine[name];
        return [name, { value: timed(call) }] as const;
      });
      return Object.create(engine, Object.fromEntries(calls));
    },
  };
}

async function benchPrediction(engine: GpuEngine, setting: Setting, meter: Meter): Promise<void> {
  const { edge, features, tiles, batch, rounds } = setting;
  const patch: Vec3 = [edge, edge, edge];
  const graph = buildGraph(architecture({ featuresPerStage: features }), 1, 3);
  const made = makeModel({ patch, mirrorAxes: [0, 1, 2] });
  const weights = randomWeights();
  const tensors = weightShapes(graph).map(({ name, shape }) =>
    [name, { shape, dtype: "float32", read: () => weights.get(name, shape) }] as const
  );
  const [fold] = made.folds;
  const folds = [{ ...fold, checkpoint: { ...fold.checkpoint, weights: new Map(tensors) } }];
  const model = { ...made, graph, folds };
  const input = makeCase(model, { grid: [edge, edge, Math.round(edge * (tiles + 1) / 2)] });
  const scratchFolder = await Deno.makeTempDir();
  try {
    await using network = loadNetwork(engine, model, false);
    const plan = planCase(model, network, input, {
      stepSize: 0.5,
      mirroring: true,
      saveProbabilities: false,
      runtimeBytes: 0,
      besideBytes: 0,
      ...(batch !== undefined && { only: { placement: "memory", batch } }),
    });
    const run = async () => {
      using uploaded = uploadCase(engine, input);
      await predictCase({ engine, model, network, input: uploaded, plan, scratchFolder });
    };
    await run();
    const results = await measured(meter, rounds, run);
    const { samples } = plan.stream;
    say(
      `prediction, ${features.join(", ")} features on ${edge}^3, ${samples} samples (${
        samples / MIRRORINGS
      } tiles), ${plan.stream.batch} a pass:`,
    );
    describe(results, samples, "sample");
  } finally {
    await Deno.remove(scratchFolder, { recursive: true });
  }
}

/** As core/train/train_epochs.ts does it: the next batch is set while a step runs, and results of several come together. */
async function benchTraining(engine: GpuEngine, setting: Setting, meter: Meter): Promise<void> {
  const { trainEdge: edge, features, steps, rounds } = setting;
  const patch: Vec3 = [edge, edge, edge];
  const net = timedTraining(patch, 2, features);
  using program = await prepareTraining(engine, net, "f32");
  const image = randomValues(voxelCount(patch), 1);
  const labels = Int16Array.from(image, (value) => Math.floor((value + 1) * 1.5));
  const run = async () => {
    const running: Promise<unknown>[] = [];
    const ahead = stepsAhead(engine.kind, 2 * voxelCount(patch) * 6, false);
    for (let step = 0; step < steps; step++) {
      for (let sample = 0; sample < 2; sample++) engine.setSample(program, sample, image, labels);
      // Samples come from threads: their messages are seen when other things are, too.
      await new Promise((resolve) => setImmediate(resolve));
      const { unsettled, later } = ahead.next();
      await Promise.all(running.splice(0, running.length - unsettled));
      running.push(engine.trainStep(program, { ...TIMED_SGD, later: later && step + 1 < steps }));
    }
    await Promise.all(running);
  };
  await run();
  const results = await measured(meter, rounds, run);
  say(`training, ${features.join(", ")} features on ${edge}^3, batch 2, ${steps} steps:`);
  describe(results, steps, "step");
}

/** Several rounds; the fastest counts: what else runs on the machine only adds. */
async function measured(meter: Meter, rounds: number, run: () => Promise<unknown>): Promise<Measured> {
  const all: Measured[] = [];
  for (let round = 0; round < rounds; round++) all.push(await meter.measure(run));
  return all.reduce((best, one) => (one.milliseconds < best.milliseconds ? one : best));
}

function describe({ milliseconds, recording, waits, dispatches, submissions }: Measured, count: number, what: string) {
  const each = (value: number, digits = 2) => (value / count).toFixed(digits);
  say(
    `  host ${each(milliseconds)} ms a ${what}: recording ${each(recording)}, the rest ${
      each(milliseconds - recording)
    } with ${each(waits)} waits; ${each(dispatches, 0)} dispatches, ${each(submissions)} submissions`,
  );
}
