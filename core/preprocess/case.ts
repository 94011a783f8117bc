/** A case on its way through the pipeline, as plain data that can cross to a worker and back. */
import type { Vec3 } from "../base/shape.ts";
import type { ImageGeometry } from "../formats/image/image.ts";

/** What undoing the preprocessing needs; upstream's properties. All but `geometry` are in transposed axes. */
export interface CaseProperties {
  readonly geometry: ImageGeometry;
  /** Spacing before resampling, transposed. */
  readonly originalSpacing: Vec3;
  readonly shapeBeforeCropping: Vec3;
  /** Half-open [low, high) per axis. */
  readonly boundingBox: readonly [readonly [number, number], readonly [number, number], readonly [number, number]];
  readonly shapeAfterCropping: Vec3;
}

/** A case ready for the network. */
export interface PreprocessedCase {
  readonly id: string;
  /** (channels, z, y, x), normalised, resampled. */
  readonly data: Float32Array;
  readonly channels: number;
  readonly grid: Vec3;
  /** Cascade: previous stage's labels on the same grid; -1 outside the nonzero mask. */
  readonly previousStage?: Int16Array;
  readonly properties: CaseProperties;
  readonly warnings: readonly string[];
  /** Voxels that were NaN or infinite and were replaced (with --nan), per channel. */
  readonly replacedVoxels: readonly number[];
}
