/** What lies beside a segmentation goes with it. */
import { join } from "../../core/base/path.ts";
import { copyBesideLabels, moveBesideLabels } from "../../core/formats/image/beside_labels.ts";
import { assertEquals } from "../assert.ts";

async function inFolder(names: readonly string[], test: (folder: string) => Promise<void>): Promise<string[]> {
  const folder = await Deno.makeTempDir();
  try {
    for (const name of names) await Deno.writeTextFile(join(folder, name), name);
    await test(folder);
    return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the voxel sizes of a TIFF are copied and moved by the segmentation's new name", async () => {
  const files = ["a_0001.tif", "a_0001.json", "a.json"];
  const copied = await inFolder(
    files,
    (folder) => copyBesideLabels(join(folder, "a_0001.tif"), join(folder, "b.tif"), {}),
  );
  assertEquals(copied, ["a.json", "a_0001.json", "a_0001.tif", "b.json"]);
  const moved = await inFolder(
    files,
    (folder) => moveBesideLabels(join(folder, "a_0001.tif"), join(folder, "b.tif"), {}),
  );
  assertEquals(moved, ["a.json", "a_0001.tif", "b.json"]);
});

Deno.test("nothing goes along with segmentations that tell all themselves, or have nothing beside", async () => {
  const nifti = await inFolder(
    ["a.nii.gz", "a.json"],
    (folder) => moveBesideLabels(join(folder, "a.nii.gz"), join(folder, "b.nii.gz"), {}),
  );
  assertEquals(nifti, ["a.json", "a.nii.gz"]);
  const bare = await inFolder(
    ["a.tif"],
    (folder) => copyBesideLabels(join(folder, "a.tif"), join(folder, "b.tif"), {}),
  );
  assertEquals(bare, ["a.tif"]);
});
