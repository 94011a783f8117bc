/**
 * DICOM series as nnU-Net's reader classes of volumes read them: as the NIfTI file that SimpleITK would write of the series. A series
 * has no file of its own; among a case's files stands a name that says folder and series (`core/formats/dicom/series.ts`).
 */
import { UserError } from "../../../base/errors.ts";
import { type Stack, stackOf } from "../../dicom/stack.ts";
import { parseSeriesPath, readDicomFolder } from "../../dicom/series.ts";
import {
  requireReadable,
  sliceBuffers,
  type SliceReader,
  sliceReader,
  type Values,
  type ValueType,
  valueTypeOf,
} from "../../dicom/pixels.ts";
import type { ByteSource } from "../../archive/gzip.ts";
import { type ImageFormat, type OpenedImage, READING, type ReadOptions } from "../image_format.ts";
import type { SitkReader } from "../itk/array.ts";
import { parseNiftiHeader } from "../nifti/header.ts";
import { interpretForNibabel, type NibabelReader } from "../nifti/nibabel_format.ts";
import { interpretAsSitk } from "../nifti/sitk_format.ts";
import { sitkHeader, WRITTEN_HEADER_BYTES } from "../nifti/written_header.ts";

/** The reader classes of volumes, whose geometry is one in the patient. */
type VolumeReader = SitkReader | NibabelReader;

/** DICOM for a reader class. */
export function dicomFormat(reader: VolumeReader): ImageFormat {
  return {
    name: "DICOM",
    endings: [],
    channelsPerFile: "one",
    labelsAdvice: "a 3-D image",
    filesOf: () => [],
    open: async (file, options) => await open(file, options, reader),
    write: (file) => Promise.reject(new TypeError(`a segmentation is not written as a DICOM series: ${file}`)),
  };
}

/** The series that a name of a case's files means, as a volume. @throws UserError if it is none */
export async function openSeries(path: string, doing: string = READING): Promise<Stack> {
  const place = parseSeriesPath(path);
  if (!place) throw new TypeError(`not the name of a series: ${path}`);
  const found = await readDicomFolder(place.folder, doing, place.uid);
  if (found.damaged.length > 0) throw found.damaged[0];
  for (const { file, incomplete } of found.others) {
    if (incomplete?.series !== place.uid) continue;
    throw new UserError({ doing, file, problem: incomplete.problem, remedy: "export the whole series again" });
  }
  const series = found.series.find(({ uid }) => uid === place.uid);
  if (!series) {
    const problem = `the series ${place.uid} is no longer there`;
    throw new UserError({ doing, file: place.folder, problem, remedy: "run the command again" });
  }
  for (const slice of series.slices) requireReadable(slice, doing);
  return stackOf(series, found, doing);
}

/** The files of a series in the order of its slices. @throws UserError if it makes no volume */
export async function filesOfSeries(path: string): Promise<readonly string[]> {
  const { slices } = await openSeries(path);
  return [...new Set(slices.map(({ file }) => file))];
}

async function open(path: string, options: ReadOptions, reader: VolumeReader): Promise<OpenedImage> {
  const stack = await openSeries(path);
  const type = valueTypeOf(stack.slices);
  const head = sitkHeader(stack.size, stack.geometry, type);
  const header = parseNiftiHeader(head);
  if (!header) throw new TypeError("the header of a series is no NIfTI header");
  const slices = sliceReader(READING);
  const source = sourceOf(stack, type, slices);
  try {
    // Streams say how large their images are: one slice shows that the files hold what they claim, before memory is taken.
    await slices.read(stack.slices[0], source.values);
    const nifti = {
      file: path,
      header,
      head,
      consumed: head.length,
      source,
      imageFile: path,
      [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
    };
    const image = reader === "SimpleITKIO" || reader === "SimpleITKIOWithReorient"
      ? interpretAsSitk(nifti, reader, options)
      : await interpretForNibabel(nifti, reader);
    const bufferBytes = image.bufferBytes + sliceBuffers(stack.slices[0]);
    const warnings = [...stack.warnings, ...image.warnings];
    if (reader !== "SimpleITKIO" && reader !== "NibabelIO") return { ...image, bufferBytes, warnings };
    return { ...image, bufferBytes, warnings, read: (data, offset) => readInto(data, offset, stack, slices) };
  } catch (error) {
    slices[Symbol.dispose]();
    throw error;
  }
}

/** Where an array has the slices one after the other, as they are: the values need not become bytes of a file first. */
async function readInto(data: Float32Array, offset: number, { slices, size }: Stack, reader: SliceReader): Promise<[]> {
  const plane = size[0] * size[1];
  for (const [z, slice] of slices.entries()) {
    const at = offset + z * plane;
    await reader.read(slice, data.subarray(at, at + plane));
  }
  return [];
}

/** The voxels of a stack as the bytes that would follow in the NIfTI file. */
function sourceOf({ slices, size }: Stack, type: ValueType, reader: SliceReader): ByteSource & { values: Values } {
  const values = makeValues(type, size[0] * size[1]);
  const bytes = new Uint8Array(values.buffer);
  let next = 0;
  let at = bytes.length;
  return {
    storedBytes: WRITTEN_HEADER_BYTES + bytes.length * slices.length,
    compressed: false,
    misnamed: false,
    values,
    async read(into) {
      let got = 0;
      while (got < into.length) {
        if (at === bytes.length) {
          if (next === slices.length) break;
          await reader.read(slices[next++], values);
          at = 0;
        }
        const count = Math.min(into.length - got, bytes.length - at);
        into.set(bytes.subarray(at, at + count), got);
        got += count;
        at += count;
      }
      return got;
    },
    finish: () => Promise.resolve({ rest: 0, warnings: [] }),
    [Symbol.asyncDispose]() {
      reader[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

function makeValues(type: ValueType, length: number): Values {
  switch (type) {
    case "int16":
      return new Int16Array(length);
    case "int32":
      return new Int32Array(length);
    case "float32":
      return new Float32Array(length);
    default:
      return new Float64Array(length);
  }
}
