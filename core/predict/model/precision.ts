/**
 * Whether a model's activations may be kept in 16 bits: its first tile is computed in both ways, and the labels are compared. What a
 * model's activations reach depends on its weights, so nothing but trying tells; once for a model on a device.
 */
import { createHash } from "node:crypto";
import { voxelCount } from "../../base/shape.ts";
import type { Engine, Precision, Program, WeightSet } from "../../engine/engine.ts";
import type { LabelRule } from "../../engine/volume.ts";
import { checkpointWeights } from "../../network/weights.ts";
import type { PreprocessedCase } from "../../preprocess/case.ts";
import { labelRule, uploadCase, type UploadedCase } from "../stream/case_plan.ts";
import type { ModelChecks } from "./model_check.ts";
import type { Model } from "./model_folder.ts";
import { logitsOfTile } from "./tile_logits.ts";
import { tileGrid } from "../stream/tiles.ts";

/** Voxels of the tile whose labels must agree for f16 to be taken. */
const LEAST_AGREEMENT = 0.9995;

export interface PrecisionChoice {
  readonly precision: Precision;
  /** A clause for the user: "99.98 % of the first tile's labels agree with f32". */
  readonly why: string;
}

/** Choices that were made before, by {@link modelKey}. */
export interface PrecisionCache {
  get(key: string): PrecisionChoice | undefined;
  set(key: string, choice: PrecisionChoice): Promise<void>;
  /** Compares a model in a precision with the CPU before it is used; absent: it is trusted. */
  readonly checks?: ModelChecks;
}

/**
 * The choice for a model on an engine that supports both, from the cache if it is there.
 * @param keep Takes the weights of the first fold, if they had to be loaded for the choice; without it they are given back
 * @param key The model's {@link modelKey}, where it is known: it reads weights of all folds
 */
export async function choosePrecision(
  engine: Engine,
  model: Model,
  input: PreprocessedCase,
  cache?: PrecisionCache,
  keep?: (weights: WeightSet) => void,
  key = modelKey(model),
): Promise<PrecisionChoice> {
  const known = cache?.get(key);
  if (known) return known;
  const choice = await tryBoth(engine, model, input, keep);
  await cache?.set(key, choice);
  return choice;
}

/** Tells trained models apart: network, patch, and all one-dimensional weights (norms and biases) of the folds in use. */
export function modelKey({ graph, configuration, folds }: Model): string {
  const hash = createHash("sha256").update(JSON.stringify([graph, configuration.patchSize]));
  for (const { checkpoint: { weights } } of folds) {
    for (const name of [...weights.keys()].sort()) {
      const stored = weights.get(name);
      if (stored?.shape.length !== 1) continue;
      const values = stored.read();
      hash.update(name).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
  }
  return hash.digest("hex");
}

async function tryBoth(
  engine: Engine,
  model: Model,
  input: PreprocessedCase,
  keep: ((weights: WeightSet) => void) | undefined,
): Promise<PrecisionChoice> {
  let [same, voxels, finite] = [0, 0, true];
  using uploaded = uploadCase(engine, input);
  // The first fold comes last: a prediction begins with its weights.
  for (const fold of model.folds.toReversed()) {
    const keepHere = fold === model.folds[0] ? keep : undefined;
    const { exact, rounded } = await tryFold(engine, model, fold, uploaded, keepHere);
    exact.labels.forEach((label, i) => same += Number(label === rounded.labels[i]));
    voxels += exact.labels.length;
    finite &&= rounded.finite;
  }
  if (!finite) return { precision: "f32", why: "in f16 the first tile's logits are not all finite" };
  const agreement = same / voxels;
  const share = `${(Math.floor(agreement * 1e4) / 100).toFixed(2)} %`;
  const why = `f16 gives ${share} of the first tile's labels as f32 does`;
  return agreement >= LEAST_AGREEMENT
    ? { precision: "f16", why }
    : { precision: "f32", why: `${why}; ${100 * LEAST_AGREEMENT} % are asked for` };
}

interface TileLabels {
  readonly labels: Uint16Array;
  readonly finite: boolean;
}

/** One tile in both precisions, one program after the other. Weights are loaded once where both read them in one form. */
async function tryFold(
  engine: Engine,
  model: Model,
  { checkpoint, file }: Model["folds"][number],
  uploaded: UploadedCase,
  keep: ((weights: WeightSet) => void) | undefined,
): Promise<{ readonly exact: TileLabels; readonly rounded: TileLabels }> {
  const { configuration: { patchSize: patch }, graph } = model;
  let weights: WeightSet | undefined;
  async function inPrecision(precision: Precision): Promise<TileLabels> {
    using program = await engine.compile(graph, { patch, batch: 1, precision });
    if (weights && engine.takesWeights?.(program, weights) === false) {
      weights[Symbol.dispose]();
      weights = undefined;
    }
    weights ??= await engine.loadWeights(program, checkpointWeights(checkpoint, graph, file));
    return await labelsOfTile(engine, model, program, weights, uploaded);
  }
  try {
    const exact = await inPrecision("f32");
    const rounded = await inPrecision("f16");
    if (keep && weights) {
      keep(weights);
      weights = undefined;
    }
    return { exact, rounded };
  } finally {
    weights?.[Symbol.dispose]();
  }
}

/** The labels of one tile. It is the middle one: corners of an image are mostly air, which proves little. */
async function labelsOfTile(
  engine: Engine,
  model: Model,
  program: Program,
  weights: WeightSet,
  uploaded: UploadedCase,
): Promise<TileLabels> {
  const { configuration: { patchSize: patch, dimensions }, dataset, outputChannels } = model;
  const [z, y, x] = tileGrid(uploaded.grid, patch, 0.5, dimensions).map((origins) => origins[origins.length >> 1]);
  const logits = await logitsOfTile(engine, model, program, weights, uploaded, [z, y, x]);
  const labels = new Uint16Array(voxelCount(patch));
  applyRule(labelRule(dataset.labels), logits, outputChannels, labels);
  return { labels, finite: logits.every(Number.isFinite) };
}

/** Labels of logits (channels, voxels). */
function applyRule({ kind, values }: LabelRule, logits: Float32Array, channels: number, labels: Uint16Array): void {
  const voxels = labels.length;
  for (let i = 0; i < voxels; i++) {
    let [label, largest] = [0, kind === "argmax" ? -Infinity : 0];
    for (let c = 0; c < channels; c++) {
      const logit = logits[c * voxels + i];
      if (!(logit > largest)) continue;
      label = values[c];
      if (kind === "argmax") largest = logit;
    }
    labels[i] = label;
  }
}
