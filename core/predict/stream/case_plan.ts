/** All that is decided about one preprocessed case before the network runs: its stream, its way back to the file, its memory. */
import { UserError } from "../../base/errors.ts";
import { machineMemory } from "../../base/memory_allowance.ts";
import { type Vec3, voxelCount } from "../../base/shape.ts";
import type { Engine, Program, TensorHandle } from "../../engine/engine.ts";
import type { AxisTable, LabelRule, PatchPlacement } from "../../engine/volume.ts";
import { probabilityTables } from "../../preprocess/axis_tables.ts";
import type { CaseProperties, PreprocessedCase } from "../../preprocess/case.ts";
import { type ExportGeometry, exportGeometry } from "../../preprocess/undo.ts";
import type { Labels } from "../../dataset/dataset_json.ts";
import type { Model } from "../model/model_folder.ts";
import { type Mirroring, mirrorings } from "./mirrors.ts";
import type { LoadedNetwork } from "../model/network.ts";
import { planStream } from "./plan_stream.ts";
import type { StreamChoice, StreamPlan } from "./stream.ts";
import { requireTileCount, tileGrid } from "./tiles.ts";

/** Planes of probabilities on their way to the file take at most this. */
export const PROBABILITY_CHUNK_BYTES = 32 * 2 ** 20;

/** A preprocessed case whose arrays are on the engine. */
export interface UploadedCase extends Disposable {
  readonly id: string;
  readonly volume: TensorHandle<"f32">;
  readonly channels: number;
  readonly grid: Vec3;
  readonly previousStage?: TensorHandle<"i16">;
  readonly properties: CaseProperties;
}

export interface CasePlan {
  readonly stream: StreamPlan;
  readonly mirrorings: readonly Mirroring[];
  readonly rule: LabelRule;
  readonly elementType: "u8" | "u16";
  readonly nonlinearity: "softmax" | "sigmoid";
  readonly geometry: ExportGeometry;
  /** Cropped grid at the original resolution, transposed axes. */
  readonly outputGrid: Vec3;
  /** Tables from the network's grid to `outputGrid` along (z, y, x); undefined: logits are resampled class by class, whole. */
  readonly tables?: readonly [AxisTable, AxisTable, AxisTable];
  readonly currentSpacing: Vec3;
}

export interface CasePlanOptions {
  readonly stepSize: number;
  readonly mirroring: boolean;
  readonly saveProbabilities: boolean;
  /** Bytes; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  /** Bytes to stay below where any way does, and to come close to where none does. */
  readonly aim?: number;
  /** Bytes of the program itself: code, heaps, threads, and arrays that are not collected yet. */
  readonly runtimeBytes: number;
  /** Bytes on the host while the network runs that do not belong to this case: the next one, read ahead. */
  readonly besideBytes: number;
  readonly only?: StreamChoice;
}

/** Copies a case to the engine; its own arrays are not needed afterwards. */
export function uploadCase(engine: Engine, input: PreprocessedCase): UploadedCase {
  const volume = engine.alloc("f32", input.data.length, "image");
  engine.upload(volume, input.data as Float32Array<ArrayBuffer>);
  let previousStage: TensorHandle<"i16"> | undefined;
  if (input.previousStage) {
    previousStage = engine.alloc("i16", input.previousStage.length, "previous stage");
    engine.upload(previousStage, input.previousStage as Int16Array<ArrayBuffer>);
  }
  const { id, channels, grid, properties } = input;
  return {
    id,
    volume,
    channels,
    grid,
    previousStage,
    properties,
    [Symbol.dispose]() {
      volume[Symbol.dispose]();
      previousStage?.[Symbol.dispose]();
    },
  };
}

/** Hands patches of a case to a program, the previous stage's labels beside them. */
export function gatherCase(
  engine: Engine,
  { dataset }: Model,
  program: Program,
  { volume, channels, grid, previousStage }: UploadedCase,
  patches: readonly PatchPlacement[],
): void {
  const labelMap = previousStage && { labels: previousStage, oneHot: dataset.labels.foregroundLabels };
  engine.gatherPatches({ volume, channels, grid, labelMap, patches, program });
}

/**
 * Plans a case.
 * @throws UserError if it does not fit the memory that may be used.
 */
export function planCase(
  model: Model,
  network: LoadedNetwork,
  input: Pick<PreprocessedCase, "id" | "grid" | "channels" | "previousStage" | "properties">,
  options: CasePlanOptions,
): CasePlan {
  const { configuration, plans, dataset: { labels } } = model;
  const { properties, grid } = input;
  const outputGrid = properties.shapeAfterCropping;
  const currentSpacing = spacingOf(configuration.spacing, properties);
  const found = probabilityTables(
    configuration.resamplingProbabilities,
    grid,
    outputGrid,
    currentSpacing,
    properties.originalSpacing,
  );
  const tables = found.kind === "tables" ? found.tables : undefined;
  const geometry = exportGeometry(properties, plans);
  const rule = labelRule(labels);
  const elementType = Math.max(...rule.values) > 255 ? "u16" : "u8";
  const flips = mirrorings(options.mirroring ? checkedMirrorAxes(model) : null, configuration.dimensions);
  const imageBytes = voxelCount(grid) * (4 * input.channels + (input.previousStage ? 2 : 0));
  const outputVoxels = voxelCount(geometry.fileShape);
  let labelBytes = 2 * outputVoxels * (elementType === "u8" ? 1 : 2);
  if (options.saveProbabilities) labelBytes += 2 * probabilityChunk(model.outputChannels, outputGrid);
  if (!tables) labelBytes += 4 * (2 * voxelCount(outputGrid) + voxelCount(grid)) + outputVoxels;
  requireTileCount(input.id, grid, configuration.patchSize, options.stepSize, configuration.dimensions);
  const stream = planStream({
    caseId: input.id,
    grid,
    patch: configuration.patchSize,
    tiles: tileGrid(grid, configuration.patchSize, options.stepSize, configuration.dimensions),
    inputChannels: model.inputChannels,
    outputChannels: model.outputChannels,
    ringStride: network.ringStride,
    costs: network.costs,
    outputVoxels: voxelCount(outputGrid),
    mirrorings: flips.length,
    folds: model.folds.length,
    tables,
    // Planes across the innermost axis of the file would be written one number at a time.
    avoidAxis: options.saveProbabilities ? plans.transposeBackward[2] : undefined,
    ...(network.ownMemory && { ownMemory: network.ownMemory }),
    forecast: (batch) => network.forecast(batch),
    fixed: { runtime: options.runtimeBytes, image: 2 * imageBytes + options.besideBytes, labels: labelBytes },
    ...limitOf(options.maxMemory),
    ...(options.aim !== undefined && { aim: options.aim }),
    only: options.only,
  });
  return {
    stream,
    mirrorings: flips,
    rule,
    elementType,
    nonlinearity: labels.hasRegions ? "sigmoid" : "softmax",
    geometry,
    outputGrid,
    tables,
    currentSpacing,
  };
}

function limitOf(maxMemory: number | undefined): { readonly limit?: number; readonly limitIsTheMachines?: true } {
  if (maxMemory !== undefined) return { limit: maxMemory };
  const limit = machineMemory();
  return limit === undefined ? {} : { limit, limitIsTheMachines: true };
}

/** Most bytes of probabilities that are on their way at a time: a chunk of planes, at least one plane. */
function probabilityChunk(channels: number, grid: Vec3): number {
  const all = 4 * channels * voxelCount(grid);
  return Math.max(Math.min(PROBABILITY_CHUNK_BYTES, all), all / Math.min(...grid));
}

/** @throws UserError if the checkpoint mirrors along an axis that its network does not have. */
function checkedMirrorAxes({ mirrorAxes, configuration, folds: [{ file }] }: Model): readonly number[] | null {
  const { dimensions, name } = configuration;
  const wrong = mirrorAxes?.find((axis) => axis >= dimensions);
  if (wrong === undefined) return mirrorAxes;
  throw new UserError({
    doing: "planning the mirroring",
    file,
    problem:
      `the checkpoint allows mirroring along axis ${wrong}, but the configuration ${name} has ${dimensions} axes`,
    remedy: "check that checkpoint and plans belong together, or give --disable_tta",
  });
}

/** How outputs become labels: nnunetv2/utilities/label_handling/label_handling.py. The ignore label is never predicted. */
export function labelRule(labels: Labels): LabelRule {
  return labels.hasRegions
    ? { kind: "regions", values: labels.regionsClassOrder }
    : { kind: "argmax", values: labels.allLabels };
}

/** The configuration's spacing; 2-D configurations take the slice distance of the case. */
function spacingOf(spacing: readonly number[], properties: CaseProperties): Vec3 {
  const [a, b, c] = spacing.length === 3 ? spacing : [properties.originalSpacing[0], ...spacing];
  return [a, b, c];
}
