/**
 * One training case, read once: its part of the fingerprint, and what the dataset's check has to say about it.
 * Source: analyze_case in nnunetv2/experiment_planning/dataset_fingerprint/fingerprint_extractor.py.
 */
import { allocationError } from "../base/allocation.ts";
import { UserError } from "../base/errors.ts";
import { freeArray } from "../base/free_array.ts";
import { collectUnderLimit, type MemoryAllowance, requireRoom } from "../base/memory_allowance.ts";
import { equalVec3, type Vec3, voxelCount } from "../base/shape.ts";
import { type CaseExpectation, checkCase } from "../dataset/integrity_case.ts";
import { type Finding, findingOfError } from "../dataset/integrity.ts";
import type { RawCase } from "../dataset/raw_dataset.ts";
import type { CaseImage, ReaderName } from "../formats/image/image.ts";
import { type CaseHeaders, readCase } from "../formats/image/read_image.ts";
import { nonzeroBoundingBox } from "./crop.ts";
import { type SampledIntensities, sampleIntensities } from "./intensity_samples.ts";

const DOING = "collecting the dataset's statistics";

export interface FingerprintJob {
  readonly index: number;
  readonly case: RawCase;
  readonly reader: ReaderName;
  /** Draws per channel. */
  readonly draws: number;
  /** What the check expects; absent: no check, and NaN voxels are what upstream's reader makes of them. */
  readonly check?: CaseExpectation;
  /** The memory a case may take that is alone at work. */
  readonly memory?: MemoryAllowance;
}

export interface CaseFingerprint {
  readonly shapeAfterCrop: Vec3;
  /** mm in the reader's axis order. */
  readonly spacing: Vec3;
  /** Voxels after cropping by voxels before. */
  readonly relativeSize: number;
  /** One a channel. */
  readonly intensities: readonly SampledIntensities[];
}

export interface AnalysedCase {
  readonly index: number;
  readonly findings: readonly Finding[];
  /** Of the check: see {@link CaseCheck}. */
  readonly gridDistance?: number;
  /** What the reader found unusual. */
  readonly warnings: readonly string[];
  /** Absent if the check found an error. */
  readonly fingerprint?: CaseFingerprint;
}

/** Reads and analyses one case. @throws UserError without a check, for whatever keeps the case from being used */
export async function analyseCase(job: FingerprintJob): Promise<AnalysedCase> {
  const { index, check } = job;
  const one = job.case;
  const nonFinite = check ? "keep" : "asUpstream";
  const findings: Finding[] = [];
  using stack = new DisposableStack();
  stack.defer(() => collectUnderLimit(job.memory));
  const attempt = async <T>(file: string, work: () => T | Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch (thrown) {
      const error = allocationError(thrown, { doing: DOING, file });
      if (!(error instanceof UserError)) throw error;
      if (!check) throw error.withCase(one.id);
      findings.push(findingOfError(error, one.id, file));
      return null;
    }
  };
  const read = (files: readonly string[]) =>
    attempt(files[0], async () => {
      const image = await readCase(job.reader, files, { nonFinite, judge: (headers) => requireReads(headers, job) });
      stack.defer(() => freeArray(image.data));
      return image;
    });
  const image = await read(one.images);
  const label = await read([one.label]);
  if (!image || !label) return { index, findings, warnings: [] };
  const warnings = [...image.warnings, ...label.warnings];
  if (!check) {
    requireUsable(one, image, label);
    return { index, findings, warnings, fingerprint: fingerprintOf(image, label, job) };
  }
  const checked = checkCase(one, image, label, check);
  findings.push(...checked.findings);
  const wrong = findings.some(({ severity }) => severity === "error");
  const fingerprint = wrong ? null : await attempt(one.images[0], () => fingerprintOf(image, label, job));
  return { index, findings, warnings, gridDistance: checked.gridDistance, fingerprint: fingerprint ?? undefined };
}

/** Array buffers that may move to another thread instead of being copied. */
export function transferablesOf({ fingerprint }: AnalysedCase): ArrayBuffer[] {
  return fingerprint?.intensities.flatMap(({ codes, counts }) => [codes.buffer, counts.buffer] as ArrayBuffer[]) ?? [];
}

/** What upstream asserts also where the dataset is not checked. */
function requireUsable(one: RawCase, image: CaseImage, label: CaseImage): void {
  const fail = (file: string, problem: string, remedy: string) => {
    throw new UserError({ doing: DOING, caseId: one.id, file, problem, remedy });
  };
  const check = "run without --no_verify to see everything that is wrong with the dataset";
  if (!equalVec3(image.geometry.shape, label.geometry.shape) || label.channels !== 1) {
    const shape = (volume: CaseImage) => `${volume.channels} x ${volume.geometry.shape.join(" x ")}`;
    fail(one.label, `its shape is ${shape(label)}, the image's ${shape(image)}`, check);
  }
  for (const [volume, file] of [[image, one.images[0]], [label, one.label]] as const) {
    if (hasNan(volume.data)) fail(file, "it has NaN voxels", check);
  }
}

function hasNan(data: Float32Array): boolean {
  for (let i = 0; i < data.length; i++) if (data[i] !== data[i]) return true;
  return false;
}

/** Image and segmentation are in memory together. */
function requireReads({ channels, geometry: { shape }, bufferBytes }: CaseHeaders, { memory }: FingerprintJob): void {
  const bytes = 4 * (channels + 1) * voxelCount(shape) + bufferBytes;
  const needs = `reading its ${shape.join(" x ")} voxels and their segmentation takes`;
  requireRoom(memory, bytes, needs, { doing: DOING });
}

/** Of a voxel of the foreground: its place, value and draws, and these sorted with a second copy. */
const FOREGROUND_BYTES = 28;

function fingerprintOf(image: CaseImage, label: CaseImage, { draws, memory }: FingerprintJob): CaseFingerprint {
  const { shape, spacing } = image.geometry;
  const box = nonzeroBoundingBox(image.data, image.channels, shape);
  const cropped: Vec3 = [box[0][1] - box[0][0], box[1][1] - box[1][0], box[2][1] - box[2][0]];
  const foreground = foregroundOf(label.data, shape, box);
  freeArray(label.data);
  const bytes = 4 * image.data.length + FOREGROUND_BYTES * foreground.length;
  requireRoom(memory, bytes, `drawing from its ${foreground.length} voxels of foreground takes`, { doing: DOING });
  return {
    shapeAfterCrop: cropped,
    spacing,
    relativeSize: voxelCount(cropped) / voxelCount(shape),
    intensities: sampleIntensities(image.data, image.channels, foreground, draws),
  };
}

/** Elements above 0 in the box, ascending. The ignore label is one of them, as in upstream. */
function foregroundOf(labels: Float32Array, shape: Vec3, box: ReturnType<typeof nonzeroBoundingBox>): Uint32Array {
  const [, height, width] = shape;
  const [[z0, z1], [y0, y1], [x0, x1]] = box;
  let count = 0;
  for (let z = z0; z < z1; z++) {
    for (let y = y0; y < y1; y++) {
      const row = (z * height + y) * width;
      for (let i = row + x0; i < row + x1; i++) if (labels[i] > 0) count++;
    }
  }
  const foreground = new Uint32Array(count);
  let at = 0;
  for (let z = z0; z < z1; z++) {
    for (let y = y0; y < y1; y++) {
      const row = (z * height + y) * width;
      for (let i = row + x0; i < row + x1; i++) if (labels[i] > 0) foreground[at++] = i;
    }
  }
  return foreground;
}
