/**
 * Whether a model's activations may be kept in 16 bits: its first tile is computed in both ways, and the labels are compared. What a
 * model's activations reach depends on its weights, so nothing but trying tells; once for a model on a device.
 */
import { createHash } from "node:crypto";
import { type Vec3, voxelCount } from "../../base/shape.ts";
import type { Engine, Precision } from "../../engine/engine.ts";
import type { LabelRule } from "../../engine/volume.ts";
import { checkpointWeights } from "../../network/weights.ts";
import type { PreprocessedCase } from "../../preprocess/case.ts";
import { labelRule, uploadCase } from "../stream/case_plan.ts";
import type { Model } from "./model_folder.ts";
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
}

/** The choice for a model on an engine that supports both, from the cache if it is there. */
export async function choosePrecision(
  engine: Engine,
  model: Model,
  input: PreprocessedCase,
  cache?: PrecisionCache,
): Promise<PrecisionChoice> {
  const key = modelKey(model);
  const known = cache?.get(key);
  if (known) return known;
  const choice = await tryBoth(engine, model, input);
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

async function tryBoth(engine: Engine, model: Model, input: PreprocessedCase): Promise<PrecisionChoice> {
  const exact = await labelsOfTile(engine, model, input, "f32");
  const rounded = await labelsOfTile(engine, model, input, "f16");
  if (!rounded.finite) return { precision: "f32", why: "in f16 the first tile's logits are not all finite" };
  let same = 0;
  exact.labels.forEach((label, i) => same += Number(label === rounded.labels[i]));
  const agreement = same / exact.labels.length;
  const share = `${(Math.floor(agreement * 1e4) / 100).toFixed(2)} %`;
  const why = `f16 gives ${share} of the first tile's labels as f32 does`;
  return agreement >= LEAST_AGREEMENT
    ? { precision: "f16", why }
    : { precision: "f32", why: `${why}; ${100 * LEAST_AGREEMENT} % are asked for` };
}

/** The labels of one tile, fold after fold. It is the middle one: corners of an image are mostly air, which proves little. */
async function labelsOfTile(engine: Engine, model: Model, input: PreprocessedCase, precision: Precision) {
  const { configuration: { patchSize: patch, dimensions }, dataset, graph, outputChannels } = model;
  const rule = labelRule(dataset.labels);
  const [z, y, x] = tileGrid(input.grid, patch, 0.5, dimensions).map((origins) => origins[origins.length >> 1]);
  const origin: Vec3 = [z, y, x];
  using uploaded = uploadCase(engine, input);
  using program = await engine.compile(graph, { patch, batch: 1, precision });
  const labels = new Uint16Array(voxelCount(patch) * model.folds.length);
  let finite = true;
  for (const [index, { checkpoint, file }] of model.folds.entries()) {
    using weights = await engine.loadWeights(program, checkpointWeights(checkpoint, graph, file));
    engine.gatherPatches({
      program,
      volume: uploaded.volume,
      channels: uploaded.channels,
      grid: uploaded.grid,
      ...(uploaded.previousStage &&
        { labelMap: { labels: uploaded.previousStage, oneHot: dataset.labels.foregroundLabels } }),
      patches: [{ origin, mirror: [false, false, false] }],
    });
    engine.run(program, weights);
    const logits = await engine.downloadOutput(program, 0);
    finite &&= logits.every(Number.isFinite);
    applyRule(
      rule,
      logits,
      outputChannels,
      labels.subarray(index * voxelCount(patch), (index + 1) * voxelCount(patch)),
    );
  }
  return { labels, finite };
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
