/**
 * Runs the predictor over model folders that upstream trained and compares with what upstream predicted:
 * ROOT/models/NAME, ROOT/images/NAME, ROOT/expected/NAME (segmentations, some probabilities as float16), optionally ROOT/prev/NAME
 * and ROOT/NAME.json with the flags upstream was called with.
 */
import { basename, join } from "../../core/base/path.ts";
import { listInputCases } from "../../core/dataset/input_cases.ts";
import type { Engine } from "../../core/engine/engine.ts";
import { labelOverlaps } from "../../core/evaluate/overlap.ts";
import { readNpz } from "../../core/formats/archive/npz.ts";
import { readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { voxelCount } from "../../core/base/shape.ts";
import { importanceMap } from "../../core/predict/stream/importance.ts";
import { type Model, openModel } from "../../core/predict/model/model_folder.ts";
import { predictCases } from "../../core/predict/run/predict_cases.ts";
import type { PredictionOptions, PredictionSummary } from "../../core/predict/run/request.ts";
import { tileGrid } from "../../core/predict/stream/tiles.ts";
import { linearTable } from "../../core/preprocess/axis_tables.ts";
import type { PreprocessedCase } from "../../core/preprocess/case.ts";
import { preprocessCase } from "../../core/preprocess/preprocess_case.ts";
import { exportGeometry } from "../../core/preprocess/undo.ts";

/** Names of the models under a root, none if it is not there. */
export function modelNames(root: string): string[] {
  try {
    return [...Deno.readDirSync(join(root, "models"))].filter(({ isDirectory }) => isDirectory).map(({ name }) => name)
      .sort();
  } catch {
    return [];
  }
}

/** One case of ours against upstream's. */
export interface Agreement {
  readonly id: string;
  /** Share of voxels with equal labels. */
  readonly equal: number;
  /** Dice and number of differing voxels per label that either has. */
  readonly labels: ReadonlyMap<number, { readonly dice: number; readonly differing: number }>;
  /** Share of probability values within 3e-3; only where upstream's are stored. */
  readonly closeProbabilities?: number;
  readonly largestProbabilityError?: number;
  /** Share of the values that could be compared. */
  readonly comparedProbabilities?: number;
}

export interface AgreementRun {
  readonly summary: PredictionSummary;
  readonly cases: readonly Agreement[];
  readonly output: string;
}

const PROBABILITY_TOLERANCE = 3e-3;
const LEAST_WEIGHT = 1e-5;

/** Predicts all images of a model into `output` and compares. */
export async function predictAndCompare(
  engine: Engine,
  root: string,
  name: string,
  output: string,
  options: PredictionOptions = {},
): Promise<AgreementRun> {
  const flags = readFlags(join(root, `${name}.json`));
  const folder = join(root, "models", name);
  using model = await openModel(folder, {
    folds: flags.folds ?? foldsOf(folder),
    checkpointName: "checkpoint_final.pth",
    assumePlansNetwork: true,
  });
  const ending = model.dataset.fileEnding;
  const listing = await listInputCases(join(root, "images", name), {
    fileEnding: ending,
    channelNames: model.dataset.channelNames,
    severalChannelsPerFile: () => true,
  });
  const expected = join(root, "expected", name);
  const summary = await predictCases({
    engine,
    model,
    outputFolder: output,
    cases: listing.cases.map(({ id, files }) => ({
      id,
      files,
      output: join(output, `${id}${ending}`),
      ...(flags.previousStage && { previousStageFile: join(root, flags.previousStage, `${id}${ending}`) }),
    })),
    options: { saveProbabilities: true, ...options },
  });
  const cases: Agreement[] = [];
  for (const { id, files } of listing.cases) {
    const { reader } = model.plans;
    const ours = await readLabels(reader, join(output, `${id}${ending}`));
    const theirs = await readLabels(reader, join(expected, `${id}${ending}`));
    const probabilities = options.saveProbabilities === false ? undefined : await compareProbabilities(
      join(output, `${id}.npz`),
      join(expected, `${id}.npz`),
      async () =>
        reliableVoxels(model, preprocessCase(id, await readCase(reader, files), model.plans, model.configuration, {})),
    );
    cases.push({ id, ...compareLabels(ours.labels.data, theirs.labels.data), ...probabilities });
  }
  return { summary, cases, output };
}

function compareLabels(ours: Int16Array, theirs: Int16Array) {
  let equal = 0;
  const present = new Set<number>();
  for (let i = 0; i < theirs.length; i++) {
    if (ours[i] === theirs[i]) equal++;
    present.add(ours[i]).add(theirs[i]);
  }
  const overlaps = labelOverlaps(ours, theirs, [...present].sort((a, b) => a - b));
  const labels = new Map(
    [...overlaps].map(([label, { TP, FP, FN }]) => [label, { dice: 2 * TP / (2 * TP + FP + FN), differing: FP + FN }]),
  );
  return { equal: equal / theirs.length, labels };
}

async function compareProbabilities(ours: string, theirs: string, reliable: () => Promise<Uint8Array>) {
  try {
    await Deno.stat(theirs);
  } catch {
    return undefined;
  }
  const a = (await readNpz(ours)).get("probabilities");
  const b = (await readNpz(theirs)).get("probabilities");
  if (!a || !b) throw new Error(`${ours} or ${theirs} holds no probabilities`);
  if (a.shape.join() !== b.shape.join()) throw new Error(`${basename(ours)}: shape ${a.shape}, expected ${b.shape}`);
  const counts = await reliable();
  let [close, compared, worst] = [0, 0, 0];
  for (let i = 0; i < a.data.length; i++) {
    if (counts[i % counts.length] === 0) continue;
    const error = Math.abs(Number(a.data[i]) - Number(b.data[i]));
    if (error <= PROBABILITY_TOLERANCE) close++;
    worst = Math.max(worst, error);
    compared++;
  }
  return {
    closeProbabilities: close / compared,
    largestProbabilityError: worst,
    comparedProbabilities: compared / a.data.length,
  };
}

/**
 * 1 for voxels of the file whose probabilities rest on summed Gaussian weights of at least 1e-5. Below that upstream's float16 sums
 * are too coarse to compare with: in float16 6e-8 is the smallest step, and products of logits with such weights lose their digits.
 */
function reliableVoxels(model: Model, { grid, properties }: PreprocessedCase): Uint8Array {
  const { patchSize: patch, dimensions } = model.configuration;
  const importance = importanceMap(patch);
  const sums = new Float32Array(voxelCount(grid));
  const tiles = tileGrid(grid, patch, 0.5, dimensions);
  for (const z of tiles[0]) {
    for (const y of tiles[1]) {
      for (const x of tiles[2]) {
        for (let i = 0; i < importance.length; i++) {
          const [a, b, c] = [
            z + Math.floor(i / (patch[1] * patch[2])),
            y + Math.floor(i / patch[2]) % patch[1],
            x + i % patch[2],
          ];
          if (a < 0 || b < 0 || c < 0 || a >= grid[0] || b >= grid[1] || c >= grid[2]) continue;
          sums[(a * grid[1] + b) * grid[2] + c] += importance[i];
        }
      }
    }
  }
  const { fileShape, offset, strides } = exportGeometry(properties, model.plans);
  const reliable = new Uint8Array(voxelCount(fileShape)).fill(1);
  const to = properties.shapeAfterCropping;
  const [tz, ty, tx] = to.map((n, axis) => linearTable(grid[axis], n));
  for (let z = 0; z < to[0]; z++) {
    for (let y = 0; y < to[1]; y++) {
      for (let x = 0; x < to[2]; x++) {
        let least = Infinity;
        for (const a of [tz.first[z], tz.second[z]]) {
          for (const b of [ty.first[y], ty.second[y]]) {
            for (const c of [tx.first[x], tx.second[x]]) least = Math.min(least, sums[(a * grid[1] + b) * grid[2] + c]);
          }
        }
        if (least < LEAST_WEIGHT) reliable[offset + z * strides[0] + y * strides[1] + x * strides[2]] = 0;
      }
    }
  }
  return reliable;
}

function readFlags(path: string): { readonly folds?: string[]; readonly previousStage?: string } {
  let args: string[];
  try {
    args = JSON.parse(Deno.readTextFileSync(path)).args;
  } catch {
    return {};
  }
  const folds: string[] = [];
  for (let i = args.indexOf("-f") + 1; i > 0 && i < args.length && !args[i].startsWith("-"); i++) folds.push(args[i]);
  const previous = args.indexOf("-prev_stage_predictions");
  return {
    ...(folds.length > 0 && { folds }),
    ...(previous >= 0 && { previousStage: args[previous + 1] }),
  };
}

function foldsOf(folder: string): string[] {
  return [...Deno.readDirSync(folder)].filter(({ name }) => name.startsWith("fold_"))
    .map(({ name }) => name.slice("fold_".length)).sort();
}
