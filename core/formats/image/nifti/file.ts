/**
 * A NIfTI file from its first byte to the last: which files belong to an image, the header, then the voxels straight into their
 * place in the array. Reads `.nii`, `.nii.gz` and pairs (`.hdr` + `.img`, either name; also `.gz`).
 */
import { UserError } from "../../../base/errors.ts";
import type { Vec3 } from "../../../base/shape.ts";
import { type ByteSource, DEFLATE_RATIO, openBytes, PIECE_BYTES } from "../../archive/gzip.ts";
import { READING } from "../image_format.ts";
import { scatterer, type VoxelTarget } from "../voxel_order.ts";
import { NIFTI1_HEADER_BYTES, NIFTI2_HEADER_BYTES, type NiftiHeader, parseNiftiHeader } from "./header.ts";
import { REFUSED_TYPES, VOXEL_TYPES, type VoxelConversion } from "./voxels.ts";

/** Endings of the files that datasets have; pairs are read as well, by either name. */
export const NIFTI_ENDINGS = [".nii.gz", ".nii"] as const;

/** What reading voxels holds: the packed and the unpacked piece, the staging buffer, and a piece as float32 (of bytes: four times). */
export const BUFFER_BYTES = 7 * PIECE_BYTES;

/** An opened image: its header is read, its voxels are not. */
export interface OpenedNifti extends AsyncDisposable {
  readonly file: string;
  readonly header: NiftiHeader;
  /** The bytes that were read of the voxels' file so far, from byte 0; empty where only {@link consumed} is known. */
  readonly head: Uint8Array;
  /** How many bytes of the voxels' file were read so far. */
  readonly consumed: number;
  readonly source: ByteSource;
  /** File that holds the voxels; `file` unless it is a pair. */
  readonly imageFile: string;
}

/** Header and image file of the image that `file` names. */
function filesOf(file: string): { header: string; image: string; pair: boolean } {
  const match = /\.(hdr|img)(\.gz)?$/i.exec(file);
  if (!match) return { header: file, image: file, pair: false };
  const base = file.slice(0, match.index);
  const upper = match[1] === match[1].toUpperCase();
  const other = (ending: string) => base + "." + (upper ? ending.toUpperCase() : ending) + (match[2] ?? "");
  return { header: other("hdr"), image: other("img"), pair: true };
}

/** All files of the image that `file` names. */
export function filesOfNifti(file: string): readonly string[] {
  const { header, image, pair } = filesOf(file);
  return pair ? [header, image] : [file];
}

/** Opens `file` and gives what `interpret` makes of it; the file is closed if that fails. */
export async function openNifti<T>(file: string, interpret: (nifti: OpenedNifti) => T | Promise<T>): Promise<T> {
  const nifti = await openHeader(file);
  try {
    return await interpret(nifti);
  } catch (error) {
    await nifti[Symbol.asyncDispose]();
    throw error;
  }
}

/** Opens `file` and reads its header. */
export async function openHeader(file: string, doing: string = READING): Promise<OpenedNifti> {
  const files = filesOf(file);
  const source = await openBytes(files.header, files.header.toLowerCase().endsWith(".gz"), doing);
  try {
    const head = new Uint8Array(NIFTI2_HEADER_BYTES + 4);
    const got = await source.read(head.subarray(0, NIFTI1_HEADER_BYTES));
    const start = head.subarray(0, got);
    let header = parseNiftiHeader(start);
    let length = got;
    if (!header && start[4] === 0x6e) {
      length += await source.read(head.subarray(got, NIFTI2_HEADER_BYTES));
      header = parseNiftiHeader(head.subarray(0, length));
    }
    checkHeader(header, start, files.header, doing);
    if (!files.pair) return opened(files.header, header, head.slice(0, length), source, files.image);
    await source.finish();
    await source[Symbol.asyncDispose]();
    const image = await openBytes(files.image, files.image.toLowerCase().endsWith(".gz"), doing);
    return opened(files.header, header, new Uint8Array(0), image, files.image);
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw error;
  }
}

function opened(
  file: string,
  header: NiftiHeader,
  head: Uint8Array,
  source: ByteSource,
  imageFile: string,
): OpenedNifti {
  const consumed = head.length;
  return {
    file,
    header,
    head,
    consumed,
    source,
    imageFile,
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

function checkHeader(
  header: NiftiHeader | null,
  start: Uint8Array,
  file: string,
  doing: string,
): asserts header is NiftiHeader {
  if (start.length === 0) {
    throw new UserError({ doing, file, problem: "the file is empty", remedy: "copy the file again" });
  }
  if (start[0] === 0x1f && start[1] === 0x8b) {
    const problem = "it is gzip-compressed, though its name does not end in .gz";
    throw new UserError({ doing, file, problem, remedy: "rename it to .nii.gz, or decompress it with gunzip" });
  }
  if (!header || (header.version === 0 && header.sizeofHeader !== NIFTI1_HEADER_BYTES)) {
    const problem = start.length < NIFTI1_HEADER_BYTES
      ? `it has only ${start.length} bytes, and a NIfTI header has ${NIFTI1_HEADER_BYTES}`
      : "it is not a NIfTI file: neither the magic nor the size of a NIfTI header is there";
    throw new UserError({ doing, file, problem, remedy: "convert the image to NIfTI, or copy the file again" });
  }
  if (!VOXEL_TYPES.has(header.datatype)) {
    const name = REFUSED_TYPES.get(header.datatype);
    const known = [...VOXEL_TYPES.values()].map((type) => type.name).join(", ");
    throw new UserError({
      doing,
      file,
      problem: `its data type is ${header.datatype}${
        name ? ` (${name})` : ", which NIfTI does not define"
      }; read are ${known}`,
      remedy: "save it with one number per voxel, as int16 or float32",
    });
  }
}

/** The name of the stored numbers' type. */
export function storedType({ header }: OpenedNifti): string {
  return VOXEL_TYPES.get(header.datatype)?.name ?? "";
}

/** Files with extensions have a few. */
const MAX_EXTENSIONS = 10_000;

/**
 * nibabel refuses a broken chain of header extensions; ITK does not look at them. They are passed over, not kept: what lies before the
 * voxels may be as large as the file.
 */
export async function checkExtensions(image: OpenedNifti, dataStart: number): Promise<OpenedNifti> {
  const { header, source } = image;
  const first = header.version === 2 ? NIFTI2_HEADER_BYTES : NIFTI1_HEADER_BYTES;
  if (!header.singleFile || dataStart <= first + 4) return image;
  const none = new Uint8Array(0);
  const start = new Uint8Array(8);
  let at = image.consumed;
  const take = async (bytes: number): Promise<boolean> => {
    const got = await source.read(start.subarray(0, bytes));
    at += got;
    return got === bytes;
  };
  if (!await take(first + 4 - at) || start[0] === 0) return { ...image, head: none, consumed: at };
  for (let count = 1; dataStart - at >= 16 && await take(8); count++) {
    const size = new DataView(start.buffer).getInt32(0, header.littleEndian);
    const left = dataStart - at + 8;
    if (size < 8 || size > left || count > MAX_EXTENSIONS) {
      const problem = count > MAX_EXTENSIONS
        ? `it has more than ${MAX_EXTENSIONS} header extensions`
        : `a header extension says it has ${size} bytes where ${left} are left before the voxels`;
      const remedy = "save the image without header extensions";
      throw new UserError({ doing: READING, file: image.file, problem, remedy });
    }
    if (!await skip(source, size - 8)) break;
    at += size - 8;
  }
  return { ...image, head: none, consumed: at };
}

/**
 * Reads all voxels of `volumes` volumes of `size` (x, y, z) into `target`, and checks the file to its end. Throws a {@link UserError}
 * if it has fewer voxels than the header says. Returns warnings.
 */
export async function readVoxels(
  image: OpenedNifti,
  dataStart: number,
  size: Vec3,
  volumes: number,
  conversion: VoxelConversion,
  target: VoxelTarget,
): Promise<readonly string[]> {
  const bytes = VOXEL_TYPES.get(conversion.datatype)?.bytes ?? 0;
  const wanted = size[0] * size[1] * size[2] * volumes;
  const behind = image.head.subarray(Math.min(dataStart, image.head.length));
  const skipped = await skip(image.source, dataStart - image.consumed);
  const perPiece = PIECE_BYTES / bytes;
  const place = scatterer(size, target, perPiece);
  const staging = new ArrayBuffer(perPiece * bytes);
  const piece = new Uint8Array(staging);
  let done = 0;
  let pending = behind;
  while (done < wanted && skipped) {
    const count = Math.min(perPiece, wanted - done);
    const fromHead = Math.min(pending.length, count * bytes);
    piece.set(pending.subarray(0, fromHead));
    pending = pending.subarray(fromHead);
    const got = fromHead + await image.source.read(piece.subarray(fromHead, count * bytes));
    if (got < count * bytes) {
      done += Math.floor(got / bytes);
      break;
    }
    place(staging, count, done, conversion);
    done += count;
  }
  // As much again may lie behind the voxels, as ITK and nibabel don't look there.
  const { warnings } = await image.source.finish(Math.max(MAX_BEHIND, wanted * bytes));
  if (done < wanted) throw tooFewVoxels(image, done, wanted, size, volumes);
  return warnings;
}

const MAX_BEHIND = 64 * 2 ** 20;

export async function skip(source: ByteSource, bytes: number): Promise<boolean> {
  const sink = new Uint8Array(Math.max(0, Math.min(bytes, PIECE_BYTES)));
  for (let left = bytes; left > 0;) {
    const part = sink.subarray(0, Math.min(left, sink.length));
    if (await source.read(part) < part.length) return false;
    left -= part.length;
  }
  return true;
}

/**
 * Refuses a header whose numbers lead outside the file: voxels that start or end behind it, before memory is taken for them.
 * @param dataStart vox_offset, as the reader takes it
 */
export function checkSize(image: OpenedNifti, dataStart: number, size: Vec3, volumes: number): void {
  const bytes = VOXEL_TYPES.get(image.header.datatype)?.bytes ?? 1;
  const wanted = size[0] * size[1] * size[2] * volumes;
  const most = mostBytes(image.source);
  if (!(dataStart >= 0 && dataStart <= most)) {
    const there = `${image.source.compressed ? "at most " : ""}${most.toLocaleString("en-US")} bytes`;
    throw new UserError({
      doing: READING,
      file: image.imageFile,
      problem: `vox_offset is ${image.header.voxOffset}, outside the file, which has ${there}`,
      remedy: "set vox_offset to where the voxels start (352 without extensions), or copy the image again",
    });
  }
  const fitting = Math.floor((most - dataStart) / bytes);
  if (!(wanted <= fitting)) throw tooFewVoxels(image, fitting, wanted, size, volumes);
}

/** Bytes that can come out of a file. */
export function mostBytes({ compressed, storedBytes }: ByteSource): number {
  return compressed ? DEFLATE_RATIO * storedBytes : storedBytes;
}

function tooFewVoxels(image: OpenedNifti, there: number, wanted: number, size: Vec3, volumes: number): UserError {
  const shape = [...size, ...(volumes > 1 ? [volumes] : [])].join(" x ");
  const most = there.toLocaleString("en-US");
  return new UserError({
    doing: READING,
    file: image.imageFile,
    problem:
      `the file ends before its voxels do: the header says ${shape} = ${
        wanted.toLocaleString("en-US")
      } voxels, and there ` +
      `are at most ${most}`,
    remedy: "copy or export the image again",
  });
}
