/**
 * What is done to a case before and after the network: reading with preprocessing, and writing. Jobs and results are plain data, so
 * that they run in a worker beside the network or in the calling thread alike.
 */
import { createHash } from "node:crypto";
import { allocationError } from "../../base/allocation.ts";
import { Interrupted, UserError } from "../../base/errors.ts";
import { writeAtomically } from "../../base/files.ts";
import type { MemoryAllowance } from "../../base/memory_allowance.ts";
import { voxelCount } from "../../base/shape.ts";
import type { ImageGeometry, LabelVolume } from "../../formats/image/image.ts";
import { labelsOnSource } from "../../formats/dicom/labels_on_source.ts";
import type { SourceImages } from "../../formats/dicom/source_images.ts";
import { writeNpz } from "../../formats/archive/npz.ts";
import { pickleProperties } from "../../formats/torch/pickle_properties.ts";
import { parseSeriesPath } from "../../formats/dicom/series.ts";
import { filesOfSeries } from "../../formats/image/dicom/format.ts";
import { readCase, readLabels } from "../../formats/image/read_image.ts";
import { readerClass } from "../../formats/image/readers.ts";
import { writeLabels } from "../../formats/image/write_image.ts";
import type { Configuration, Plans } from "../../plan/plans.ts";
import type { CaseProperties, PreprocessedCase } from "../../preprocess/case.ts";
import { requireReading } from "../../preprocess/case_memory.ts";
import type { NonFinitePolicy } from "../../preprocess/non_finite.ts";
import { preprocessCase } from "../../preprocess/preprocess_case.ts";
import { freeArray } from "../../base/free_array.ts";
import { type ObjectDetails, sourceOfCase, writeOutputs } from "./case_outputs.ts";
import type { CaseOutput } from "./output_formats.ts";
import type { LabelCount } from "./request.ts";
import { readStoredCase, type StoredCaseFolders } from "./stored_case.ts";

/** Read and preprocess one case. */
export interface PrepareJob {
  readonly kind: "prepare";
  readonly id: string;
  readonly files: readonly string[];
  readonly previousStageFile?: string;
  /** Instead of `files`: the case is preprocessed already. */
  readonly stored?: StoredCaseFolders;
  readonly plans: Plans;
  readonly configuration: Configuration;
  readonly nonFinite: NonFinitePolicy;
  readonly checksums: boolean;
  /** True: what DICOM objects refer to is read as well. */
  readonly needsSource: boolean;
  /** The memory that reading and preprocessing may take. */
  readonly memory?: MemoryAllowance;
}

export interface PreparedCase {
  readonly case: PreprocessedCase;
  readonly readSeconds: number;
  readonly preprocessSeconds: number;
  /** File -> SHA-256. */
  readonly checksums: Readonly<Record<string, string>>;
  readonly source?: SourceImages;
}

/** Write one case's segmentation and, where wanted, its probabilities and properties. */
export interface ExportJob {
  readonly kind: "export";
  readonly id: string;
  readonly labels: LabelVolume;
  readonly properties: CaseProperties;
  readonly output: string;
  /** Files in formats of their own; where `output` is not among them, it is written in the model's. */
  readonly outputs?: readonly CaseOutput[];
  /** Needed where one of them is a DICOM object. */
  readonly source?: SourceImages;
  readonly details?: ObjectDetails;
  /** <case>.npz and <case>.pkl, and the raw f32 array (channels, z, y, x) that is packed and removed. */
  readonly probabilities?: {
    readonly npz: string;
    readonly pkl: string;
    readonly raw: string;
    readonly shape: readonly number[];
  };
  /** Labels to be counted, with their names. */
  readonly labelNames: ReadonlyMap<number, string>;
  readonly checksums: boolean;
}

export interface ExportedCase {
  readonly labels: readonly LabelCount[];
  readonly seconds: number;
  readonly checksums: Readonly<Record<string, string>>;
}

export type CaseJob = PrepareJob | ExportJob;
export interface JobResults {
  readonly prepare: PreparedCase;
  readonly export: ExportedCase;
}

/** What a job does, in errors that know no better. */
export const DOING = { prepare: "preparing the case", export: "writing the case" } as const;

/** Bytes of the raw probability file that are handed on at a time. */
const PIECE_BYTES = 1 << 20;

/**
 * Runs a job.
 * @throws UserError naming the case; Interrupted when the signal is aborted.
 */
export async function runCaseJob(job: CaseJob, signal?: AbortSignal): Promise<PreparedCase | ExportedCase> {
  try {
    if (signal?.aborted) throw new Interrupted("The prediction was stopped");
    return job.kind === "prepare" ? await prepare(job) : await exportCase(job, signal);
  } catch (error) {
    const known = allocationError(error, { doing: DOING[job.kind], caseId: job.id });
    if (known instanceof UserError && known.parts.caseId === undefined) throw known.withCase(job.id);
    throw known;
  }
}

/** The buffers of a job or result that can be moved instead of copied. */
export function transferables(data: CaseJob | PreparedCase | ExportedCase): ArrayBuffer[] {
  const arrays: (ArrayBufferView | undefined)[] = [];
  if ("case" in data) arrays.push(data.case.data, data.case.previousStage);
  else if ("kind" in data && data.kind === "export") arrays.push(data.labels.data);
  const buffers = arrays.map((array) => array?.buffer).filter((buffer) => buffer instanceof ArrayBuffer);
  return [...new Set(buffers)];
}

async function prepare(job: PrepareJob): Promise<PreparedCase> {
  const started = performance.now();
  if (job.stored) {
    const stored = await readStoredCase(job.id, job.stored, job.plans, job.memory);
    return { case: stored, readSeconds: (performance.now() - started) / 1000, preprocessSeconds: 0, checksums: {} };
  }
  const { plans: { reader }, previousStageFile: previousFile, memory } = job;
  const source = job.needsSource ? await sourceOfCase(job.files) : undefined;
  const image = await readCase(reader, job.files, {
    judge: (headers) => requireReading(headers, previousFile !== undefined, memory),
  });
  try {
    // Whether the labels will lie on the source's slices is found before the network runs, and not after it.
    if (source) labelsOnSource({ data: new Uint8Array(0), shape: image.geometry.shape }, image.geometry, source);
    const previousStage = previousFile === undefined ? undefined : await readLabels(reader, previousFile, {
      // A segmentation of the image's size has been judged with the image.
      judge: (headers) => requireReading(headers, true, memory),
    });
    const inputs = previousFile === undefined ? job.files : [...job.files, previousFile];
    const checksums = job.checksums ? await hashFiles(inputs) : {};
    const read = performance.now();
    const prepared = preprocessCase(job.id, image, job.plans, job.configuration, {
      ...(previousStage && { previousStage }),
      nan: job.nonFinite,
      overwriteImage: true,
      files: job.files,
      ...(memory && { memory }),
    });
    if (image.data.buffer !== prepared.data.buffer) freeArray(image.data);
    freeArray(previousStage?.labels.data);
    return {
      case: prepared,
      readSeconds: (read - started) / 1000,
      preprocessSeconds: (performance.now() - read) / 1000,
      checksums,
      ...(source && { source }),
    };
  } catch (error) {
    freeArray(image.data); // the next case's memory is counted without it
    throw error;
  }
}

/** The segmentation comes last: where it is, all of the case is. */
async function exportCase(job: ExportJob, signal?: AbortSignal): Promise<ExportedCase> {
  const started = performance.now();
  const { geometry } = job.properties;
  const labels = countLabels(job.labels, job.labelNames, geometry);
  const written: string[] = [];
  const packed = job.probabilities;
  if (packed) {
    const doing = "writing the probabilities";
    const header = { dtype: "<f4", shape: packed.shape };
    await writeNpz(packed.npz, "probabilities", header, pieces(packed.raw), { doing, signal });
    await Deno.remove(packed.raw);
    await writeAtomically(packed.pkl, pickleProperties(job.properties), { doing: "writing the properties", signal });
    written.push(packed.npz, packed.pkl);
  }
  const { labels: { data }, output, outputs, source, details } = job;
  if (outputs) {
    written.push(...await writeOutputs(outputs, output, { labels: job.labels, geometry, source, details, signal }));
  }
  if (!outputs?.some(({ file }) => file === output)) {
    await writeLabels(geometry.reader, output, job.labels, geometry, signal);
    written.push(output);
  }
  freeArray(data);
  const checksums = job.checksums ? await hashFiles(written) : {};
  return { labels, seconds: (performance.now() - started) / 1000, checksums };
}

async function* pieces(path: string): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  for (;;) {
    const piece = new Uint8Array(PIECE_BYTES);
    const count = await file.read(piece);
    if (count === null) return;
    yield piece.subarray(0, count);
  }
}

/** Voxels and millilitres of every label above 0. */
function countLabels(
  { data }: LabelVolume,
  names: ReadonlyMap<number, string>,
  geometry: ImageGeometry,
): LabelCount[] {
  const counts = new Uint32Array(1 << 16);
  for (let i = 0; i < data.length; i++) counts[data[i]]++;
  const isFlat = geometry.sitk?.spacing.length === 2 || readerClass(geometry.reader).geometry === "picture";
  const voxelMl = voxelCount(geometry.spacing) / 1000;
  const labels = new Set([...names.keys()]);
  for (let label = 0; label < counts.length; label++) if (counts[label] > 0) labels.add(label);
  labels.delete(0);
  return [...labels].sort((a, b) => a - b).map((label) => {
    const name = names.get(label);
    return {
      label,
      ...(name !== undefined && { name }),
      voxels: counts[label],
      ...(!isFlat && { ml: counts[label] * voxelMl }),
    };
  });
}

/** SHA-256 of each file; of a DICOM series, of its files one after the other, in the order of the slices. */
async function hashFiles(files: readonly string[]): Promise<Record<string, string>> {
  const sums: Record<string, string> = {};
  for (const file of files) {
    const hash = createHash("sha256");
    const parts = parseSeriesPath(file) ? await filesOfSeries(file) : [file];
    for (const part of parts) for await (const piece of pieces(part)) hash.update(piece);
    sums[file] = hash.digest("hex");
  }
  return sums;
}
