/** DICOM series against SimpleITK's series reader (tests/golden/dicom). */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { readDicomFolder, seriesPath } from "../../core/formats/dicom/series.ts";
import type { CaseImage, ReaderName } from "../../core/formats/image/image.ts";
import { readCase } from "../../core/formats/image/read_image.ts";
import { assert, assertEquals } from "../assert.ts";
import { expectedSeries, type PackedSeries, packedSeries, unpackSeries } from "./dicom/cases.ts";

/** Of the made series. */
const UID = "1.2.826.0.1.3680043.8.498.17.2.1";
const packed = await packedSeries();
const names = Object.keys(expectedSeries);

async function withSeries(files: PackedSeries, use: (file: string, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dicom_" });
  try {
    await unpackSeries(files, folder);
    const { series } = await readDicomFolder(folder, "reading");
    await use(seriesPath(folder, series.at(0)?.uid ?? UID), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function sha(data: Float32Array): Promise<string> {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

function assertNear(
  actual: readonly number[] | undefined,
  wanted: readonly number[],
  most: number,
  what: string,
): void {
  assert(actual?.length === wanted.length, what);
  const far = wanted.some((value, i) => !(Math.abs(actual[i] - value) <= most));
  assert(!far, `${what}: ${actual} instead of ${wanted}`);
}

const read = names.filter((name) => expectedSeries[name].refused === undefined);

Deno.test("series have SimpleITK's grid to 1e-4 mm at every corner, and its voxels exactly", async () => {
  assert(read.length >= 80, `${read.length} series`);
  for (const name of read) {
    const { size, spacing, origin, direction, range, voxels, warned } = expectedSeries[name];
    await withSeries(packed[name], async (file) => {
      const { data, channels, geometry, warnings } = await readCase("SimpleITKIO", [file]);
      const { sitk, shape } = geometry;
      assert(sitk, name);
      assertEquals([channels, ...shape], [1, ...size.toReversed()], name);
      if (spacing && origin && direction) {
        assertNear(sitk.spacing, spacing, 1e-6 * Math.max(...spacing), `${name}: spacing`);
        assertNear(sitk.origin, origin, 1e-4, `${name}: origin`);
        assertNear(sitk.direction, direction, 1e-6, `${name}: direction`);
        const corner = (of: typeof sitk) =>
          [0, 1, 2].map((i) =>
            of.origin[i] +
            [0, 1, 2].reduce((sum, j) => sum + of.direction[3 * i + j] * of.spacing[j] * (size[j] - 1), 0)
          );
        assertNear(corner(sitk), corner({ spacing, origin, direction }), 1e-4, `${name}: last corner`);
      }
      const lowest = data.reduce((a, b) => Math.min(a, b));
      const highest = data.reduce((a, b) => Math.max(a, b));
      assertEquals([lowest, highest], range.map(Math.fround), `${name}: lowest and highest voxel`);
      assertEquals(await sha(data), voxels, `${name}: voxels`);
      if (warned === undefined) assertEquals(warnings.length, 0, `${name}: ${warnings}`);
      else assert(warnings.some((one) => one.includes(warned)), `${name}: ${warnings}`);
    });
  }
});

Deno.test("series that make no volume, and damaged ones, are refused by name", async () => {
  const refused = names.filter((name) => expectedSeries[name].refused !== undefined);
  assert(refused.length >= 19, `${refused.length} series`);
  for (const name of refused) {
    await withSeries(packed[name], async (file, folder) => {
      const error = await readCase("SimpleITKIO", [file]).then(() => null, (error: unknown) => error);
      assert(error instanceof UserError, `${name}: ${error}`);
      const { refused = "" } = expectedSeries[name];
      assert(error.message.includes(refused), `${name}: ${error.message}`);
      assert(error.message.includes(folder) && error.parts.remedy !== undefined, `${name}: ${error.message}`);
    });
  }
});

const READER_NAMES: readonly ReaderName[] = [
  "SimpleITKIO",
  "NibabelIO",
  "NibabelIOWithReorient",
  "SimpleITKIOWithReorient",
];

Deno.test("every reader class takes a series for the NIfTI file that SimpleITK makes of it", async () => {
  const with_nifti = read.filter((name) => expectedSeries[name].nifti !== undefined);
  assert(with_nifti.length >= 8);
  for (const name of with_nifti) {
    await withSeries(packed[name], async (file, folder) => {
      const nifti = join(folder, "series.nii.gz");
      await Deno.writeFile(nifti, Uint8Array.fromBase64(expectedSeries[name].nifti ?? ""));
      for (const reader of READER_NAMES) {
        const [ours, theirs] = [await readCase(reader, [file]), await readCase(reader, [nifti])];
        assertEquals(gridOf(ours), gridOf(theirs), `${name}, ${reader}`);
        assertEquals(ours.data, theirs.data, `${name}, ${reader}: voxels`);
      }
    });
  }
});

/** Directions and spacings rounded to a hundred millionth: SimpleITK's series reader counts in another order. */
function gridOf({ geometry, channels }: CaseImage): string {
  return JSON.stringify({ ...geometry, channels }, (_, value) => typeof value === "number" ? value.toFixed(5) : value)
    .replaceAll('"-0.00000"', '"0.00000"');
}
