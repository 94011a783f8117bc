/**
 * What the numbers of plans and fingerprints may be. Far beyond any that is meant, and small enough that what follows from them can be
 * computed and judged before anything is allocated.
 */
import { z } from "zod";

/** mm; pictures of any unit, and datasets that take nanometres for millimetres, lie within. */
export const SPACING_RANGE = { least: 1e-9, most: 1e9 } as const;
export const SPACING = z.number().min(SPACING_RANGE.least).max(SPACING_RANGE.most);

/** Voxels of a patch along an axis. */
export const PATCH_SIZE = z.int().min(1).max(1 << 16);
export const BATCH_SIZE = z.int().min(1).max(1 << 20);
/** Voxels of an image along an axis. */
export const IMAGE_SIZE = z.number().min(1).max(2 ** 31);
/** Stages of a U-Net: halving 65,536 voxels ends after 17. */
export const STAGES = { most: 64 } as const;
/** Convolutions or blocks of a stage, and of all: planning compares every layer with those that live beside it. */
export const BLOCKS = { most: 256, mostOfNetwork: 1000 } as const;
export const FEATURES = { most: 1 << 16 } as const;
/** Voxels of a kernel or stride along an axis. */
export const KERNEL = { most: 255 } as const;

/** A whole number from 1 on. */
export function count(most: number): z.ZodNumber {
  return z.int().min(1).max(most);
}

/** One such number, or a list of them. */
export function countOrList(most: number): z.ZodType<number | number[]> {
  const one = count(most);
  return z.union([one, z.array(one).min(1)], `expected an integer from 1 to ${most} or a list of them`);
}
