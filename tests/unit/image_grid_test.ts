import { UserError } from "../../core/base/errors.ts";
import type { ImageGeometry } from "../../core/formats/image/image.ts";
import { checkSameGrid, compareGrids, imageGridCorners } from "../../core/formats/image/image_grid.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

function grid(origin: number[], spacing: number[] = [1, 2, 4]): ImageGeometry {
  return {
    reader: "SimpleITKIO",
    spacing: [spacing[2], spacing[1], spacing[0]],
    shape: [5, 6, 7],
    sitk: { spacing, origin, direction: [0, 1, 0, 1, 0, 0, 0, 0, -1] },
  };
}

Deno.test("corners are the corner voxels' centres, x first", () => {
  const corners = imageGridCorners(grid([10, 20, 30]));
  assertEquals([...corners.slice(0, 3)], [10, 20, 30]);
  // x runs along the world's second axis, 6 steps of 1 mm; y along the first, 5 of 2 mm; z down, 4 of 4 mm.
  assertEquals([...corners.slice(3, 6)], [10, 26, 30]);
  assertEquals([...corners.slice(6, 9)], [20, 20, 30]);
  assertEquals([...corners.slice(12, 15)], [10, 20, 14]);
  assertEquals([...corners.slice(21, 24)], [20, 26, 14]);
});

Deno.test("the nibabel readers' corners are those of the affine that the array has", () => {
  const affine = [[2, 0, 0, 1], [0, 3, 0, 1], [0, 0, 4, 1], [0, 0, 0, 1]] as const;
  const original = [[-2, 0, 0, 3], [0, 3, 0, 1], [0, 0, 4, 1], [0, 0, 0, 1]] as const;
  const shape = [2, 2, 2] as const;
  const spacing = [4, 3, 2] as const;
  const nibabel = { originalAffine: original, reorientedAffine: affine };
  const corners = imageGridCorners({ reader: "NibabelIOWithReorient", spacing, shape, nibabel });
  assertEquals([...corners.slice(0, 6)], [1, 1, 1, 3, 1, 1]);
});

Deno.test("the distance of two grids is in voxels along their own axes", () => {
  assertEquals(compareGrids(grid([0, 0, 0]), grid([0, 0, 0])), 0);
  // Half a voxel along y (2 mm voxels, the world's first axis).
  assertEquals(compareGrids(grid([0, 0, 0]), grid([1, 0, 0])), 0.5);
  // Voxels 1 % larger: the far corner is 4 % of a voxel away along z, 6 % along x, 5 % along y.
  const scaled = compareGrids(grid([0, 0, 0]), grid([0, 0, 0], [1.01, 2.02, 4.04]));
  assert(Math.abs(scaled - Math.hypot(0.06, 0.05, 0.04)) < 1e-12, String(scaled));
});

Deno.test("grids up to 0.1 voxel apart pass, up to 1 with a warning that has the figure, beyond that not", async () => {
  const a = { file: "a.nii.gz", geometry: grid([0, 0, 0]) };
  const shifted = (mm: number) => ({ file: "b.nii.gz", geometry: grid([mm, 0, 0]) });
  assertEquals(checkSameGrid(a, shifted(0.19), "reading"), null);
  const warning = checkSameGrid(a, shifted(0.5), "reading");
  assert(
    warning?.includes("0.250 voxels") && warning.includes("a.nii.gz") && warning.includes("b.nii.gz"),
    `${warning}`,
  );
  assert(checkSameGrid(a, shifted(1.99), "reading"));
  await assertFails(() => checkSameGrid(a, shifted(2.01), "reading"), UserError, "1.00 voxels", "a.nii.gz", "b.nii.gz");
  await assertFails(() => checkSameGrid(a, shifted(NaN), "reading"), UserError, "NaN");
});

Deno.test("another shape is refused with both shapes and both names", async () => {
  const a = { file: "a.nii.gz", geometry: grid([0, 0, 0]) };
  const b = { file: "b.nii.gz", geometry: { ...grid([0, 0, 0]), shape: [5, 6, 8] as const } };
  await assertFails(() => checkSameGrid(a, b, "reading"), UserError, "5 x 6 x 8", "5 x 6 x 7", "a.nii.gz", "b.nii.gz");
});
