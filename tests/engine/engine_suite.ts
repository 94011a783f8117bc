/**
 * One list of cases that every engine must pass: what an engine computes is compared with the reference engine's results.
 * A case drives the port alone and returns what it downloaded.
 */
import type {
  AxisTable,
  Engine,
  LogitRing,
  PatchPlacement,
  Program,
  TensorHandle,
  WeightSet,
} from "../../core/engine/engine.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { assert, assertClose, TOLERANCE } from "../assert.ts";
import { SUITE_NETWORKS } from "./engine_suite_networks.ts";
import { nonFiniteCase } from "./non_finite_case.ts";
import { architecture, randomValues, randomWeights } from "./networks.ts";

/** Arrays by name; integer arrays are labels. */
export type CaseResult = Readonly<Record<string, Float32Array | Uint8Array | Uint16Array>>;

export interface EngineCase {
  readonly name: string;
  run(engine: Engine): Promise<CaseResult>;
}

/** Asserts that floats agree to a long sum's accuracy and labels at all but a thousandth of the voxels (near ties). */
export function assertResults(actual: CaseResult, expected: CaseResult): void {
  assert(Object.keys(expected).length > 0 && Object.keys(actual).join() === Object.keys(expected).join());
  for (const [what, values] of Object.entries(expected)) {
    if (values instanceof Float32Array) {
      assertClose(actual[what], values, TOLERANCE.f32LongSum, what);
    } else {
      let different = 0;
      values.forEach((value, i) => different += Number(actual[what][i] !== value));
      assert(
        actual[what].length === values.length && different <= values.length / 1000,
        `${what}: ${different} of ${values.length} labels differ`,
      );
    }
  }
}

const NO_MIRROR = [false, false, false] as const;

/** Runs a graph on random input and returns the logits of every sample. */
async function forward(engine: Engine, graph: Graph, patch: Vec3, batch: number): Promise<CaseResult> {
  using program = await engine.compile(graph, { patch, batch, precision: "f32" });
  using weights = await engine.loadWeights(program, randomWeights());
  const input = graph.nodes[0];
  const channels = input.kind === "input" ? input.channels : 0;
  const grid: Vec3 = [patch[0] + 1, patch[1] + 2, patch[2] + batch];
  using volume = uploaded(engine, "volume", randomValues(channels * voxelCount(grid), 5));
  const patches = Array.from({ length: batch }, (_, i): PatchPlacement => ({ origin: [1, 2, i], mirror: NO_MIRROR }));
  engine.gatherPatches({ volume, channels, grid, patches, program });
  engine.run(program, weights);
  const outputs: [string, Float32Array][] = [];
  for (let i = 0; i < batch; i++) outputs.push([`sample ${i}`, await engine.downloadOutput(program, i)]);
  return Object.fromEntries(outputs);
}

function uploaded(engine: Engine, label: string, data: Float32Array): TensorHandle<"f32"> {
  const tensor = engine.alloc("f32", data.length, label);
  engine.upload(tensor, data);
  return tensor;
}

/** A network of one 1x1 convolution on one channel: its outputs are as random as its inputs. */
const HEAD = (channels: number, inputs = 1): Graph => ({
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

/** Passes input channel i on as output channel i. */
const IDENTITY = {
  get: (_name: string, shape: readonly number[]) => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (shape.length > 1) { for (let c = 0; c < shape[0]; c++) values[c * shape[1] + c] = 1; }
    return values;
  },
};

async function gatherCase(engine: Engine): Promise<CaseResult> {
  const [grid, patch]: Vec3[] = [[9, 11, 13], [6, 8, 10]];
  const oneHot = [2, 0, 7];
  using program = await engine.compile(HEAD(5, 5), { patch, batch: 3, precision: "f32" });
  using weights = await engine.loadWeights(program, IDENTITY);
  using volume = uploaded(engine, "volume", randomValues(2 * voxelCount(grid), 11));
  using labels = engine.alloc("i16", voxelCount(grid), "labels");
  const classes = [-1, 0, 2, 7, 3];
  engine.upload(labels, Int16Array.from(randomValues(voxelCount(grid), 12), (v) => classes[Math.floor((v + 1) * 2.5)]));
  const patches: PatchPlacement[] = [
    { origin: [-2, 1, 5], mirror: [true, false, true] },
    { origin: [3, 3, 3], mirror: [false, true, false] },
    { origin: [20, -9, 0], mirror: [false, false, true] },
  ];
  engine.gatherPatches({ volume, channels: 2, grid, labelMap: { labels, oneHot }, patches, program });
  engine.run(program, weights);
  const first = await Promise.all([0, 1, 2].map((i) => engine.downloadOutput(program, i)));
  engine.gatherPatches({
    volume,
    channels: 2,
    grid,
    labelMap: { labels, oneHot },
    patches: patches.slice(1, 2),
    program,
  });
  engine.run(program, weights);
  const again = await engine.downloadOutput(program, 0);
  return { mirrored: first[0], inside: first[1], outside: first[2], again };
}

interface RingSetup extends Disposable {
  readonly ring: LogitRing;
}

/** With the channel stride that all engines have in common. */
function makeRing(engine: Engine, geometry: Omit<LogitRing, "logits" | "weightSums" | "channelStride">): RingSetup {
  const channelStride = padToFour(geometry.channels);
  const voxels = geometry.planes * geometry.rows * geometry.columns;
  const logits = engine.alloc("f32", voxels * channelStride, "logit ring");
  const weightSums = engine.alloc("f32", voxels, "weight sums");
  return {
    ring: { ...geometry, channelStride, logits, weightSums },
    [Symbol.dispose]: () => {
      logits[Symbol.dispose]();
      weightSums[Symbol.dispose]();
    },
  };
}

/** A program whose output is random, run on patches of a volume. */
async function accumulateCase(engine: Engine, axes: Vec3): Promise<CaseResult> {
  const [grid, patch]: Vec3[] = [[14, 10, 12], [6, 8, 7]];
  const channels = 5;
  using program = await engine.compile(HEAD(channels), { patch, batch: 2, precision: "f32" });
  using weights = await engine.loadWeights(program, randomWeights(3));
  using volume = uploaded(engine, "volume", randomValues(voxelCount(grid), 21));
  using importance = uploaded(engine, "importance", randomValues(voxelCount(patch), 22).map((v) => 1.5 + v));
  const planes = 9;
  using setup = makeRing(engine, {
    channels,
    planes,
    rows: grid[axes[1]],
    columns: grid[axes[2]],
    axes,
    depth: grid[axes[0]],
  });
  const { ring } = setup;
  engine.clear(ring.logits);
  engine.clear(ring.weightSums);
  const results: Record<string, Float32Array> = {};
  const origin = (plane: number, u: number, v: number): Vec3 => {
    const values = [0, 0, 0];
    [values[axes[0]], values[axes[1]], values[axes[2]]] = [plane, u, v];
    return [values[0], values[1], values[2]];
  };
  const rounds: readonly (readonly [number, PatchPlacement["mirror"]])[] = [
    [-2, [false, true, false]],
    [1, [true, false, true]],
  ];
  let from = 0;
  for (const [plane, mirror] of rounds) {
    const patches: PatchPlacement[] = [
      { origin: origin(plane, -3, 1), mirror },
      { origin: origin(plane + 1, 4, 6), mirror: NO_MIRROR },
    ];
    engine.gatherPatches({ volume, channels: 1, grid, patches, program });
    engine.run(program, weights);
    patches.forEach((placement, sample) => {
      engine.accumulate({ program, sample, placement, importance, scale: 0.25, addWeight: sample === 0, ring });
      engine.accumulate({ program, sample, placement, importance, scale: 0.5, addWeight: true, ring });
    });
    results[`logits ${plane}`] = await engine.download(ring.logits);
    results[`weights ${plane}`] = await engine.download(ring.weightSums);
    engine.clear(ring.logits, from, 100);
    from += 60;
  }
  // Everything gets a weight, so that nothing is divided by zero.
  engine.upload(ring.weightSums, randomValues(ring.weightSums.length, 4).map((v) => v + 1.25));
  engine.finishPlanes(ring, ring.depth - planes, ring.depth, 3);
  results.finished = await engine.download(ring.logits);
  return results;
}

/** Linear resampling of an axis, or nearest where `nearest`. */
function axisTable(from: number, to: number, nearest = false): AxisTable {
  const first = new Int32Array(to);
  const second = new Int32Array(to);
  const fraction = new Float32Array(to);
  for (let j = 0; j < to; j++) {
    const at = Math.min(Math.max((j + 0.5) * from / to - 0.5, 0), from - 1);
    first[j] = nearest ? Math.floor((j + 0.5) * from / to) : Math.floor(at);
    second[j] = nearest ? first[j] : Math.min(first[j] + 1, from - 1);
    fraction[j] = nearest ? 0 : at - first[j];
  }
  return { first, second, fraction };
}

interface ResampleSetup {
  readonly channels: number;
  readonly depth: number;
  readonly planes: number;
  readonly tables: readonly [AxisTable, AxisTable, AxisTable];
  /** Ranges of output planes, each from source planes that the ring then holds. */
  readonly ranges: readonly (readonly [number, number])[];
}

const RESAMPLINGS: Readonly<Record<string, ResampleSetup>> = {
  "linear on all axes": {
    channels: 3,
    depth: 7,
    planes: 7,
    tables: [axisTable(7, 12), axisTable(9, 14), axisTable(10, 7)],
    ranges: [[0, 5], [5, 12]],
  },
  "nearest planes": {
    channels: 9,
    depth: 4,
    planes: 4,
    tables: [axisTable(4, 9, true), axisTable(9, 14), axisTable(10, 19)],
    ranges: [[0, 9]],
  },
  "identity": {
    channels: 4,
    depth: 6,
    planes: 6,
    tables: [axisTable(6, 6), axisTable(9, 9), axisTable(10, 10)],
    ranges: [[0, 1], [1, 6]],
  },
  "a ring that wraps around": {
    channels: 6,
    depth: 20,
    planes: 7,
    tables: [axisTable(20, 30), axisTable(9, 12), axisTable(10, 13)],
    ranges: [[12, 18]],
  },
};

async function labelsCase(engine: Engine, setup: ResampleSetup, kind: "argmax" | "regions"): Promise<CaseResult> {
  const { channels, planes, depth, tables, ranges } = setup;
  using made = makeRing(engine, { channels, planes, rows: 9, columns: 10, axes: [0, 1, 2], depth });
  const { ring } = made;
  engine.upload(ring.logits, randomValues(ring.logits.length, 31));
  const [depthOut, rows, columns] = tables.map((table) => table.first.length);
  const voxels = depthOut * rows * columns;
  using small = engine.alloc("u8", voxels + 4, "labels");
  using wide = engine.alloc("u16", voxels * 2, "labels");
  engine.clear(small);
  engine.clear(wide);
  const values = Array.from({ length: channels }, (_, c) => c * 9 + (c > 0 ? 1 : 0));
  for (const [from, to] of ranges) {
    engine.resampleToLabels({
      ring,
      tables,
      from,
      to,
      rule: { kind, values },
      target: small,
      // Transposed and backwards along the columns.
      view: { offset: 4 + (columns - 1) * depthOut * rows, strides: [rows, 1, -depthOut * rows] },
    });
    engine.resampleToLabels({
      ring,
      tables,
      from,
      to,
      rule: { kind, values: values.map((v) => v * 300) },
      target: wide,
      view: { offset: 0, strides: [rows * columns * 2, columns * 2, 2] },
    });
  }
  return { u8: await engine.download(small), u16: await engine.download(wide) };
}

async function probabilitiesCase(engine: Engine, setup: ResampleSetup): Promise<CaseResult> {
  const { channels, planes, depth, tables, ranges } = setup;
  using made = makeRing(engine, { channels, planes, rows: 9, columns: 10, axes: [0, 1, 2], depth });
  const { ring } = made;
  engine.upload(ring.logits, randomValues(ring.logits.length, 32).map((v) => v * 8));
  const results: Record<string, Float32Array> = {};
  for (const nonlinearity of ["softmax", "sigmoid"] as const) {
    for (const [from, to] of ranges) {
      const length = (to - from) * channels * tables[1].first.length * tables[2].first.length;
      using target = engine.alloc("f32", length, "probabilities");
      engine.resampleToProbabilities({ ring, tables, from, to, nonlinearity, target });
      results[`${nonlinearity} ${from}`] = await engine.download(target);
    }
  }
  return results;
}

async function orderCase(engine: Engine): Promise<CaseResult> {
  using tensor = engine.alloc("f32", 5000, "tensor");
  const data = randomValues(5000, 41);
  engine.upload(tensor, data);
  const before = engine.download(tensor);
  engine.clear(tensor, 10, 20);
  data.fill(3);
  const cleared = engine.download(tensor, 5, 40);
  engine.upload(tensor, data.subarray(0, 30), 15);
  const after = engine.download(tensor, 0, 100);
  using next = engine.alloc("f32", 10, "next");
  engine.upload(next, new Float32Array(10).fill(1));
  engine.clear(next, 3);
  const last = engine.download(next);
  next[Symbol.dispose]();
  return { before: await before, cleared: await cleared, after: await after, last: await last };
}

async function twoWeightSets(engine: Engine): Promise<CaseResult> {
  const graph = buildGraph(architecture({ featuresPerStage: [4, 8] }), 1, 2);
  const patch: Vec3 = [8, 8, 8];
  using one = await engine.compile(graph, { patch, batch: 1, precision: "f32" });
  using two = await engine.compile(graph, { patch, batch: 2, precision: "f32" });
  const sets: WeightSet[] = [
    await engine.loadWeights(one, randomWeights(1)),
    await engine.loadWeights(two, randomWeights(2)),
  ];
  using volume = uploaded(engine, "volume", randomValues(voxelCount(patch), 51));
  const results: Record<string, Float32Array> = {};
  const origin: Vec3 = [0, 0, 0];
  const programs: Program[] = [one, two];
  for (const program of programs) {
    const patches = Array.from({ length: program.batch }, () => ({ origin, mirror: NO_MIRROR }));
    engine.gatherPatches({ volume, channels: 1, grid: patch, patches, program });
  }
  for (const [i, set] of sets.entries()) {
    for (const program of programs) {
      engine.run(program, set);
      const sample = program.batch - 1;
      results[`weights ${i}, sample ${sample}`] = await engine.downloadOutput(program, sample);
    }
  }
  sets.forEach((set) => set[Symbol.dispose]());
  return results;
}

/** All cases. */
export const ENGINE_CASES: readonly EngineCase[] = [
  { name: "uploads, clears and downloads keep their order", run: orderCase },
  ...SUITE_NETWORKS.map(({ name, graph, patch, batch }): EngineCase => ({
    name: `${name} computes what its definition says`,
    run: (engine) => forward(engine, graph(), patch, batch),
  })),
  { name: "two weight sets serve programs of different batch, input kept", run: twoWeightSets },
  { name: "patches are gathered mirrored, partly outside and with one-hot labels", run: gatherCase },
  ...([[0, 1, 2], [2, 0, 1], [1, 2, 0]] as const).map((axes): EngineCase => ({
    name: `logits accumulate in a ring along axes ${axes.join(", ")}`,
    run: (engine) => accumulateCase(engine, axes),
  })),
  { name: "finished planes tell of NaN and infinite logits", run: nonFiniteCase },
  ...Object.entries(RESAMPLINGS).flatMap(([name, setup]): EngineCase[] => [
    { name: `labels from logits resampled with ${name}`, run: (engine) => labelsCase(engine, setup, "argmax") },
    { name: `regions from logits resampled with ${name}`, run: (engine) => labelsCase(engine, setup, "regions") },
    { name: `probabilities from logits resampled with ${name}`, run: (engine) => probabilitiesCase(engine, setup) },
  ]),
];
