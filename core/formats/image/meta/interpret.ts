/**
 * What ITK's MetaImageIO makes of a header (itkMetaImageIO.cxx), and where the voxels are (metaImage.cxx, ReadStream). Images of several
 * channels a voxel, which SimpleITKIO takes for something else than they are, are refused; a fourth dimension holds channels.
 */
import type { ItkGrid } from "../itk/array.ts";
import { dataFile, MOST_FILES, numberedName } from "../itk/detached.ts";
import { type ImageProblem, itkGeometry } from "../itk/geometry.ts";
import type { DataPart, Encoding } from "../itk/stored_data.ts";
import { VOXEL_TYPES } from "../nifti/voxels.ts";
import { MetaDamage, type MetaHeader } from "./header.ts";

/** NIfTI's codes of the types; MET_LONG has 4 bytes everywhere. */
const TYPES: ReadonlyMap<string, number> = new Map([
  ["MET_CHAR", 256],
  ["MET_ASCII_CHAR", 256],
  ["MET_UCHAR", 2],
  ["MET_SHORT", 4],
  ["MET_USHORT", 512],
  ["MET_INT", 8],
  ["MET_UINT", 768],
  ["MET_LONG", 8],
  ["MET_ULONG", 768],
  ["MET_LONG_LONG", 1024],
  ["MET_ULONG_LONG", 1280],
  ["MET_FLOAT", 16],
  ["MET_DOUBLE", 64],
]);

/** NIfTI's code of the numbers' type. Of arrays of one number a voxel the number is read. @throws MetaDamage */
export function metaType({ type }: MetaHeader): number {
  const datatype = TYPES.get(type.replace(/_ARRAY$/, ""));
  if (datatype !== undefined) return datatype;
  throw new MetaDamage(
    `its ElementType is ${JSON.stringify(type.slice(0, 60))}; read are ${[...TYPES.keys()].join(", ")}`,
  );
}

export function interpretMeta({ sizes, spacing, offset, matrix, channels }: MetaHeader): ItkGrid | ImageProblem {
  if (channels !== 1) {
    return {
      problem: `its voxels are not single numbers: ElementNumberOfChannels is ${channels}`,
      remedy:
        "save each channel as a file of its own (CASE_0000, CASE_0001, ...), or the channels as volumes of a 4-D image",
    };
  }
  const n = sizes.length;
  if (n < 2 || n > 4) {
    const problem = `it has ${n} dimensions; 2, 3 or (for several channels) 4 are read`;
    return { problem, remedy: "save it as a 2-D, 3-D or 4-D image" };
  }
  const dimensions = n === 2 ? 2 : 3;
  if (n === 4 && [3, 7, 11, 12, 13, 14].some((i) => matrix[i] !== 0)) {
    const problem = "its fourth axis, of channels, is not apart from those of space: TransformMatrix mixes them";
    return { problem, remedy: "save it with an axis of channels of its own, or each channel as a file" };
  }
  const axes = Array.from({ length: dimensions }, (_, i) => i);
  const direction = axes.flatMap((row) => axes.map((axis) => matrix[n * axis + row]));
  const geometry = itkGeometry(spacing.slice(0, dimensions), offset.slice(0, dimensions), direction);
  if ("problem" in geometry) return geometry;
  const [x, y, z, volumes] = sizes;
  return { dimensions, size: [x, y, z ?? 1], channels: volumes ?? 1, geometry };
}

export interface MetaData {
  readonly encoding: Encoding;
  readonly parts: readonly DataPart[];
}

/** Where the voxels are. @throws MetaDamage, and UserError for names that lead elsewhere */
export async function metaData(header: MetaHeader, file: string): Promise<MetaData> {
  const { sizes, dataFile: name, compressed, binary, littleEndian, headerSize } = header;
  const all = sizes.reduce((product, size) => product * size, 1);
  if (!binary && !littleEndian && (VOXEL_TYPES.get(metaType(header))?.bytes ?? 1) > 1) {
    throw new MetaDamage("its voxels are written as text, and the header says a byte order (BinaryDataByteOrderMSB)");
  }
  const encoding: Encoding = !binary ? "ascii" : compressed ? "zlib" : "raw";
  if (headerSize === -1 && encoding !== "raw") {
    throw new MetaDamage("HeaderSize is -1, which is read of raw voxels only");
  }
  const part = (path: string, begin: number, numbers: number): DataPart => ({
    file: path,
    from: headerSize > 0 ? headerSize : headerSize === -1 ? 0 : begin,
    bytesBehind: headerSize === -1 ? 0 : undefined,
    numbers,
  });
  if (["LOCAL", "Local", "local"].includes(name)) {
    const local = part(file, header.end, all);
    const to = encoding === "zlib" && header.compressedSize > 0 ? local.from + header.compressedSize : undefined;
    return { encoding, parts: [{ ...local, to }] };
  }
  if (name.startsWith("LIST")) return { encoding, parts: listParts(header, file, part, all) };
  if (name.includes("%")) return { encoding, parts: numberedParts(header, file, part, all) };
  const path = dataFile(file, name);
  if (await exists(path) || !await exists(`${path}.gz`)) return { encoding, parts: [part(path, 0, all)] };
  // As there: a file that is packed in the meantime.
  return { encoding: "zlib", parts: [part(`${path}.gz`, 0, all)] };
}

type PartOf = (path: string, begin: number, numbers: number) => DataPart;

/** "LIST" and the dimension of a file: as many names as there are such files in the image; more are passed over. */
function listParts({ sizes, dataFile: text, list }: MetaHeader, file: string, part: PartOf, all: number): DataPart[] {
  const given = /^LIST\s+(\d+)/.exec(text)?.[1];
  const dimension = given === undefined || Number(given) === 0 ? sizes.length - 1 : Number(given);
  if (dimension >= sizes.length) {
    throw new MetaDamage(`its data files have the dimension ${dimension}, and the image has ${sizes.length}`);
  }
  const count = sizes.slice(dimension).reduce((product, size) => product * size, 1);
  if (list.length < count) throw new MetaDamage(`it names ${list.length} data files, and ${count} are expected`);
  if (count > MOST_FILES) throw new MetaDamage(`it names ${count.toLocaleString("en-US")} data files`);
  return list.slice(0, count).map((name) => part(dataFile(file, name), 0, all / count));
}

/** A pattern like "slice%03d.raw", and the least and the largest number and the step: a file for each slice along the last axis. */
function numberedParts({ sizes, dataFile: text }: MetaHeader, file: string, part: PartOf, all: number): DataPart[] {
  const count = sizes[sizes.length - 1];
  const words = text.split(/\s+/);
  const given: number[] = [];
  while (given.length < 3 && words.length > 1 && /^\d{1,9}$/.test(words[words.length - 1])) {
    given.unshift(Number(words.pop()));
  }
  const pattern = words.join(" ");
  const [min = 1, max = min + count - 1] = given;
  const step = given.length === 2 ? Math.trunc((max - min) / count) : given[2] ?? 1;
  const nameOf = numberedName(pattern);
  if (!nameOf) throw new MetaDamage(`the names of its data files are ${JSON.stringify(pattern)}, which is not read`);
  if (step < 1 || count > MOST_FILES || Math.floor((max - min) / step) + 1 < count) {
    throw new MetaDamage(`its ${count} data files are numbered from ${min} to ${max} by ${step}`);
  }
  return Array.from({ length: count }, (_, i) => part(dataFile(file, nameOf(min + i * step)), 0, all / count));
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}
