/** The series of make_dicom.py, unpacked into a folder, and what SimpleITK makes of them. */
import { ensureFolder } from "../../../core/base/files.ts";
import { dirname, join } from "../../../core/base/path.ts";

const HERE = new URL("./", import.meta.url);

export interface ExpectedSeries {
  /** A part of the error. */
  readonly refused?: string;
  /** A part of a warning. */
  readonly warned?: string;
  /** (x, y, z); the others are SimpleITK's, and missing where it does not read the series. */
  readonly size: readonly number[];
  readonly spacing?: readonly number[];
  readonly origin?: readonly number[];
  readonly direction?: readonly number[];
  readonly range: readonly [number, number];
  /** SHA-256 of the voxels as float32. */
  readonly voxels: string;
  /** SimpleITK's NIfTI file of the series, in base64. */
  readonly nifti?: string;
}

export type PackedSeries = Readonly<Record<string, string>>;

export const expectedSeries: Readonly<Record<string, ExpectedSeries>> = JSON.parse(
  Deno.readTextFileSync(new URL("expected.json", HERE)),
);

/** Files of each series, in base64. */
export async function packedSeries(): Promise<Readonly<Record<string, PackedSeries>>> {
  using file = await Deno.open(new URL("series.json.gz", HERE));
  return await new Response(file.readable.pipeThrough(new DecompressionStream("gzip"))).json();
}

export async function unpackSeries(files: PackedSeries, folder: string): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await ensureFolder(dirname(path), "unpacking a series");
    await Deno.writeFile(path, Uint8Array.fromBase64(content));
  }
}

/** Series Instance UID of all of them, and another one of the same length. */
export const [UID, OTHER] = ["1.2.826.0.1.3680043.8.498.17.2.1", "1.2.826.0.1.3680043.8.498.17.2.9"];

/** The same files with the other UID. */
export function asOther(files: PackedSeries): PackedSeries {
  const changed = Object.entries(files).map(([name, content]) => [name, btoa(atob(content).replaceAll(UID, OTHER))]);
  return Object.fromEntries(changed);
}
