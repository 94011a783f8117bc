/**
 * How fast this machine is against the one that the engine's cost model was measured on: its forecasts in seconds are off by one
 * common factor elsewhere, or where other programs run. Plans are compared by the model alone, so that they do not depend on it.
 */
import { voxelCount } from "../../base/shape.ts";
import type { Engine } from "../../engine/engine.ts";
import type { Graph } from "../../graph/graph.ts";

const CHANNELS = 32;
/** A run takes a core some 50 ms. */
const PATCH = [32, 64, 64] as const;
const RUNS = 3;

const GRAPH: Graph = {
  nodes: [
    { kind: "input", channels: CHANNELS },
    { kind: "conv", input: 0, channels: CHANNELS, kernel: [3, 3, 3], stride: [1, 1, 1], weight: "first", bias: "bias" },
    { kind: "instanceNorm", input: 1, eps: 1e-5 },
    { kind: "leakyRelu", input: 2, negativeSlope: 0.01 },
    {
      kind: "conv",
      input: 3,
      channels: CHANNELS,
      kernel: [3, 3, 3],
      stride: [1, 1, 1],
      weight: "second",
      bias: "bias",
    },
  ],
  outputs: [4],
};

/** Seconds that networks take now, over those forecast, by a small one; 1 where forecasts are only compared with each other. */
export async function measurePace(engine: Engine): Promise<number> {
  const { measuredShare } = engine.costs;
  if (measuredShare === undefined) return 1;
  using program = await engine.compile(GRAPH, { patch: PATCH, batch: 1, precision: "f32" });
  using weights = await engine.loadWeights(program, {
    get: (_name, shape) => new Float32Array(shape.reduce((product, size) => product * size, 1)),
  });
  using volume = engine.alloc("f32", CHANNELS * voxelCount(PATCH), "volume of the speed measurement");
  engine.clear(volume);
  const patches = [{ origin: [0, 0, 0], mirror: [false, false, false] }] as const;
  engine.gatherPatches({ volume, channels: CHANNELS, grid: PATCH, patches, program });
  const seconds: number[] = [];
  for (let run = 0; run <= RUNS; run++) {
    const started = performance.now();
    engine.run(program, weights);
    await engine.flush();
    // The first run waits for the gather, and finds cold caches.
    if (run > 0) seconds.push((performance.now() - started) / 1000);
  }
  const median = seconds.sort((a, b) => a - b)[RUNS >> 1];
  return median / (measuredShare * program.steps.reduce((sum, step) => sum + step.seconds, 0));
}
