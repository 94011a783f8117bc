/**
 * Whether a GPU computes a model as the CPU does: a tile of the first image on both, once for a model and precision on a GPU. The GPU's
 * self-test has small networks only; a kernel that is wrong for this one's shapes would give a segmentation like any other.
 */
import { UserError } from "../../base/errors.ts";
import { machineMemory } from "../../base/memory_allowance.ts";
import { type Vec3, voxelCount } from "../../base/shape.ts";
import type { Engine, Precision } from "../../engine/engine.ts";
import type { Graph } from "../../graph/graph.ts";
import { checkpointWeights } from "../../network/weights.ts";
import type { PreprocessedCase } from "../../preprocess/case.ts";
import { uploadCase } from "../stream/case_plan.ts";
import type { Model } from "./model_folder.ts";
import { logitsOfTile } from "./tile_logits.ts";

export interface ModelFinding {
  readonly passed: boolean;
  /** A clause for the user: "logits differ from the CPU's by 0.4 of their spread". */
  readonly why: string;
}

/** What was found before, and what is compared with. */
export interface ModelChecks {
  /** By {@link checkKey}. */
  get(key: string): ModelFinding | undefined;
  set(key: string, finding: ModelFinding): Promise<void>;
  /** An engine that is known to be right. The caller disposes it. */
  openReference(): Promise<Engine>;
}

/** A model on an engine gives results that are not those of the CPU. */
export class WrongResults extends UserError {}

/** A model in a precision; `model` is its modelKey. */
export const checkKey = (model: string, precision: Precision) => `${model} ${precision}`;

/**
 * What logits may differ by, as shares of their standard deviation. Rounding makes a hundredth of it; one wrong kernel makes about
 * one. How far activations in 16 bits carry is for {@link choosePrecision} to say, by labels.
 */
const BOUNDS: Readonly<Record<Precision, { readonly usual: number; readonly most: number }>> = {
  f32: { usual: 1e-3, most: 0.02 },
  f16: { usual: 0.02, most: Infinity },
};

/** The reference may take so much, and a quarter of the machine's memory, for a tile of the patch's size; else the tile is as small as the network allows. */
const [REFERENCE_SECONDS, REFERENCE_BYTES] = [5, 1.5 * 2 ** 30];

/** Compares. @param isLimited The user has set a memory limit: the reference takes as little as it can */
export async function compareModel(
  engine: Engine,
  model: Model,
  input: PreprocessedCase,
  precision: Precision,
  checks: ModelChecks,
  isLimited: boolean,
): Promise<ModelFinding> {
  await using reference = await checks.openReference();
  const patch = comparedPatch(reference, model, isLimited);
  const tile = middleOf(input, patch);
  const expected = await logitsOf(reference, model, tile, patch, "f32");
  if (!expected.every(Number.isFinite)) return { passed: true, why: "the CPU's logits are not all finite" };
  const { usual, most } = differenceOf(await logitsOf(engine, model, tile, patch, precision), expected);
  const bounds = BOUNDS[precision];
  const share = (value: number) => value.toPrecision(2);
  const why = `logits of a tile of ${patch.join("x")} differ from the CPU's by ${share(usual)} of their spread, ` +
    `at most by ${share(most)}`;
  return { passed: usual <= bounds.usual && most <= bounds.most, why };
}

/** The model's patch where the reference computes it in a moment, else a small one that still has 2 voxels where there are fewest. */
function comparedPatch(reference: Engine, { graph, configuration }: Model, isLimited: boolean): Vec3 {
  const { patchSize: patch } = configuration;
  const { memory, steps } = reference.forecast(graph, referenceOptions(patch));
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  const bytes = memory.activations + memory.weights + memory.scratch;
  const room = Math.min(REFERENCE_BYTES, (machineMemory() ?? Infinity) / 4);
  if (!isLimited && seconds <= REFERENCE_SECONDS && bytes <= room) return patch;
  const strides = totalStrides(graph);
  const axis = (i: 0 | 1 | 2) => Math.min(patch[i], 2 * strides[i]);
  return [axis(0), axis(1), axis(2)];
}

const referenceOptions = (patch: Vec3) =>
  ({ patch, batch: 1, precision: "f32", weightStorage: "packedPerRun" }) as const;

/** By how much the coarsest grid of a network is smaller than its input. */
export function totalStrides({ nodes }: Graph): Vec3 {
  const all: Vec3[] = [];
  for (const node of nodes) {
    const [z, y, x] = node.kind === "input" ? [1, 1, 1] : all["inputs" in node ? node.inputs[0] : node.input];
    const [a, b, c] = "stride" in node ? node.stride : [1, 1, 1];
    all.push(node.kind === "transposedConv" ? [z / a, y / b, x / c] : [z * a, y * b, x * c]);
  }
  const most = (axis: 0 | 1 | 2) => all.reduce((sum, strides) => Math.max(sum, strides[axis]), 1);
  return [most(0), most(1), most(2)];
}

/** A tile, and where the patch begins in it: before it where the image is smaller. */
interface Tile {
  readonly input: PreprocessedCase;
  readonly origin: Vec3;
}

/** The middle of a case; corners of an image are mostly air. */
export function middleOf(input: PreprocessedCase, patch: Vec3): Tile {
  const { grid, channels, data, previousStage } = input;
  const first = (axis: 0 | 1 | 2) => Math.floor((grid[axis] - patch[axis]) / 2);
  const start: Vec3 = [first(0), first(1), first(2)];
  const from: Vec3 = [Math.max(0, start[0]), Math.max(0, start[1]), Math.max(0, start[2])];
  const size = (axis: 0 | 1 | 2) => Math.min(patch[axis], grid[axis]);
  const box: Vec3 = [size(0), size(1), size(2)];
  const cut = <T extends Float32Array | Int16Array>(source: T, target: T, volumes: number): T => {
    for (let row = 0; row < volumes * box[0] * box[1]; row++) {
      const [y, z] = [row % box[1], Math.floor(row / box[1]) % box[0]];
      const volume = Math.floor(row / (box[0] * box[1]));
      const at = ((volume * grid[0] + from[0] + z) * grid[1] + from[1] + y) * grid[2] + from[2];
      target.set(source.subarray(at, at + box[2]), row * box[2]);
    }
    return target;
  };
  return {
    input: {
      ...input,
      data: cut(data, new Float32Array(channels * voxelCount(box)), channels),
      grid: box,
      ...(previousStage && { previousStage: cut(previousStage, new Int16Array(voxelCount(box)), 1) }),
    },
    origin: [start[0] - from[0], start[1] - from[1], start[2] - from[2]],
  };
}

/** (channels, z, y, x) of the first fold. */
async function logitsOf(
  engine: Engine,
  model: Model,
  { input, origin }: Tile,
  patch: Vec3,
  precision: Precision,
): Promise<Float32Array> {
  const { graph, folds: [{ checkpoint, file }] } = model;
  const options = engine.kind === "cpu" ? referenceOptions(patch) : { patch, batch: 1, precision };
  using program = await engine.compile(graph, options);
  using weights = await engine.loadWeights(program, checkpointWeights(checkpoint, graph, file));
  using uploaded = uploadCase(engine, input);
  return await logitsOfTile(engine, model, program, weights, uploaded, origin);
}

/** Root of the mean square of the differences and the largest one, over the standard deviation of `expected`; NaN where a number is none. */
export function differenceOf(
  actual: Float32Array,
  expected: Float32Array,
): { readonly usual: number; readonly most: number } {
  let [sum, squares, off, most] = [0, 0, 0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = actual[i] - expected[i];
    sum += expected[i];
    squares += expected[i] ** 2;
    off += difference ** 2;
    most = Math.max(most, Math.abs(difference));
  }
  const mean = sum / expected.length;
  const spread = Math.sqrt(squares / expected.length - mean ** 2) || 1;
  return { usual: Math.sqrt(off / expected.length) / spread, most: most / spread };
}
