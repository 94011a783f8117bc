/** One case's overlay, from its files to the picture; plain data in and out, so that it runs in any thread. */
import { allocationError } from "../base/allocation.ts";
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { freeArray } from "../base/free_array.ts";
import { collectUnderLimit, type MemoryAllowance, requireRoom } from "../base/memory_allowance.ts";
import { equalVec3, type Vec3, voxelCount } from "../base/shape.ts";
import { trainingBytes } from "../formats/preprocessed/training_data.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { readCase, readWideLabels } from "../formats/image/read_image.ts";
import { openPreprocessedCase } from "../preprocess/training_case_reader.ts";
import { chooseSlice, countSlices, overlaySlicePng, type SliceCounts } from "./plot_overlay.ts";

export type OverlaySource =
  | { readonly kind: "raw"; readonly reader: ReaderName; readonly images: readonly string[]; readonly label: string }
  | { readonly kind: "preprocessed"; readonly folder: string };

export interface OverlayJob {
  readonly caseId: string;
  readonly source: OverlaySource;
  /** Of the image, from 0. */
  readonly channel: number;
  /** Upstream's overlay_intensity. */
  readonly intensity: number;
  /** The memory a case may take that is alone at work. */
  readonly memory?: MemoryAllowance;
}

/** The picture, a PNG, or why there is none. */
export type PlottedCase = { readonly png: Uint8Array } | { readonly failure: UserErrorParts };

export const DRAWING = "drawing the segmentation over the image";

/** Bytes of planes that are read at a time from a preprocessed case. */
const SLAB_BYTES = 32 * 2 ** 20;

interface Slice {
  readonly image: Float32Array;
  readonly labels: ArrayLike<number>;
  readonly width: number;
  readonly height: number;
}

/** Draws one case; what is wrong with its files is in the result. */
export async function plotCase(job: OverlayJob): Promise<PlottedCase> {
  using stack = new DisposableStack();
  stack.defer(() => collectUnderLimit(job.memory));
  try {
    const { image, labels, width, height } = job.source.kind === "raw"
      ? await rawSlice(job, job.source)
      : await preprocessedSlice(job, job.source.folder);
    return { png: overlaySlicePng(image, labels, width, height, job.intensity) };
  } catch (thrown) {
    const error = allocationError(thrown, { doing: DRAWING });
    if (error instanceof UserError) return { failure: error.withCase(job.caseId).parts };
    throw error;
  }
}

async function rawSlice(
  { channel, memory }: OverlayJob,
  { reader, images, label }: OverlaySource & { kind: "raw" },
): Promise<Slice> {
  // A file for each channel, or all channels in one.
  const file = images[images.length > 1 ? channel : 0];
  if (file === undefined) throw noChannel(channel, images.length, label);
  const room = (one: string, shape: Vec3, channels: number) =>
    requireRoom(memory, 4 * channels * voxelCount(shape), `reading its ${shape.join(" x ")} voxels takes`, {
      doing: DRAWING,
      file: one,
    });
  const { data: seg, geometry } = await readWideLabels(reader, label, {
    judge: ({ geometry: { shape } }) => room(label, shape, 1),
  });
  const [slices, height, width] = geometry.shape;
  const size = height * width;
  const counts: SliceCounts = new Map();
  countSlices(counts, seg, size, 0, slices);
  const at = chooseSlice(counts, slices) * size;
  const labels = seg.slice(at, at + size);
  freeArray(seg);
  const image = await readCase(reader, [file], {
    judge: ({ channels, geometry: { shape } }) => room(file, shape, channels),
  });
  if (!equalVec3(image.geometry.shape, geometry.shape)) {
    throw new UserError({
      doing: DRAWING,
      file: label,
      problem: `its shape is ${geometry.shape.join(" x ")} (z, y, x), that of ${file} is ${
        image.geometry.shape.join(" x ")
      }`,
      remedy: "check that both belong to the same case",
    });
  }
  const ofFile = images.length > 1 ? 0 : channel;
  if (ofFile >= image.channels) throw noChannel(channel, image.channels, file);
  const start = ofFile * slices * size + at;
  const plane = image.data.slice(start, start + size);
  freeArray(image.data);
  return { image: plane, labels, width, height };
}

async function preprocessedSlice({ caseId, channel, memory }: OverlayJob, folder: string): Promise<Slice> {
  using stored = await openPreprocessedCase(folder, caseId);
  const { channels, file, grid: [slices, height, width] } = stored;
  if (channel >= channels) throw noChannel(channel, channels, file);
  const planeBytes = trainingBytes([1, height, width], channels);
  const planes = Math.max(1, Math.min(slices, Math.floor(SLAB_BYTES / planeBytes)));
  const needs = `reading ${planes} of its ${slices} planes takes`;
  requireRoom(memory, planes * planeBytes, needs, { doing: DRAWING, file });
  const size = height * width;
  const counts: SliceCounts = new Map();
  for (let first = 0; first < slices; first += planes) {
    const thickness = Math.min(planes, slices - first);
    const box = await stored.readBox([first, 0, 0], [thickness, height, width]);
    countSlices(counts, clampLabels(box.segmentation), size, first, slices);
    freeArray(box.image);
    freeArray(box.segmentation);
  }
  const slice = await stored.readBox([chooseSlice(counts, slices), 0, 0], [1, height, width]);
  const image = slice.image.slice(channel * size, (channel + 1) * size);
  return { image, labels: clampLabels(slice.segmentation), width, height };
}

/** -1, outside of what was nonzero, is background; in place. */
function clampLabels(labels: Int8Array | Int16Array): Int8Array | Int16Array {
  for (let i = 0; i < labels.length; i++) if (labels[i] < 0) labels[i] = 0;
  return labels;
}

function noChannel(channel: number, channels: number, file: string): UserError {
  return new UserError({
    doing: DRAWING,
    file,
    problem: `there is no channel ${channel}: the image has ${channels === 1 ? "one" : channels}`,
    remedy: `choose one from 0 to ${channels - 1} with -channel_idx`,
  });
}
