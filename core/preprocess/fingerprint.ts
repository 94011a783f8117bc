/**
 * A dataset's fingerprint, and in the same read the check of its integrity. Writes dataset_fingerprint.json as upstream does.
 * Source: nnunetv2/experiment_planning/dataset_fingerprint/fingerprint_extractor.py.
 */
import { lacksMemory } from "../base/allocation.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { UserError } from "../base/errors.ts";
import { ensureFolder, requireWritable, writeAtomically } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { JsonFloat, keysOf, readJsonFile, stringifyJson } from "../base/json.ts";
import { shareMemory } from "../base/memory_allowance.ts";
import { median } from "../base/numeric.ts";
import { join } from "../base/path.ts";
import { chooseReader } from "../dataset/choose_reader.ts";
import { checkDatasetFiles, type Finding, LACKS_MEMORY } from "../dataset/integrity.ts";
import type { CaseExpectation } from "../dataset/integrity_case.ts";
import { fileStates, rememberCheck, rememberedCheck } from "../dataset/integrity_record.ts";
import {
  leftOutFiles,
  type RawCase,
  type RawDataset,
  readRawDataset,
  refuseSameFolder,
} from "../dataset/raw_dataset.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { readerClass } from "../formats/image/readers.ts";
import type { IntensityProperties } from "../plan/plans.ts";
import { SPACING_RANGE } from "../plan/ranges.ts";
import type { AnalysedCase, CaseFingerprint, FingerprintJob } from "./fingerprint_case.ts";
import { analyseCases } from "./fingerprint_pool.ts";
import { createIntensityCollector } from "./intensity_statistics.ts";

export const FINGERPRINT_FILE = "dataset_fingerprint.json";

export interface FingerprintOptions {
  /** True: an existing fingerprint is replaced. */
  readonly clean: boolean;
  /** True: the dataset is checked, unless these same files were before. */
  readonly verify: boolean;
  readonly allowGeometryMismatch: boolean;
  readonly threads: number;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  /** Intensities that are drawn per channel of the dataset; upstream's 10^8 if absent. */
  readonly draws?: number;
  readonly signal?: AbortSignal;
  readonly onCase?: (done: number, of: number) => void;
  readonly onWarning?: (message: string) => void;
}

export interface FingerprintOutcome {
  readonly dataset: RawDataset;
  /** The fingerprint's file; absent if the check found errors: nothing was written then. */
  readonly file?: string;
  /** written: new; kept: there was one. */
  readonly state: "written" | "kept" | "refused";
  readonly check: "done" | "remembered" | "skipped";
  /** Of the check. */
  readonly findings: readonly Finding[];
  readonly reader?: ReaderName;
  /** True: the fingerprint that is there, and was kept, is of other images than are there now. */
  readonly isOfOtherImages?: boolean;
  /** The case whose image and segmentation are farthest apart, if they are more than a voxel. */
  readonly worstGeometry?: { readonly case: RawCase; readonly voxels: number };
}

/** Of the fingerprint and the record of the check, about. */
const BYTES_A_CASE = 1024;

/** Upstream's num_foreground_voxels_for_intensitystats. */
const DRAWS = 1e8;

/**
 * Makes the fingerprint of the dataset in `rawFolder` and writes it into `preprocessedFolder` (made if it is not there).
 * @throws UserError if the dataset cannot be read at all, or without a check if a case cannot; Interrupted if `signal` aborts
 */
export async function extractFingerprint(
  rawFolder: string,
  preprocessedFolder: string,
  options: FingerprintOptions,
): Promise<FingerprintOutcome> {
  refuseSameFolder(rawFolder, preprocessedFolder, "extracting the fingerprint");
  const dataset = await readRawDataset(rawFolder);
  for (const note of await leftOutFiles(rawFolder)) options.onWarning?.(note);
  const file = join(preprocessedFolder, FINGERPRINT_FILE);
  const exists = (await statOrNull(file, "looking for the fingerprint"))?.isFile ?? false;
  const states = options.verify ? await fileStates(dataset) : undefined;
  const remembered = states && await rememberedCheck(preprocessedFolder, states, options.allowGeometryMismatch);
  const checks = options.verify && !remembered;
  const state = exists && !options.clean ? "kept" : "written";
  if (!checks && state === "kept") {
    return { dataset, file, state, check: remembered ? "remembered" : "skipped", findings: remembered ?? [] };
  }

  const findings: Finding[] = checks ? await checkDatasetFiles(dataset) : [...remembered ?? []];
  const reader = await readerOf(dataset, checks, findings, options);
  if (reader === undefined) return { dataset, state: "refused", check: "done", findings };
  await ensureFolder(preprocessedFolder, "making the folder of preprocessed data");
  removeLeftovers(preprocessedFolder);
  await requireWritable(preprocessedFolder, "preparing to write the fingerprint", BYTES_A_CASE * dataset.cases.length);
  const read = await readAllCases(dataset, reader, checks, findings, preprocessedFolder, options);
  findings.push(...read.findings);
  const { worstGeometry } = read;
  if (findings.some(({ severity }) => severity === "error")) {
    return { dataset, findings, reader, worstGeometry, state: "refused", check: "done" };
  }
  if (state === "written") {
    requireVoxelSizes(read.cases, dataset.cases);
    await writeAtomically(file, fingerprintText(read, reader), { doing: "writing the fingerprint" });
  }
  const isOfOtherImages = state === "kept" && !(await describesCases(file, read.cases));
  if (isOfOtherImages) {
    options.onWarning?.(
      `${file} is of other images than are there now, and is kept as in Python; --clean makes it anew`,
    );
  }
  // With a fingerprint of other images, the check and its warning come again.
  if (checks && states && !isOfOtherImages) {
    await rememberCheck(preprocessedFolder, states, options.allowGeometryMismatch, findings);
  }
  const check = checks ? "done" : remembered ? "remembered" : "skipped";
  return { dataset, findings, reader, worstGeometry, isOfOtherImages, file, state, check };
}

/** Nothing is written that planning can't read. @throws UserError naming the first case of another voxel size */
function requireVoxelSizes(read: ReadCases["cases"], cases: readonly RawCase[]): void {
  const { least, most } = SPACING_RANGE;
  const index = read.findIndex(({ spacing }) => !spacing.every((size) => size >= least && size <= most));
  if (index < 0) return;
  throw new UserError({
    doing: "writing the fingerprint",
    caseId: cases[index].id,
    file: cases[index].images[0],
    problem: `its voxels are ${read[index].spacing.join(" x ")} mm; ${least} to ${most} are possible`,
    remedy: "correct the spacing in its header, or take the case out",
  });
}

/** The dataset's reader; undefined if none is found and the check has said so. */
async function readerOf(
  dataset: RawDataset,
  checks: boolean,
  findings: Finding[],
  { onWarning, maxMemory }: FingerprintOptions,
): Promise<ReaderName | undefined> {
  // A first case that is damaged is a finding like any other; the reader can be told from the next.
  const examples = dataset.cases.filter(({ images }) => images.length > 0).slice(0, checks ? 20 : 1);
  let first: UserError | undefined;
  for (const { images } of examples) {
    try {
      const { reader, warnings } = await chooseReader(
        dataset.json,
        dataset.jsonFile,
        images[0],
        false,
        maxMemory,
      );
      warnings.forEach((warning) => onWarning?.(warning));
      return reader;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      first ??= error;
    }
  }
  if (!checks) throw first ?? new UserError({ doing: "choosing the reader", problem: "no case has an image" });
  const { file, problem, remedy } = first?.parts ?? {};
  const isSaid = findings.some((one) => one.kind === "ending" || (one.file !== undefined && one.file === file));
  if (problem !== undefined && !isSaid) {
    findings.push({
      severity: "error",
      kind: lacksMemory(first) ? LACKS_MEMORY : "reader",
      file,
      found: problem,
      needed: remedy ?? "images that can be read",
    });
  }
  return undefined;
}

interface ReadCases {
  /** In the order of the dataset; shorter where the check found errors. */
  readonly cases: readonly Omit<CaseFingerprint, "intensities">[];
  readonly intensities: readonly IntensityProperties[];
  readonly findings: readonly Finding[];
  readonly worstGeometry?: FingerprintOutcome["worstGeometry"];
}

async function readAllCases(
  dataset: RawDataset,
  reader: ReaderName,
  checks: boolean,
  known: readonly Finding[],
  scratchFolder: string,
  options: FingerprintOptions,
): Promise<ReadCases> {
  const expectation = checks ? expectationOf(dataset, options.allowGeometryMismatch) : undefined;
  const unusable = new Set(known.flatMap(({ kind, caseId }) => (kind === "missing" ? caseId ?? [] : [])));
  const noLabels = known.some(({ kind }) => kind === "no labels");
  // No fingerprint will come of it: only the check is left.
  const refused = known.some(({ severity }) => severity === "error");
  const { allowance, ...threads } = shareMemory(options.maxMemory, options.threads);
  const jobs: FingerprintJob[] = dataset.cases
    .map((one, index) => ({
      index,
      case: one,
      reader,
      draws: refused ? 0 : Math.floor((options.draws ?? DRAWS) / dataset.cases.length),
      check: expectation,
      ...(allowance && { memory: allowance }),
    }))
    .filter((job) => !noLabels && job.case.images.length > 0 && !unusable.has(job.case.id));

  const analysed: (Omit<AnalysedCase, "fingerprint"> & { fingerprint?: Omit<CaseFingerprint, "intensities"> })[] = [];
  await using stack = new AsyncDisposableStack();
  const collectors: ReturnType<typeof createIntensityCollector>[] = [];
  await analyseCases(jobs, { ...threads, signal: options.signal }, async ({ fingerprint, ...rest }) => {
    const { intensities, ...kept } = fingerprint ?? { intensities: [] };
    for (const [c, samples] of intensities.entries()) {
      collectors[c] ??= stack.use(createIntensityCollector(scratchFolder));
      await collectors[c].add(samples, rest.index);
    }
    analysed.push({ ...rest, fingerprint: fingerprint && (kept as Omit<CaseFingerprint, "intensities">) });
    options.onCase?.(analysed.length, jobs.length);
  });
  analysed.sort((a, b) => a.index - b.index);
  for (const { warnings } of analysed) warnings.forEach((warning) => options.onWarning?.(warning));

  const findings = analysed.flatMap((one) => one.findings);
  const broken = [...known, ...findings].some(({ severity }) => severity === "error");
  const intensities: IntensityProperties[] = [];
  for (const [c, collector] of broken ? [] : collectors.entries()) {
    intensities.push(required(await collector.statistics(), c));
  }
  return {
    cases: analysed.flatMap(({ fingerprint }) => fingerprint ?? []),
    intensities,
    findings,
    worstGeometry: worstGeometry(analysed, dataset.cases),
  };
}

function required(statistics: IntensityProperties | null, channel: number): IntensityProperties {
  if (statistics) return statistics;
  throw new UserError({
    doing: "collecting the dataset's statistics",
    problem: `channel ${channel} has no foreground voxel in any case: all segmentations are 0 where the images are not`,
    remedy: "check that the segmentations hold the labels, and lie on their images",
  });
}

function worstGeometry(
  analysed: readonly Pick<AnalysedCase, "index" | "gridDistance">[],
  cases: readonly RawCase[],
): ReadCases["worstGeometry"] {
  const far = analysed.filter(({ gridDistance }) => gridDistance !== undefined && !(gridDistance <= 1));
  if (far.length === 0) return undefined;
  const worst = far.reduce((a, b) => ((b.gridDistance ?? 0) > (a.gridDistance ?? 0) ? b : a));
  return { case: cases[worst.index], voxels: worst.gridDistance ?? NaN };
}

function expectationOf({ json }: RawDataset, allowGeometryMismatch: boolean): CaseExpectation {
  const channels = json.channel_names ?? json.modality;
  const isTable = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
  const labels = isTable(json.labels) ? Object.values(json.labels).flat() : [];
  const isLabel = (label: unknown): label is number => Number.isInteger(label);
  // The background is a label of every segmentation, also where the table lacks it.
  const numbers = labels.every(isLabel) && labels.length > 0 ? [...new Set([0, ...labels])].sort((a, b) => a - b) : [];
  return {
    allowGeometryMismatch,
    channels: isTable(channels) ? keysOf(channels).length : undefined,
    // A table that is no table of numbers is a finding of its own, and says nothing about the segmentations.
    labels: numbers.length > 0 ? numbers : undefined,
  };
}

/** dataset_fingerprint.json: keys sorted, Python's integers and floats told apart. */
function fingerprintText({ cases, intensities }: ReadCases, reader: ReaderName): string {
  // Upstream's reader of pictures has its spacing as integers.
  const spacing = (value: number) => (readerClass(reader).geometry === "picture" ? value : new JsonFloat(value));
  const floats = (properties: IntensityProperties) =>
    Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, new JsonFloat(value)]));
  return stringifyJson({
    spacings: cases.map((one) => one.spacing.map(spacing)),
    shapes_after_crop: cases.map((one) => one.shapeAfterCrop),
    foreground_intensity_properties_per_channel: Object.fromEntries(intensities.map((one, c) => [c, floats(one)])),
    median_relative_size_after_cropping: new JsonFloat(median(cases.map((one) => one.relativeSize))),
  }, { sortKeys: true });
}

/** True if a fingerprint that is there has the spacings and shapes of these cases. */
async function describesCases(file: string, cases: ReadCases["cases"]): Promise<boolean> {
  let value: unknown;
  try {
    ({ value } = await readJsonFile(file, "reading the fingerprint that is there"));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError({ ...error.parts, remedy: "make it anew with --clean" });
  }
  const { spacings, shapes_after_crop: shapes } = (value ?? {}) as Record<string, unknown>;
  const there = JSON.stringify([spacings, shapes]);
  return there === JSON.stringify([cases.map(({ spacing }) => spacing), cases.map((one) => one.shapeAfterCrop)]);
}
