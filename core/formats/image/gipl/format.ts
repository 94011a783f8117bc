/** GIPL (plain, or packed as .gipl.gz) as SimpleITKIO and SimpleITKIOWithReorient read and write it. */
import { UserError } from "../../../base/errors.ts";
import { writeAll, writeAtomically } from "../../../base/files.ts";
import { openBytes } from "../../archive/gzip.ts";
import { type ImageFormat, type LabelsToWrite, type OpenedImage, READING, WRITING } from "../image_format.ts";
import { type SitkReader, writtenArray } from "../itk/array.ts";
import { imageError, openStored } from "../itk/open_stored.ts";
import { labelBytes, writePacked } from "../written_voxels.ts";
import { GIPL_HEADER_BYTES, giplHeader, MOST_GIPL_VOXELS, parseGiplHeader } from "./header.ts";

export const SITK_GIPL: ImageFormat = giplFormat("SimpleITKIO");
export const SITK_REORIENTED_GIPL: ImageFormat = giplFormat("SimpleITKIOWithReorient");

function giplFormat(reader: SitkReader): ImageFormat {
  return {
    name: "GIPL",
    endings: [".gipl", ".gipl.gz"],
    channelsPerFile: reader === "SimpleITKIO" ? "as stored" : "one",
    labelsAdvice: "a 3-D image",
    filesOf: (file) => [file],
    open: async (file) => await openGipl(file, reader),
    write: async (file, segmentation) => await writeGipl(file, segmentation, reader),
  };
}

const isPacked = (file: string) => file.toLowerCase().endsWith(".gz");

async function openGipl(file: string, reader: SitkReader): Promise<OpenedImage> {
  await using source = await openBytes(file, isPacked(file), READING);
  const bytes = new Uint8Array(GIPL_HEADER_BYTES);
  const got = await source.read(bytes);
  const header = parseGiplHeader(bytes.subarray(0, got));
  if ("problem" in header) throw imageError(file, header);
  const { grid, datatype } = header;
  const numbers = grid.size[0] * grid.size[1] * grid.size[2] * grid.channels;
  return await openStored(file, reader, {
    grid,
    datatype,
    littleEndian: false,
    encoding: source.compressed ? "gzip" : "raw",
    parts: [{ file, from: 0, skip: { lines: 0, bytes: GIPL_HEADER_BYTES }, numbers }],
    warnings: source.misnamed ? [`${file}: it is not gzip-compressed, though its name ends in .gz.`] : [],
  });
}

async function writeGipl(file: string, segmentation: LabelsToWrite, reader: SitkReader): Promise<void> {
  const { geometry, order } = writtenArray(reader, segmentation);
  if (order.size.some((size) => size > MOST_GIPL_VOXELS)) {
    const problem = `the image has ${
      order.size.join(" x ")
    } voxels, and GIPL takes at most ${MOST_GIPL_VOXELS} along an axis`;
    throw new UserError({ doing: WRITING, file, problem, remedy: "use another format" });
  }
  const header = giplHeader(order.size, geometry, segmentation.bytesPerLabel);
  const pieces = bigEndian(labelBytes(segmentation, order), segmentation.bytesPerLabel);
  await writeAtomically(file, async (out) => {
    if (isPacked(file)) await writePacked(out, "gzip", pieces, header);
    else {
      await writeAll(out, header);
      for (const piece of pieces) await writeAll(out, piece);
    }
  }, { doing: WRITING, signal: segmentation.signal });
}

/** Turns the bytes of labels of 16 bits round, which are pieces of their own. */
function* bigEndian(pieces: Iterable<Uint8Array>, bytesPerLabel: 1 | 2): Generator<Uint8Array, void, void> {
  for (const piece of pieces) {
    for (let i = 0; bytesPerLabel === 2 && i < piece.length; i += 2) {
      [piece[i], piece[i + 1]] = [piece[i + 1], piece[i]];
    }
    yield piece;
  }
}
