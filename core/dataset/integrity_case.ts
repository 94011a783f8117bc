/**
 * The check of one training case that is read: channels, shapes, grids, values that are not finite, labels that are not expected.
 * Source: check_cases and verify_labels in nnunetv2/experiment_planning/verify_dataset_integrity.py.
 */
import { basename } from "../base/path.ts";
import { equalVec3, type Vec3 } from "../base/shape.ts";
import type { CaseImage } from "../formats/image/image.ts";
import { compareGrids, GRID_TOLERANCE } from "../formats/image/image_grid.ts";
import { formatOf } from "../formats/image/readers.ts";
import type { Finding } from "./integrity.ts";
import type { RawCase } from "./raw_dataset.ts";

export interface CaseExpectation {
  /** dataset.json's channels; undefined: not known. */
  readonly channels?: number;
  /** All labels, the ignore label included; undefined: not known. */
  readonly labels?: readonly number[];
  /** Grids that are apart give a warning and not an error. */
  readonly allowGeometryMismatch: boolean;
}

export interface CaseCheck {
  readonly findings: readonly Finding[];
  /** Largest distance in voxels between corners of the image's and the segmentation's grid; absent where shapes differ. */
  readonly gridDistance?: number;
}

/** Values a message lists before it says "...". */
const LISTED = 8;
/** Values that are told apart in a segmentation; more are no labels. */
const MOST_VALUES = 4096;

/** All findings about one case. `label` is the segmentation as read by the same reader. */
export function checkCase(one: RawCase, image: CaseImage, label: CaseImage, expected: CaseExpectation): CaseCheck {
  const findings: Finding[] = [];
  const add = (kind: string, file: string, found: string, needed: string, severity: Finding["severity"] = "error") =>
    findings.push({ severity, kind, caseId: one.id, file, found, needed });
  const [first] = one.images;

  if (expected.channels !== undefined && image.channels !== expected.channels) {
    const found = `${image.channels} channel${image.channels === 1 ? "" : "s"} in ${one.images.length} file` +
      (one.images.length === 1 ? "" : "s");
    const missing = missingChannels(one.images, expected.channels);
    const needed = `${expected.channels}, one for each of channel_names in dataset.json`;
    add("channels", first, found, missing.length > 0 ? `${needed}; not there: ${missing.join(", ")}` : needed);
  }
  const voxels = image.data.length / image.channels;
  for (let c = 0; c < image.channels; c++) {
    const file = one.images[Math.min(c, one.images.length - 1)];
    const found = describeNonFinite(image.data.subarray(c * voxels, (c + 1) * voxels), image.geometry.shape);
    if (found) add("not finite", file, `${found} in channel ${c}`, "finite values everywhere");
  }
  const geometry = checkGeometry(one, image, label, expected.allowGeometryMismatch);
  findings.push(...geometry.findings);
  if (label.channels !== 1) {
    const { labelsAdvice } = formatOf(label.geometry.reader, one.label);
    add("labels", one.label, `the segmentation has ${label.channels} channels`, labelsAdvice);
    return { ...geometry, findings };
  }
  findings.push(...checkLabelValues(one, label.data, expected.labels));
  return { ...geometry, findings };
}

/** Names of the channels' files that are not among `images`. */
function missingChannels(images: readonly string[], channels: number): string[] {
  const [, stem, ending] = /^(.*)_\d{4}(\.[^.].*)$/.exec(basename(images[0])) ?? [];
  if (stem === undefined) return [];
  const there = new Set(images.map((file) => basename(file)));
  return Array.from({ length: channels }, (_, c) => `${stem}_${String(c).padStart(4, "0")}${ending}`)
    .filter((name) => !there.has(name));
}

function checkGeometry(one: RawCase, image: CaseImage, label: CaseImage, allowed: boolean): CaseCheck {
  const base = { caseId: one.id, file: one.label };
  const [a, b] = [image.geometry, label.geometry];
  if (!equalVec3(a.shape, b.shape)) {
    const text = (shape: Vec3) => `${shape.join(" x ")} (z, y, x)`;
    const found = `the segmentation's shape is ${text(b.shape)}, the image's ${text(a.shape)}`;
    return { findings: [{ severity: "error", kind: "shape", ...base, found, needed: "the same shape" }] };
  }
  const dimensions = (geometry: typeof a) => geometry.sitk?.spacing.length ?? 3;
  if (dimensions(a) !== dimensions(b)) {
    const found = `the segmentation is ${dimensions(b)}-D, the image ${dimensions(a)}-D`;
    return {
      findings: [{ severity: "error", kind: "shape", ...base, found, needed: "the same number of dimensions" }],
    };
  }
  const distance = compareGrids(a, b);
  if (distance <= GRID_TOLERANCE.warning) return { findings: [], gridDistance: distance };
  const finding: Finding = {
    severity: distance <= GRID_TOLERANCE.error || allowed ? "warning" : "error",
    kind: "geometry",
    ...base,
    found: `corners of the segmentation's grid are up to ${distance.toPrecision(3)} voxels away from the image's` +
      ` (origin, spacing or orientation differ)`,
    needed:
      `at most ${GRID_TOLERANCE.error} voxel apart: resample the segmentation or repair its header; where the voxels ` +
      "belong together as they are stored, --allow_geometry_mismatch",
  };
  return { findings: [finding], gridDistance: distance };
}

function checkLabelValues(one: RawCase, data: Float32Array, expected: readonly number[] | undefined): Finding[] {
  const base = { severity: "error" as const, kind: "labels", caseId: one.id, file: one.label };
  const values = distinctValues(data);
  const list = (some: readonly number[]) => some.slice(0, LISTED).join(", ") + (some.length > LISTED ? ", ..." : "");
  if (values.some((value) => Number.isNaN(value))) {
    return [{ ...base, kind: "not finite", found: "NaN in the segmentation", needed: "a label in every voxel" }];
  }
  const fractions = values.filter((value) => !Number.isInteger(value));
  if (fractions.length > 0) {
    const found = `values that are no whole numbers: ${list(fractions)}`;
    return [{ ...base, found, needed: "labels are whole numbers (was it resampled with interpolation?)" }];
  }
  if (expected === undefined) {
    const negative = values.filter((value) => value < 0);
    return negative.length === 0
      ? []
      : [{ ...base, found: `negative values: ${list(negative)}`, needed: "labels from 0 on" }];
  }
  const known = new Set(expected);
  const unknown = values.filter((value) => !known.has(value));
  if (unknown.length > 0) {
    const mask = values.length <= 2 && values.every((value) => value === 0 || value === 255) && known.has(1);
    const needed = mask
      ? "0 and 1: divide by 255"
      : `only the labels of dataset.json: ${expected.join(", ")}; correct the segmentation, or add the label there`;
    return [{ ...base, found: `labels that dataset.json does not have: ${list(unknown)}`, needed }];
  }
  if (values.length === 1 && values[0] === 0) {
    const found = "the segmentation holds only background (0)";
    return [{ ...base, severity: "warning", found, needed: "labels, unless nothing is there to be found" }];
  }
  return [];
}

/** The different values, ascending; NaN last. */
function distinctValues(data: Float32Array): number[] {
  const values = new Set<number>();
  let last = NaN;
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (value === last) continue;
    last = value;
    values.add(value);
    if (values.size > MOST_VALUES) break;
  }
  return [...values].sort((a, b) => (Number.isNaN(a) ? 1 : Number.isNaN(b) ? -1 : a - b));
}

function describeNonFinite(channel: Float32Array, shape: Vec3): string | null {
  let count = 0;
  let first = -1;
  for (let i = 0; i < channel.length; i++) {
    if (channel[i] - channel[i] === 0) continue;
    if (count++ === 0) first = i;
  }
  if (count === 0) return null;
  const [, height, width] = shape;
  const [x, y, z] = [first % width, Math.floor(first / width) % height, Math.floor(first / (width * height))];
  const what = Number.isNaN(channel[first]) ? "NaN" : "infinite";
  return `${count.toLocaleString("en-US")} NaN or infinite voxel${
    count === 1 ? "" : "s"
  }, the first (${what}) at (x ${x}, y ${y}, z ${z})`;
}
