/** MetaImage as SimpleITKIO and SimpleITKIOWithReorient read and write it: data behind the header or in other files. */
import { UserError } from "../../../base/errors.ts";
import { writeAll, writeAtomically } from "../../../base/files.ts";
import { type ImageFormat, type LabelsToWrite, type OpenedImage, READING, WRITING } from "../image_format.ts";
import { type SitkReader, writtenArray } from "../itk/array.ts";
import { openLines } from "../itk/header_lines.ts";
import { imageError, openStored } from "../itk/open_stored.ts";
import { labelBytes, writePacked } from "../written_voxels.ts";
import { MetaDamage, type MetaHeader, readMetaHeader } from "./header.ts";
import { interpretMeta, metaData, metaType } from "./interpret.ts";
import { metaHeader } from "./written_header.ts";

export const SITK_META: ImageFormat = metaFormat("SimpleITKIO");
export const SITK_REORIENTED_META: ImageFormat = metaFormat("SimpleITKIOWithReorient");

function metaFormat(reader: SitkReader): ImageFormat {
  return {
    name: "MetaImage",
    endings: [".mha", ".mhd"],
    channelsPerFile: reader === "SimpleITKIO" ? "as stored" : "one",
    labelsAdvice: "a 3-D image",
    filesOf: filesOfMeta,
    open: async (file) => {
      try {
        return await openMeta(file, reader);
      } catch (error) {
        throw metaError(error, file);
      }
    },
    write: async (file, segmentation) => await writeMeta(file, segmentation, reader),
  };
}

/** The header's file, and those of its data; what can't be read is left to reading it. */
async function filesOfMeta(file: string): Promise<readonly string[]> {
  try {
    const { parts } = await metaData(await headerOf(file), file);
    return [...new Set([file, ...parts.map((part) => part.file)])];
  } catch (error) {
    if (error instanceof MetaDamage || error instanceof UserError) return [file];
    throw error;
  }
}

async function headerOf(file: string): Promise<MetaHeader> {
  await using lines = await openLines(file);
  return await readMetaHeader(lines);
}

async function openMeta(file: string, reader: SitkReader): Promise<OpenedImage> {
  const header = await headerOf(file);
  const grid = interpretMeta(header);
  if ("problem" in grid) throw imageError(file, grid);
  const { littleEndian } = header;
  const data = await metaData(header, file);
  return await openStored(file, reader, { grid, datatype: metaType(header), littleEndian, ...data, warnings: [] });
}

/** Damage in the user's terms. */
function metaError(error: unknown, file: string): unknown {
  if (!(error instanceof MetaDamage)) return error;
  const remedy = "copy the image again, or save it anew (SimpleITK, ITK-SNAP)";
  return new UserError({ doing: READING, file, problem: error.message, remedy }, { cause: error });
}

async function writeMeta(file: string, segmentation: LabelsToWrite, reader: SitkReader): Promise<void> {
  const { geometry, order } = writtenArray(reader, segmentation);
  const size = order.size.slice(0, geometry.spacing.length);
  const headerFor = (packedBytes: number) => metaHeader(size, geometry, segmentation.bytesPerLabel, packedBytes);
  await writeAtomically(file, async (out) => {
    // The packed size, which the header says, is known behind the data.
    await writeAll(out, headerFor(0));
    const packedBytes = await writePacked(out, "zlib", labelBytes(segmentation, order));
    await out.seek(0, Deno.SeekMode.Start);
    await writeAll(out, headerFor(packedBytes));
  }, { doing: WRITING, signal: segmentation.signal });
}
