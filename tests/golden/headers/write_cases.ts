/** Writes segmentations of some header cases: `deno run --allow-read --allow-write write_cases.ts FOLDER`, for make_read_back.py. */
import type { LabelVolume, ReaderName } from "../../../core/formats/image/image.ts";
import { readCase } from "../../../core/formats/image/read_image.ts";
import { writeLabels } from "../../../core/formats/image/write_image.ts";
import { HEADERS, NIFTI_READERS } from "./cases.ts";

/** Cases by file name in nii/; the 2-D one is SimpleITKIO's only. */
const CASES = ["orient_LPS", "orient_RAS", "orient_PIR", "oblique_PIR", "oblique9_axis2", "dim2", "units_micron"];

/** A segmentation to be written, and the name of its file. */
export interface WrittenCase {
  readonly name: string;
  readonly reader: ReaderName;
  readonly source: string;
  /** Highest label: 4 is written as uint8, 260 as uint16. */
  readonly highest: number;
}

export const WRITTEN_CASES: readonly WrittenCase[] = CASES.flatMap((name) =>
  NIFTI_READERS.filter((reader) => reader === "SimpleITKIO" || name !== "dim2").flatMap((reader) =>
    [4, 260].map((highest) => ({
      name: `${name}__${reader}__${highest}.nii.gz`,
      reader,
      source: `${HEADERS}nii/${name}.nii.gz`,
      highest,
    }))
  )
);

/** Writes one case; labels are flat index % (highest + 1), with the highest at index 3. */
export async function writeCase({ reader, source, highest }: WrittenCase, file: string): Promise<void> {
  const { geometry } = await readCase(reader, [source]);
  const data = new Int16Array(geometry.shape[0] * geometry.shape[1] * geometry.shape[2]);
  for (let i = 0; i < data.length; i++) data[i] = i % (highest + 1);
  data[3] = highest;
  const labels: LabelVolume = { data, shape: geometry.shape };
  await writeLabels(reader, file, labels, geometry);
}

if (import.meta.main) {
  for (const written of WRITTEN_CASES) await writeCase(written, `${Deno.args[0]}/${written.name}`);
}
