/** A small raw dataset of NIfTI files on disk, to be damaged by tests. */
import zlib from "node:zlib";
import { join } from "../../core/base/path.ts";

export interface NiftiContent {
  /** x, y, z. */
  readonly size?: readonly [number, number, number];
  readonly spacing?: readonly [number, number, number];
  readonly origin?: readonly [number, number, number];
  readonly valueAt: (x: number, y: number, z: number) => number;
}

/** A gzip-compressed NIfTI-1 of float32 voxels, sform and qform the same. */
export function niftiBytes({ size = [8, 7, 6], spacing = [1, 1, 1], origin = [0, 0, 0], valueAt }: NiftiContent) {
  const [nx, ny, nz] = size;
  const bytes = new Uint8Array(352 + 4 * nx * ny * nz);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 348, true);
  [3, nx, ny, nz, 1, 1, 1, 1].forEach((value, i) => view.setInt16(40 + 2 * i, value, true));
  view.setInt16(70, 16, true);
  view.setInt16(72, 32, true);
  [1, ...spacing].forEach((value, i) => view.setFloat32(76 + 4 * i, value, true));
  view.setFloat32(108, 352, true);
  view.setFloat32(112, 1, true);
  view.setUint8(123, 2);
  view.setInt16(252, 1, true);
  view.setInt16(254, 1, true);
  origin.forEach((value, i) => view.setFloat32(268 + 4 * i, value, true));
  for (let row = 0; row < 3; row++) {
    view.setFloat32(280 + 16 * row + 4 * row, spacing[row], true);
    view.setFloat32(280 + 16 * row + 12, origin[row], true);
  }
  bytes.set(new TextEncoder().encode("n+1"), 344);
  let at = 352;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, at += 4) view.setFloat32(at, valueAt(x, y, z), true);
    }
  }
  return zlib.gzipSync(bytes);
}

export const IMAGE: NiftiContent = { valueAt: (x, y, z) => 10 + x + 2 * y + 3 * z };
export const LABEL: NiftiContent = { valueAt: (x, y) => (x > 1 && x < 6 && y > 1 ? 1 + +(y > 4) : 0) };

/** What dataset.json of {@link makeRawDataset} holds. */
export const DATASET_JSON: Readonly<Record<string, unknown>> = {
  channel_names: { "0": "MR" },
  labels: { background: 0, front: 1, back: 2 },
  numTraining: 3,
  file_ending: ".nii.gz",
};

/** Writes a dataset of the cases a, b and c that nothing is wrong with. */
export async function makeRawDataset(folder: string): Promise<void> {
  await Deno.mkdir(join(folder, "imagesTr"), { recursive: true });
  await Deno.mkdir(join(folder, "labelsTr"));
  for (const id of ["a", "b", "c"]) {
    await Deno.writeFile(join(folder, "imagesTr", `${id}_0000.nii.gz`), niftiBytes(IMAGE));
    await Deno.writeFile(join(folder, "labelsTr", `${id}.nii.gz`), niftiBytes(LABEL));
  }
  await Deno.writeTextFile(join(folder, "dataset.json"), JSON.stringify(DATASET_JSON));
}
