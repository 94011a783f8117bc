/** What all formats of pictures say alike: NaturalImage2DIO's one slice, with upstream's constant for voxel sizes. */
import type { Vec3 } from "../../base/shape.ts";
import type { LabelVolume } from "./image.ts";

/** The geometry that NaturalImage2DIO gives every picture. */
export function pictureGeometry(
  height: number,
  width: number,
): { readonly reader: "NaturalImage2DIO"; readonly spacing: Vec3; readonly shape: Vec3 } {
  return { reader: "NaturalImage2DIO", spacing: [999, 1, 1], shape: [1, height, width] };
}

/** Height and width of labels that are written as a picture. @throws RangeError if they have several slices */
export function pictureSize({ shape: [slices, height, width] }: LabelVolume): readonly [height: number, width: number] {
  if (slices !== 1) throw new RangeError(`a picture has one slice, not ${slices}`);
  return [height, width];
}
