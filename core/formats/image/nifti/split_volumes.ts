/**
 * Splits a 4-D NIfTI-1 file into one file a volume: voxels and header are copied byte by byte, and the fourth dimension is taken out of
 * the header. Where SimpleITK would read, convert and write, nothing is rounded here; it reads the same geometry and values from both.
 */
import zlib from "node:zlib";
import { UserError } from "../../../base/errors.ts";
import { writeAll, writeAtomically } from "../../../base/files.ts";
import { type ByteSource, openBytes, PIECE_BYTES } from "../../archive/gzip.ts";
import { mostBytes, openHeader } from "./file.ts";
import { NIFTI1_HEADER_BYTES, parseNiftiHeader } from "./header.ts";
import { VOXEL_TYPES } from "./voxels.ts";

/** Volumes of a 3-D or 4-D file. @throws UserError for other numbers of dimensions, and if the header can't be read */
export async function volumesOfNifti(file: string, doing: string): Promise<number> {
  await using nifti = await openHeader(file, doing);
  const { dim } = nifti.header;
  const sizes = dim.slice(1, 1 + dim[0]);
  while (sizes.length > 3 && sizes[sizes.length - 1] <= 1) sizes.pop();
  if (sizes.length < 3 || sizes.length > 4) {
    const problem = `it has ${sizes.length} dimensions (${sizes.join(" x ")}); 3 or 4 are converted`;
    throw new UserError({ doing, file, problem, remedy: "remove or convert this file" });
  }
  return sizes[3] ?? 1;
}

/** Of all packers' levels; upstream's writer uses zlib's default, 6, which takes several times as long for 2 % less. */
const GZIP_LEVEL = 3;
/** What lies before the voxels, header extensions, is kept in memory; more than this is none. */
const MAX_DATA_START = 1 << 28;

/**
 * @param nameOf File of each volume, ending in .nii.gz
 * @throws UserError if the file is cut short, or is no single-file NIfTI-1
 */
export async function splitNifti(file: string, nameOf: (volume: number) => string, doing: string): Promise<void> {
  const fail = (problem: string) =>
    new UserError({ doing, file, problem, remedy: "copy the file again, or convert it to NIfTI-1 (.nii.gz)" });
  await using source = await openBytes(file, file.toLowerCase().endsWith(".gz"), doing);
  const start = new Uint8Array(NIFTI1_HEADER_BYTES);
  if (await source.read(start) < start.length) throw fail("it ends within its header");
  const header = parseNiftiHeader(start);
  const type = header && VOXEL_TYPES.get(header.datatype);
  if (!header || !type || header.version !== 1 || !header.singleFile) {
    throw fail("it is no single-file NIfTI-1 of numbers");
  }
  const dataStart = Math.max(NIFTI1_HEADER_BYTES, Math.trunc(header.voxOffset));
  const [, nx, ny, nz, volumes] = header.dim;
  if (Math.min(nx, ny, nz, volumes) < 1) throw fail(`a dimension is not positive (dim is ${header.dim.join(" ")})`);
  const bytes = nx * ny * nz * type.bytes;
  // Written so that a vox_offset that is no number is refused.
  if (!(dataStart <= MAX_DATA_START && dataStart + bytes * volumes <= mostBytes(source))) {
    throw fail(`it ends before its voxels: vox_offset is ${header.voxOffset}, dim ${header.dim.join(" ")}`);
  }
  const between = new Uint8Array(dataStart - NIFTI1_HEADER_BYTES);
  if (await source.read(between) < between.length) throw fail("it ends before its voxels");

  const view = new DataView(start.buffer);
  const put = (at: number, value: number) => view.setInt16(at, value, header.littleEndian);
  put(40, 3); // dim[0]
  put(48, 1); // dim[4]
  view.setFloat32(92, 0, header.littleEndian); // pixdim[4]
  view.setFloat32(108, dataStart, header.littleEndian);
  for (let volume = 0; volume < volumes; volume++) {
    await writeAtomically(nameOf(volume), async (out) => {
      const missing = await packVolume(source, [start, between], bytes, out);
      if (missing > 0) throw fail(`it ends in volume ${volume} of ${volumes}: ${missing} bytes are missing`);
    }, { doing });
  }
  await source.finish();
}

/** Writes header and the source's next `bytes` bytes, packed; gives how many of them were missing. */
async function packVolume(
  source: ByteSource,
  heads: readonly Uint8Array[],
  bytes: number,
  out: Deno.FsFile,
): Promise<number> {
  const gzip = zlib.createGzip({ level: GZIP_LEVEL, chunkSize: PIECE_BYTES });
  let left = bytes;
  const feed = async () => {
    try {
      for (const head of heads) gzip.write(head.slice());
      while (left > 0) {
        const piece = new Uint8Array(Math.min(PIECE_BYTES, left));
        const got = await source.read(piece);
        left -= got;
        if (!gzip.write(piece.subarray(0, got))) await new Promise<void>((resolve) => gzip.once("drain", resolve));
        if (got < piece.length) break;
      }
      gzip.end();
    } catch (error) {
      gzip.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };
  const feeding = feed();
  try {
    for await (const packed of gzip) await writeAll(out, packed as Uint8Array);
  } finally {
    gzip.destroy();
    gzip.emit("drain");
    await feeding;
  }
  return left;
}
