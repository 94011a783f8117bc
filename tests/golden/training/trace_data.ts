/** The traces of this folder and the data they were made with; see make_training_traces.py. */
import { type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { TrainingOptions } from "../../../core/engine/training.ts";
import type { Graph } from "../../../core/graph/graph.ts";
import { withBatchNorm } from "../../../core/network/architecture.ts";
import { buildGraph } from "../../../core/network/build_graph.ts";
import { readArchitecture } from "../../../core/plan/read_architecture.ts";
import { readRecipe } from "../../../core/train/recipe.ts";
import { randomValues } from "../../../core/cases/random_data.ts";

export const TRACES = [
  "plain_3d_labels",
  "plain_3d_anisotropic",
  "plain_3d_regions_ignore",
  "plain_3d_wide",
  "plain_2d_labels_ignore",
  "plain_2d_regions",
  "plain_2d_many_labels",
  "plain_2d_many_regions_ignore",
  "plain_2d_nonlin_first",
  "residual_3d_labels",
  "residual_3d_regions",
  "residual_2d_labels_ignore",
  "plain_3d_batch_norm",
  "residual_2d_batch_norm",
  "plain_3d_dice_top_k",
  "plain_2d_top_k_ignore",
  "residual_3d_top_k_smoothed",
  "plain_3d_adam",
  "residual_2d_vanilla_adam",
] as const;

interface TraceFile {
  /** Upstream's class; absent: nnUNetTrainer. */
  readonly trainer?: string;
  readonly architecture: unknown;
  readonly patch: Vec3;
  readonly batch: number;
  readonly channels: number;
  readonly heads: number;
  readonly labelValues: readonly number[];
  readonly loss: {
    readonly regions: readonly (readonly number[])[] | null;
    readonly ignoreLabel: number | null;
    readonly batchDice: boolean;
  };
  readonly outputWeights: readonly number[];
  readonly outputs: readonly (readonly number[])[];
  readonly gradients: readonly (readonly [string, number])[];
  readonly clipNorm: number;
  readonly losses: readonly number[];
  readonly gradientNorms: readonly number[];
  readonly validation: {
    readonly loss: number;
    readonly tp: readonly number[];
    readonly fp: readonly number[];
    readonly fn: readonly number[];
  };
  /** With batch norm: running statistics, and the loss of a validation step after the last training step. */
  readonly running?: readonly (readonly [string, number])[];
  readonly validationLossAfter?: number;
}

export interface Trace extends TraceFile {
  readonly graph: Graph;
  readonly learningRate: number;
  readonly options: TrainingOptions;
  /** (batch, channels, z, y, x) of every output of the first step. */
  readonly logits: readonly Float32Array[];
  /** By parameter: the first step's gradient before clipping. */
  readonly gradientValues: ReadonlyMap<string, Float32Array>;
  /** Running statistics after the first step. */
  readonly runningValues: ReadonlyMap<string, Float32Array>;
  readonly images: readonly Float32Array[];
  readonly labels: readonly Int16Array[];
}

export async function readTrace(name: string): Promise<Trace> {
  const at = (ending: string) => new URL(`./${name}.${ending}`, import.meta.url);
  const file: TraceFile = JSON.parse(await Deno.readTextFile(at("json")));
  const stored = new Float32Array((await Deno.readFile(at("f32"))).buffer);
  let end = 0;
  const take = (length: number) => stored.subarray(end, end += length);
  const logits = file.outputs.map((shape) => take(shape.reduce((a, b) => a * b)));
  const gradientValues = new Map(file.gradients.map(([parameter, length]) => [parameter, take(length)]));
  const runningValues = new Map((file.running ?? []).map(([buffer, length]) => [buffer, take(length)]));
  const recipe = readRecipe(file.trainer ?? "nnUNetTrainer");
  const context = { doing: "reading the trace", file: name, path: [] };
  const dimensions = name.includes("_2d_") ? 2 : 3;
  const planned = readArchitecture({ architecture: file.architecture }, dimensions, context);
  const architecture = recipe.batchNorm ? withBatchNorm(planned) : planned;
  const { regions, ignoreLabel, batchDice } = file.loss;
  return {
    ...file,
    graph: buildGraph(architecture, file.channels, file.heads, { deepSupervision: true }),
    options: {
      patch: file.patch,
      batch: file.batch,
      precision: "f32",
      loss: {
        target: regions ? { kind: "regions", regions } : { kind: "labels" },
        ...(ignoreLabel !== null && { ignoreLabel }),
        batchDice,
        ...recipe.loss,
      },
      outputWeights: file.outputWeights,
      ...(recipe.optimizer && { optimizer: recipe.optimizer }),
    },
    learningRate: recipe.learningRate,
    logits,
    gradientValues,
    runningValues,
    images: samplesOf(randomValues(file.batch * file.channels * voxelCount(file.patch), 11).map((v) => v * 1.5), file),
    labels: labelMaps(file),
  };
}

function samplesOf(values: Float32Array, { batch }: TraceFile): Float32Array[] {
  const length = values.length / batch;
  return Array.from({ length: batch }, (_, n) => values.subarray(n * length, (n + 1) * length));
}

/** Cells of 3 voxels an axis, a label drawn for each. */
function labelMaps({ batch, patch, labelValues }: TraceFile): Int16Array[] {
  const cells = patch.map((n) => Math.ceil(n / 3));
  const count = cells[0] * cells[1] * cells[2];
  const drawn = randomValues(batch * count, 12);
  return Array.from({ length: batch }, (_, n) => {
    const labels = new Int16Array(voxelCount(patch));
    let at = 0;
    for (let z = 0; z < patch[0]; z++) {
      for (let y = 0; y < patch[1]; y++) {
        for (let x = 0; x < patch[2]; x++) {
          const [cz, cy, cx] = [z, y, x].map((i) => Math.floor(i / 3));
          const u = (drawn[n * count + (cz * cells[1] + cy) * cells[2] + cx] + 1) / 2;
          labels[at++] = labelValues[Math.floor(u * labelValues.length)];
        }
      }
    }
    return labels;
  });
}
