/** NaN and infinite voxels: refused, or replaced before the image is cropped, since NaN counts as not zero there. */
import { UserError } from "../base/errors.ts";
import type { CaseImage } from "../formats/image/image.ts";
import type { Configuration } from "../plan/plans.ts";

/** What `--nan` says: an error (the default), 0, or the smallest finite value of the channel. */
export type NonFinitePolicy = "refuse" | "zero" | "min";

export interface FiniteImage {
  /** The image's own array if nothing had to be replaced. */
  readonly data: Float32Array;
  /** Per channel. */
  readonly replacedVoxels: readonly number[];
  readonly warnings: readonly string[];
}

interface NonFinite {
  readonly nans: number;
  readonly infinities: number;
  /** Element within the channel, -1 if there is none. */
  readonly firstNan: number;
  readonly firstInfinity: number;
}

/**
 * Infinite voxels of a channel with CTNormalization stay but under "zero", as that clips them to the training set's range; a warning
 * says so. (SimpleITK reads those of a NIfTI file as 0, as it does NaN.)
 * @param overwrites The image's own array may be changed
 * @throws UserError with count and first position per channel, under "refuse"
 */
export function replaceNonFinite(
  image: CaseImage,
  configuration: Pick<Configuration, "normalizationSchemes">,
  policy: NonFinitePolicy,
  caseId: string,
  overwrites = false,
): FiniteImage {
  const voxels = image.data.length / image.channels;
  const warnings: string[] = [];
  const refused: string[] = [];
  const replacedVoxels: number[] = [];
  let data = image.data;
  for (let c = 0; c < image.channels; c++) {
    const found = findNonFinite(image.data.subarray(c * voxels, (c + 1) * voxels));
    const clipped = configuration.normalizationSchemes[c] === "CTNormalization" && policy !== "zero";
    if (clipped && found.infinities > 0) {
      const upstream = image.geometry.sitk
        ? " (of NIfTI files Python's nnU-Net takes them for 0 with this reader class, as --nan zero does)"
        : "";
      warnings.push(
        `channel ${c} has ${plural(found.infinities, "infinite voxel")}, the first at ` +
          `${position(found.firstInfinity, image)}; CTNormalization clips them to the training set's range${upstream}`,
      );
    }
    const count = found.nans + (clipped ? 0 : found.infinities);
    replacedVoxels.push(policy === "refuse" ? 0 : count);
    if (count === 0) continue;
    if (policy === "refuse") {
      refused.push(describe(c, found, clipped, image));
      continue;
    }
    if (data === image.data && !overwrites) data = image.data.slice();
    const channel = data.subarray(c * voxels, (c + 1) * voxels);
    const value = policy === "zero" ? 0 : smallestFinite(channel);
    for (let i = 0; i < voxels; i++) {
      if (clipped ? Number.isNaN(channel[i]) : !Number.isFinite(channel[i])) channel[i] = value;
    }
    warnings.push(`channel ${c}: ${plural(count, "voxel")} that were not finite set to ${value} (--nan ${policy})`);
  }
  if (refused.length > 0) {
    throw new UserError({
      doing: "checking the image's values",
      problem: refused.join("; "),
      remedy:
        "repair the image, or replace such voxels with --nan zero (by 0) or --nan min (by the channel's smallest value)",
      caseId,
    });
  }
  return { data, replacedVoxels, warnings };
}

function findNonFinite(channel: Float32Array): NonFinite {
  let nans = 0;
  let infinities = 0;
  let firstNan = -1;
  let firstInfinity = -1;
  for (let i = 0; i < channel.length; i++) {
    const value = channel[i];
    if (value - value === 0) continue; // finite
    if (Number.isNaN(value)) {
      if (nans++ === 0) firstNan = i;
    } else if (infinities++ === 0) firstInfinity = i;
  }
  return { nans, infinities, firstNan, firstInfinity };
}

function describe(channel: number, found: NonFinite, clipped: boolean, image: CaseImage): string {
  const parts: string[] = [];
  if (found.nans > 0) parts.push(`${plural(found.nans, "NaN voxel")}, the first at ${position(found.firstNan, image)}`);
  if (!clipped && found.infinities > 0) {
    const at = position(found.firstInfinity, image);
    parts.push(`${plural(found.infinities, "infinite voxel")}, the first at ${at}`);
  }
  return `channel ${channel} has ${parts.join(" and ")}`;
}

function position(element: number, image: CaseImage): string {
  const [, height, width] = image.geometry.shape;
  const x = element % width;
  const y = Math.floor(element / width) % height;
  const z = Math.floor(element / (width * height));
  return `(x ${x}, y ${y}, z ${z})`;
}

function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

function smallestFinite(channel: Float32Array): number {
  let smallest = Infinity;
  for (let i = 0; i < channel.length; i++) {
    const value = channel[i];
    if (value < smallest && value !== -Infinity) smallest = value;
  }
  return smallest === Infinity ? 0 : smallest;
}
