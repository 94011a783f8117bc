/** From the order of voxels in a file to that of the array they are read into, piece by piece. */
import type { Vec3 } from "../../base/shape.ts";
import type { LabelValues } from "./image.ts";
import type { SmallNumbers } from "./image_format.ts";
import { convertVoxels, type VoxelConversion } from "./nifti/voxels.ts";

/** Where voxels go: strides of the target in elements for a step along the stored x, y and z, and for the next volume. */
export interface VoxelTarget {
  /** Of another type than float32 only where the numbers are not scaled, and fit in. */
  readonly data: Float32Array | LabelValues;
  readonly offset: number;
  readonly strides: Vec3;
  readonly volumeStride: number;
}

const SMALL_TYPES: ReadonlyMap<number, SmallNumbers["type"]> = new Map([
  [2, "uint8"],
  [4, "int16"],
  [256, "int16"],
  [512, "uint16"],
]);

/** The type of an image's numbers if they are small and mean what they are. */
export function smallNumbers(
  { datatype, scaling }: VoxelConversion,
  read: SmallNumbers["read"],
): { readonly small?: SmallNumbers } {
  const type = scaling ? undefined : SMALL_TYPES.get(datatype);
  return type === undefined ? {} : { small: { type, read } };
}

/** Converts a run of voxels that starts at the stored position `first` and puts it into the target. */
export function scatterer(size: Vec3, target: VoxelTarget, perPiece: number) {
  const [nx, ny, nz] = size;
  const { data, offset, strides, volumeStride } = target;
  const contiguous = strides[0] === 1 && strides[1] === nx && strides[2] === nx * ny && volumeStride === nx * ny * nz;
  const values = contiguous ? data : new Float32Array(perPiece);
  return (staging: ArrayBuffer, count: number, first: number, conversion: VoxelConversion): void => {
    convertVoxels(staging, count, conversion, values, contiguous ? offset + first : 0);
    if (contiguous) return;
    const step = strides[0];
    let x = first % nx;
    let row = (first - x) / nx;
    for (let i = 0; i < count; row++, x = 0) {
      const [y, slice] = [row % ny, Math.floor(row / ny)];
      let at = offset + x * step + y * strides[1] + (slice % nz) * strides[2] + Math.floor(slice / nz) * volumeStride;
      const end = Math.min(count, i + nx - x);
      for (; i < end; i++, at += step) data[at] = values[i];
    }
  };
}
