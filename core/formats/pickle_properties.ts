import type { Vec3 } from "../base/shape.ts";
import type { ImageGeometry } from "./image.ts";
/** What upstream's properties .pkl holds of a predicted case. Axes after transpose_forward but for `geometry`. */
export interface PickledProperties {
  readonly geometry: ImageGeometry;
  readonly shapeBeforeCropping: Vec3;
  readonly boundingBox: readonly (readonly [number, number])[];
  readonly shapeAfterCropping: Vec3;
}
/** The bytes of <case>.pkl. */
export function pickleProperties(_properties: PickledProperties): Uint8Array {
  throw new Error("being written");
}
