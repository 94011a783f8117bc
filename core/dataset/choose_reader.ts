/**
 * Which reader a dataset's images need: the one dataset.json names, else the first that takes the file ending and reads the first
 * training image. Source: nnunetv2/imageio/reader_writer_registry.py.
 */
import { UserError } from "../base/errors.ts";
import { show } from "../base/fields.ts";
import { freeArray } from "../base/free_array.ts";
import { allowMemory, requireRoom, residentBytes } from "../base/memory_allowance.ts";
import { voxelCount } from "../base/shape.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { type CaseHeaders, readCase } from "../formats/image/read_image.ts";
import { fileEndings, isReader, READER_NAMES, READERS, supportedEndings } from "../formats/image/readers.ts";

export interface ReaderChoice {
  readonly reader: ReaderName;
  /** Sentences on what was unusual. */
  readonly warnings: readonly string[];
}

/**
 * @param json dataset.json
 * @param example The first image, of training or to compare with; it is read.
 * @param anyEnding Upstream's allow_nonmatching_filename: readers are tried whatever the ending.
 * @param maxMemory Bytes that the process may take; an example that needs more is refused by its size
 * @throws UserError if no reader takes the images
 */
export async function chooseReader(
  json: Readonly<Record<string, unknown>>,
  jsonFile: string,
  example: string,
  anyEnding = false,
  maxMemory?: number,
): Promise<ReaderChoice> {
  const doing = "choosing the reader of the images";
  const warnings: string[] = [];
  const wanted = json.overwrite_image_reader_writer;
  if (wanted !== undefined && wanted !== null && wanted !== "None") {
    if (isReader(wanted)) return { reader: wanted, warnings };
    warnings.push(
      `overwrite_image_reader_writer in dataset.json is ${show(wanted)}, which is not a known reader ` +
        `(${READER_NAMES.join(", ")}); the reader is chosen by the file ending, as in Python`,
    );
  }
  const ending = String(json.file_ending).toLowerCase();
  const reasons: string[] = [];
  let refusal: unknown;
  const judge = ({ channels, geometry: { shape }, bufferBytes }: CaseHeaders) => {
    if (maxMemory === undefined) return;
    const bytes = 4 * channels * voxelCount(shape) + bufferBytes;
    try {
      requireRoom(allowMemory(maxMemory, residentBytes()), bytes, `reading its ${shape.join(" x ")} voxels takes`, {
        doing,
        file: example,
      });
    } catch (error) {
      throw refusal = error;
    }
  };
  for (const { name, upstreamEndings, onlyByName } of READERS) {
    if (onlyByName) continue;
    const matches = upstreamEndings.includes(ending);
    if (!(matches || anyEnding)) continue;
    try {
      const { data } = await readCase(name, [example], { judge });
      freeArray(data);
      return { reader: name, warnings };
    } catch (error) {
      if (!(error instanceof UserError) || error === refusal) throw error;
      // An ending like .gz, for .nii.gz, is no reader's; the file's own name still says whose damage it is.
      if (matches || fileEndings(name).some((one) => example.toLowerCase().endsWith(one))) {
        reasons.push(`${name}: ${error.parts.problem}`);
      }
    }
  }
  if (reasons.length > 0) {
    throw new UserError({
      doing,
      file: example,
      problem: `no reader can read the first image (${reasons.join("; ")})`,
      remedy: "repair or convert this image",
    });
  }
  throw new UserError({
    doing,
    file: jsonFile,
    problem: `no reader for the file ending "${json.file_ending}"${anyEnding ? " in this version" : ""}`,
    remedy: `convert the images to one of ${supportedEndings().join(", ")}, and write that ending into dataset.json`,
  });
}
