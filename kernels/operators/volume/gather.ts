/** Cutting patches out of volumes: the image's channels, and one-hot channels of a label map, as a network's input. */
import type { Vec3 } from "../../../core/base/shape.ts";

/** Where a patch lies in a volume, and which axes of it are flipped. */
export interface Placement {
  readonly origin: Vec3;
  readonly mirror: readonly [boolean, boolean, boolean];
}

/**
 * Copies patches, flipped where asked, from channels first (channels, z, y, x) to channels last [sample][z][y][x][padded channels]; voxels
 * outside the volume and padding lanes become 0.
 */
export interface GatherOf<Labels> {
  readonly channels: number;
  readonly grid: Vec3;
  /** i16 (z, y, x); one 0/1 channel for each value of `oneHot` follows the image's channels. */
  readonly labelMap?: Labels & { readonly oneHot: readonly number[] };
  readonly patches: readonly Placement[];
  /** Grid of a sample. */
  readonly patch: Vec3;
}
