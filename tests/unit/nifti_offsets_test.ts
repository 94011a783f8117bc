/** Numbers of a NIfTI header that lead outside the file: refused by every reader and by the splitting of 4-D files. */
import { gzipSync } from "node:zlib";
import { UserError } from "../../core/base/errors.ts";
import { splitNifti } from "../../core/formats/image/nifti/split_volumes.ts";
import { readCase } from "../../core/formats/image/read_image.ts";
import { assertEquals, assertFails } from "../assert.ts";

const SIZE = [3, 4, 5] as const;
const VOXELS = SIZE[0] * SIZE[1] * SIZE[2];

/** A little-endian NIfTI-1 file of int16 voxels 0, 1, 2, ... with an sform of 1 mm. */
function nifti(voxOffset: number, extension = 0, magic = "n+1", volumes = 1): Uint8Array {
  const start = magic === "n+1" ? 352 + extension : 352;
  const bytes = new Uint8Array(start + 2 * VOXELS * volumes);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 348, true);
  [volumes > 1 ? 4 : 3, ...SIZE, volumes].forEach((n, i) => view.setInt16(40 + 2 * i, n, true));
  view.setInt16(70, 4, true);
  view.setInt16(72, 16, true);
  for (let i = 0; i < 8; i++) view.setFloat32(76 + 4 * i, 1, true);
  view.setFloat32(108, voxOffset, true);
  view.setInt16(254, 1, true);
  [0, 5, 10].forEach((i) => view.setFloat32(280 + 4 * i, 1, true));
  bytes.set(new TextEncoder().encode(magic), 344);
  if (extension > 0) {
    bytes[348] = 1;
    view.setInt32(352, extension, true);
    view.setInt32(356, 6, true);
  }
  for (let i = 0; i < VOXELS * volumes; i++) view.setInt16(start + 2 * i, i, true);
  return bytes;
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const READERS = ["SimpleITKIO", "NibabelIO", "NibabelIOWithReorient"] as const;

Deno.test("a vox_offset outside the file is refused by every reader, packed or not", async () => {
  await inFolder(async (folder) => {
    for (const offset of [500, 1e6, 1e9, 1e15, 3e38]) {
      const bytes = nifti(offset);
      const [plain, packed] = [`${folder}/a.nii`, `${folder}/a.nii.gz`];
      await Deno.writeFile(plain, bytes);
      await Deno.writeFile(packed, gzipSync(bytes));
      for (const reader of READERS) {
        for (const file of [plain, packed]) await assertFails(() => readCase(reader, [file]), UserError, file);
      }
      await assertFails(() => readCase("NibabelIO", [plain]), UserError, offset > 500 ? "vox_offset" : "voxels");
    }
  });
});

Deno.test("a pair whose vox_offset lies before its image file or is no number is refused", async () => {
  await inFolder(async (folder) => {
    const voxels = nifti(0).subarray(352);
    await Deno.writeFile(`${folder}/a.img`, voxels);
    for (const offset of [-1, -1e9, 1e9, NaN]) {
      await Deno.writeFile(`${folder}/a.hdr`, nifti(offset, 0, "ni1").subarray(0, 352));
      for (const reader of READERS) {
        if (reader === "SimpleITKIO" && Number.isNaN(offset)) continue; // ITK takes it for 0
        await assertFails(() => readCase(reader, [`${folder}/a.hdr`]), UserError, "vox_offset", "a.img");
      }
    }
    await Deno.writeFile(`${folder}/a.hdr`, nifti(0, 0, "ni1").subarray(0, 352));
    for (const reader of READERS) {
      const { data } = await readCase(reader, [`${folder}/a.hdr`]);
      assertEquals([...data], Array.from({ length: VOXELS }, (_, i) => i), reader);
    }
  });
});

Deno.test("voxels behind a long header extension are found by every reader, and kept by the splitting", async () => {
  await inFolder(async (folder) => {
    const extension = 3 << 20;
    const file = `${folder}/a.nii.gz`;
    await Deno.writeFile(file, gzipSync(nifti(352 + extension, extension)));
    for (const reader of READERS) {
      const { data } = await readCase(reader, [file]);
      assertEquals([...data], Array.from({ length: VOXELS }, (_, i) => i), reader);
    }
    await Deno.writeFile(file, gzipSync(nifti(352 + extension, extension, "n+1", 2)));
    await splitNifti(file, (volume) => `${folder}/b${volume}.nii.gz`, "splitting");
    const { data } = await readCase("NibabelIO", [`${folder}/b1.nii.gz`]);
    assertEquals([...data], Array.from({ length: VOXELS }, (_, i) => VOXELS + i));
  });
});

Deno.test("a header of nothing but extensions is refused, not walked through", async () => {
  await inFolder(async (folder) => {
    const bytes = nifti(352 + (4 << 20), 4 << 20);
    const view = new DataView(bytes.buffer);
    for (let at = 352; at < 352 + (4 << 20); at += 8) view.setInt32(at, 8, true);
    await Deno.writeFile(`${folder}/a.nii.gz`, gzipSync(bytes));
    await assertFails(
      () => readCase("NibabelIO", [`${folder}/a.nii.gz`]),
      UserError,
      "more than 10000 header extensions",
    );
    assertEquals((await readCase("SimpleITKIO", [`${folder}/a.nii.gz`])).data.length, VOXELS); // does not look there
  });
});

Deno.test("splitting refuses an offset outside the file and dimensions that are none, before it writes", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/a.nii.gz`;
    for (const offset of [1e6, 1e9, 3e38, NaN]) {
      await Deno.writeFile(file, gzipSync(nifti(offset, 0, "n+1", 2)));
      await assertFails(() => splitNifti(file, () => `${folder}/out.nii.gz`, "splitting"), UserError, file);
    }
    for (const [at, size] of [[42, -3], [46, 0], [48, -2], [48, 30000]]) {
      const bytes = nifti(352, 0, "n+1", 2);
      new DataView(bytes.buffer).setInt16(at, size, true);
      await Deno.writeFile(file, gzipSync(bytes));
      await assertFails(() => splitNifti(file, () => `${folder}/out.nii.gz`, "splitting"), UserError, file);
    }
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["a.nii.gz"]);
  });
});
