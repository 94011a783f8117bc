/** NRRD as SimpleITKIO and SimpleITKIOWithReorient read and write it: attached and detached data; a fourth axis holds channels. */
import { UserError } from "../../../base/errors.ts";
import { writeAll, writeAtomically } from "../../../base/files.ts";
import { type ImageFormat, type LabelsToWrite, type OpenedImage, READING, WRITING } from "../image_format.ts";
import { type SitkReader, writtenArray } from "../itk/array.ts";
import { openLines } from "../itk/header_lines.ts";
import { imageError, openStored } from "../itk/open_stored.ts";
import { VOXEL_TYPES } from "../nifti/voxels.ts";
import { labelBytes, writePacked } from "../written_voxels.ts";
import { NrrdDamage, type NrrdHeader, readNrrdHeader } from "./header.ts";
import { interpretNrrd, partsOf } from "./interpret.ts";
import { nrrdHeader } from "./written_header.ts";

export const SITK_NRRD: ImageFormat = nrrdFormat("SimpleITKIO");
export const SITK_REORIENTED_NRRD: ImageFormat = nrrdFormat("SimpleITKIOWithReorient");

function nrrdFormat(reader: SitkReader): ImageFormat {
  return {
    name: "NRRD",
    endings: [".nrrd", ".nhdr"],
    channelsPerFile: reader === "SimpleITKIO" ? "as stored" : "one",
    labelsAdvice: "a 3-D image",
    filesOf: filesOfNrrd,
    open: async (file) => {
      try {
        return await openNrrd(file, reader);
      } catch (error) {
        throw nrrdError(error, file);
      }
    },
    write: async (file, segmentation) => await writeNrrd(file, segmentation, reader),
  };
}

/** The header's file, and those of its data; what can't be read is left to reading it. */
async function filesOfNrrd(file: string): Promise<readonly string[]> {
  try {
    const header = await headerOf(file);
    return [...new Set([file, ...partsOf(header, file).map((part) => part.file)])];
  } catch (error) {
    if (error instanceof NrrdDamage || error instanceof UserError) return [file];
    throw error;
  }
}

async function headerOf(file: string): Promise<NrrdHeader> {
  await using lines = await openLines(file);
  return await readNrrdHeader(lines);
}

async function openNrrd(file: string, reader: SitkReader): Promise<OpenedImage> {
  const header = await headerOf(file);
  const grid = interpretNrrd(header);
  if ("problem" in grid) throw imageError(file, grid);
  const { encoding, littleEndian } = header;
  if (littleEndian === null && encoding !== "ascii" && VOXEL_TYPES.get(header.datatype)?.bytes !== 1) {
    throw new NrrdDamage('its header has no field "endian"');
  }
  return await openStored(file, reader, {
    grid,
    datatype: grid.complex ? COMPLEX.get(header.datatype) ?? header.datatype : header.datatype,
    littleEndian: littleEndian ?? true,
    encoding,
    parts: partsOf(header, file).map((part) => grid.complex ? { ...part, numbers: part.numbers / 2 } : part),
    warnings: [],
  });
}

/** Types of complex numbers, by those of their parts. */
const COMPLEX: ReadonlyMap<number, number> = new Map([[16, 32], [64, 1792]]);

/** Damage in the user's terms. */
function nrrdError(error: unknown, file: string): unknown {
  if (!(error instanceof NrrdDamage)) return error;
  const remedy = "copy the image again, or save it anew (3D Slicer, SimpleITK)";
  return new UserError({ doing: READING, file, problem: error.message, remedy }, { cause: error });
}

async function writeNrrd(file: string, segmentation: LabelsToWrite, reader: SitkReader): Promise<void> {
  const { geometry, order } = writtenArray(reader, segmentation);
  const header = nrrdHeader(order.size.slice(0, geometry.spacing.length), geometry, segmentation.bytesPerLabel);
  await writeAtomically(file, async (out) => {
    await writeAll(out, header);
    await writePacked(out, "gzip", labelBytes(segmentation, order));
  }, { doing: WRITING, signal: segmentation.signal });
}
