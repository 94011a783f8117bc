/**
 * The voxel sizes of a TIFF volume, which lie in a JSON file beside it: case.json for the channels case_0000.tif, case_0001.tif, ...
 * and for the segmentation case.tif; without one they are 1, as in Python. Source: nnunetv2/imageio/tif_reader_writer.py.
 */
import { UserError } from "../../../base/errors.ts";
import { writeAtomically } from "../../../base/files.ts";
import { JsonFloat, readJsonFile, stringifyJson } from "../../../base/json.ts";
import { basename } from "../../../base/path.ts";
import { readError } from "../../../base/read_error.ts";
import type { Vec3 } from "../../../base/shape.ts";
import { READING, WRITING } from "../image_format.ts";

const REMEDY = 'write {"spacing": [z, y, x]} into it, in millimetres';

/** Without the ending, and of a channel without its number. */
function stem(file: string, ofLabels: boolean): string {
  const whole = file.slice(0, file.lastIndexOf("."));
  return ofLabels ? whole : whole.slice(0, -"_0000".length);
}

/** True for names that channels have; a segmentation may have one, too. */
function isChannelName(file: string): boolean {
  return /_\d{4}\.\w+$/.test(file);
}

/** The files where voxel sizes of this image or segmentation would lie. */
export function spacingFiles(file: string): readonly string[] {
  return (isChannelName(file) ? [false, true] : [true]).map((ofLabels) => `${stem(file, ofLabels)}.json`);
}

/** The file where a segmentation's voxel sizes lie. */
export function spacingFileOfLabels(file: string): string {
  return `${stem(file, true)}.json`;
}

/**
 * @param ofLabels The file is a segmentation
 * @throws UserError if the JSON file has no voxel sizes
 */
export async function readSpacing(
  file: string,
  ofLabels: boolean,
): Promise<{ readonly spacing: Vec3; readonly warnings: readonly string[] }> {
  const json = `${stem(file, ofLabels || !isChannelName(file))}.json`;
  if (!await isThere(json)) {
    const warning =
      `${file}: there are no voxel sizes beside it (${json}); they were taken to be 1 x 1 x 1, as in Python.`;
    return { spacing: [1, 1, 1], warnings: [warning] };
  }
  return { spacing: spacingOf((await readJsonFile(json, READING)).value, json), warnings: [] };
}

async function isThere(json: string): Promise<boolean> {
  try {
    return !(await Deno.stat(json)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw readError(error, json, READING, REMEDY);
  }
}

function spacingOf(value: unknown, json: string): Vec3 {
  const spacing: unknown = typeof value === "object" && value !== null && "spacing" in value
    ? value.spacing
    : undefined;
  if (!Array.isArray(spacing) || spacing.length !== 3) throw spacingError(json, "it has no spacing of three numbers");
  const sizes: readonly unknown[] = spacing;
  const [z, y, x] = sizes.map((size) => {
    if (typeof size === "number" && size > 0 && Number.isFinite(size)) return size;
    throw spacingError(json, `a voxel size is ${JSON.stringify(size)}, and has to be more than 0`);
  });
  return [z, y, x];
}

function spacingError(file: string, problem: string): UserError {
  return new UserError({ doing: READING, file, problem, remedy: REMEDY });
}

/** Names in a folder of predictions that are not those of cases. */
const TAKEN = ["dataset.json", "plans.json", "predict_from_raw_data_args.json", "summary.json", "postprocessing.json"];

/** Writes the voxel sizes of a segmentation beside it. @throws UserError */
export async function writeSpacing(file: string, spacing: Vec3, signal?: AbortSignal): Promise<void> {
  const json = spacingFileOfLabels(file);
  if (TAKEN.includes(basename(json))) {
    const problem = `the voxel sizes of a segmentation of this name would replace ${json}`;
    throw new UserError({ doing: WRITING, file, problem, remedy: "give the case another name" });
  }
  const text = stringifyJson({ spacing: spacing.map((size) => new JsonFloat(size)) });
  await writeAtomically(json, text, { doing: WRITING, signal });
}
