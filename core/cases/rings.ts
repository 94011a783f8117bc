/** Rings of logits and patches of volumes, for cases of what lies around a network. */
import { padToFour, type Vec3, voxelCount } from "../base/shape.ts";
import type { Engine, Precision, StepCost } from "../engine/engine.ts";
import type { LogitRing } from "../engine/volume.ts";
import type { Graph } from "../graph/graph.ts";
import { type CaseEngine, type CaseResult, type EngineCase, type TimedSize } from "./case.ts";

export const NO_MIRROR = [false, false, false] as const;

/** A network of one 1x1 convolution: of random weights, its outputs are as random as its inputs. */
export const head = (channels: number, inputs = 1): Graph => ({
  nodes: [
    { kind: "input", channels: inputs },
    {
      kind: "conv",
      input: 0,
      channels,
      kernel: [1, 1, 1],
      stride: [1, 1, 1],
      weight: "head.weight",
      bias: "head.bias",
    },
  ],
  outputs: [1],
});

/** Weights with which {@link head} passes input channel i on as output channel i. */
export const IDENTITY = {
  get: (_name: string, shape: readonly number[]) => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (shape.length > 1) { for (let c = 0; c < shape[0]; c++) values[c * shape[1] + c] = 1; }
    return values;
  },
};

/** Everything of a ring but its tensors; the channel stride that all engines have in common unless given. */
export type RingGeometry =
  & Omit<LogitRing, "logits" | "weightSums" | "nonFinite" | "channelStride">
  & Partial<Pick<LogitRing, "channelStride">>;

/** A ring whose planes, rows and columns are those of a grid. */
export function wholeRing(channels: number, grid: Vec3, axes: Vec3 = [0, 1, 2]): RingGeometry {
  const [planes, rows, columns] = [grid[axes[0]], grid[axes[1]], grid[axes[2]]];
  return { channels, planes, rows, columns, axes, depth: planes };
}

/** A ring, its logits and weights undefined. */
export function makeRing(engine: Engine, geometry: RingGeometry, flagged = false): LogitRing & Disposable {
  const { channels, planes, rows, columns, axes, depth, channelStride = padToFour(channels) } = geometry;
  using taken = new DisposableStack();
  const logits = taken.use(engine.alloc("f32", planes * rows * columns * channelStride, "logit ring"));
  const weightSums = taken.use(engine.alloc("f32", planes * rows * columns, "weight sums"));
  const nonFinite = flagged ? taken.use(engine.alloc("f32", 1, "flag")) : undefined;
  const owned = taken.move();
  return {
    logits,
    weightSums,
    ...(nonFinite && { nonFinite }),
    channels,
    channelStride,
    planes,
    rows,
    columns,
    axes,
    depth,
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** A case of what lies around a network, which is the same in all precisions. */
export function volumeCase(
  name: string,
  run: (engine: Engine) => Promise<CaseResult>,
  more: { readonly selfTest?: boolean; readonly timed?: readonly TimedSize[] } = {},
): EngineCase {
  return {
    name,
    family: "volume",
    precisions: ["f32"],
    ...more,
    forecast: (_engine: CaseEngine, _precision: Precision): readonly StepCost[] => [],
    run,
  };
}

/** A size at which a call of the port is timed; `prepare` says what it enqueues, and counts. */
export function timedCall(
  name: string,
  prepare: (engine: Engine, taken: DisposableStack) => Promise<TimedCall> | TimedCall,
): TimedSize {
  return {
    name,
    async prepare(engine) {
      using taken = new DisposableStack();
      const { run, voxels, bytes } = await prepare(engine, taken);
      const owned = taken.move();
      return { run, voxels, bytes, [Symbol.dispose]: () => owned.dispose() };
    },
  };
}

interface TimedCall {
  readonly run: () => void;
  readonly voxels: number;
  readonly bytes: number;
}

/** Bytes of so many f32 on a grid. */
export const floatBytes = (channels: number, grid: Vec3): number => 4 * channels * voxelCount(grid);
