/** An image of one of ITK's formats, opened: its header is read and its sizes are judged against its files. */
import { UserError } from "../../../base/errors.ts";
import { type OpenedImage, READING } from "../image_format.ts";
import { complexWarning, VOXEL_TYPES } from "../nifti/voxels.ts";
import { arrayOf, type ItkGrid, requireTurnable, type SitkReader } from "./array.ts";
import { smallNumbers, type VoxelTarget } from "../voxel_order.ts";
import type { ImageProblem } from "./geometry.ts";
import { BUFFER_BYTES, checkData, type DataPart, type Encoding, readData, type StoredData } from "./stored_data.ts";

/** What a header says. */
export interface StoredImage {
  readonly grid: ItkGrid;
  /** NIfTI's code of the numbers' type. */
  readonly datatype: number;
  readonly littleEndian: boolean;
  readonly encoding: Encoding;
  readonly parts: readonly DataPart[];
  readonly warnings: readonly string[];
}

/** @throws UserError if the reader class does not take the image, or the files can't hold it */
export async function openStored(file: string, reader: SitkReader, image: StoredImage): Promise<OpenedImage> {
  const { grid, datatype, littleEndian, encoding, parts } = image;
  const type = VOXEL_TYPES.get(datatype);
  if (!type) throw new RangeError(`data type ${datatype} is not read`);
  requireTurnable(grid, reader, file);
  const { geometry, origin, strides } = arrayOf(grid, reader);
  const data: StoredData = {
    file,
    parts,
    encoding,
    bytesPerNumber: type.bytes,
    size: grid.size,
    channels: grid.channels,
    conversion: { datatype, littleEndian, arithmetic: "itk", scaling: null, zeroNonFinite: false },
  };
  await checkData(data);
  const volumeStride = grid.size[0] * grid.size[1] * grid.size[2];
  const read = async (target: VoxelTarget["data"], offset: number) =>
    await readData(data, { data: target, offset: offset + origin, strides, volumeStride });
  return {
    file,
    channels: grid.channels,
    geometry,
    storedType: type.name,
    bufferBytes: BUFFER_BYTES,
    warnings: [...image.warnings, ...complexWarning(file, datatype)],
    read: (target, offset) => read(target, offset),
    ...smallNumbers(data.conversion, (target) => read(target, 0)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** What is wrong with a file, as the error that a user sees. */
export function imageError(file: string, { problem, remedy }: ImageProblem): UserError {
  return new UserError({ doing: READING, file, problem, remedy });
}
