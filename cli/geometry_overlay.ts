/** A picture of an image and a segmentation whose headers don't agree: as their voxels are stored, and as the headers place them. */
import { writeAtomically } from "../core/base/files.ts";
import { join } from "../core/base/path.ts";
import type { Vec3 } from "../core/base/shape.ts";
import type { RawCase } from "../core/dataset/raw_dataset.ts";
import { fullestSlice, greyWindow, overlayPng } from "../core/evaluate/overlay.ts";
import type { CaseImage, ImageGeometry, ReaderName } from "../core/formats/image/image.ts";
import { imageGridCorners } from "../core/formats/image/image_grid.ts";
import { readCase } from "../core/formats/image/read_image.ts";

/** Pixels that a picture is about as wide as, at least. */
const WIDTH = 384;

/**
 * Writes `geometry_mismatch_<case>.png` into `folder`; gives its path. Three panels: the image, with the segmentation voxel on voxel,
 * with the segmentation where its header puts it.
 */
export async function drawGeometryMismatch(one: RawCase, reader: ReaderName, folder: string): Promise<string> {
  const image = await readCase(reader, [one.images[0]]);
  const label = await readCase(reader, [one.label]);
  const { shape, spacing } = image.geometry;
  const placed = placeByHeader(label, image.geometry);
  const scale = Math.max(1, Math.round(WIDTH / shape[2]));
  const png = overlayPng([{
    image: image.data,
    shape,
    spacing,
    window: greyWindow(image.data),
    panels: [undefined, label.data, placed],
    slice: Math.max(0, fullestSlice(label.data, shape)),
  }], scale);
  const path = join(folder, `geometry_mismatch_${one.id}.png`);
  await writeAtomically(path, png, { doing: "drawing the segmentation over the image" });
  return path;
}

/** The segmentation on the image's grid, nearest voxel; 0 outside it. */
function placeByHeader(label: CaseImage, grid: ImageGeometry): Float32Array {
  const [depth, height, width] = grid.shape;
  const from = stepsOf(grid);
  const to = stepsOf(label.geometry);
  const inverse = invert(to.axes);
  const sizes = [...label.geometry.shape].reverse();
  const placed = new Float32Array(depth * height * width);
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const d = [0, 1, 2].map((i) =>
          from.origin[i] + from.axes[0][i] * x + from.axes[1][i] * y + from.axes[2][i] * z - to.origin[i]
        );
        const [i, j, k] = inverse.map((row) => Math.round(row[0] * d[0] + row[1] * d[1] + row[2] * d[2]));
        if (i < 0 || j < 0 || k < 0 || i >= sizes[0] || j >= sizes[1] || k >= sizes[2]) continue;
        placed[(z * height + y) * width + x] = label.data[(k * sizes[1] + j) * sizes[0] + i];
      }
    }
  }
  return placed;
}

/** Where voxel 0 is and what a step along x, y and z is, in mm. */
function stepsOf(geometry: ImageGeometry): { origin: Vec3; axes: readonly [Vec3, Vec3, Vec3] } {
  const two: ImageGeometry = { ...geometry, shape: [2, 2, 2] };
  const corners = imageGridCorners(two);
  const corner = (index: number): Vec3 => [corners[3 * index], corners[3 * index + 1], corners[3 * index + 2]];
  const origin = corner(0);
  const step = (index: number): Vec3 => {
    const to = corner(index);
    return [to[0] - origin[0], to[1] - origin[1], to[2] - origin[2]];
  };
  return { origin, axes: [step(1), step(2), step(4)] };
}

/** Rows that give voxel steps from millimetres. */
function invert([a, b, c]: readonly [Vec3, Vec3, Vec3]): Vec3[] {
  const cross = (u: Vec3, v: Vec3): Vec3 => [
    u[1] * v[2] - u[2] * v[1],
    u[2] * v[0] - u[0] * v[2],
    u[0] * v[1] - u[1] * v[0],
  ];
  const bc = cross(b, c);
  const determinant = a[0] * bc[0] + a[1] * bc[1] + a[2] * bc[2];
  const divided = (v: Vec3): Vec3 => [v[0] / determinant, v[1] / determinant, v[2] / determinant];
  return [divided(bc), divided(cross(c, a)), divided(cross(a, b))];
}
