/**
 * Entries of a zip file that is being written, deflated as their bytes come: nothing is held, and sizes beyond 4 GiB are written as
 * zip64 has them. Format: PKWARE APPNOTE 6.3.10.
 */
import { constants, crc32, createDeflateRaw } from "node:zlib";
import { writeAll } from "../../base/files.ts";
import { NO_TIME, type WrittenEntry } from "./zip_directory.ts";

/** An entry on its way into a zip file. */
export interface ZipSource extends Pick<WrittenEntry, "modified" | "mode"> {
  readonly name: string;
  /** Its bytes, in pieces of any size; a piece may be overwritten once the next one is asked for. */
  readonly source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  /** zlib's, 1 to 9. */
  readonly level: number;
  /**
   * True: of repetitions only a byte after itself is looked for. Weights, being noise, have hardly others: 0.926 of their bytes are left
   * instead of 0.923, in a third of the time.
   */
  readonly runsOnly?: boolean;
}

/** Unused bits but one: the name is UTF-8. Without it Python takes a name for code page 437. */
const UTF8 = 0x800;
/** The zip64 field of a local header: two sizes. */
const SIZES_BYTES = 20;

/** Writes an entry at `offset`, the file's end; the file's position is behind it afterwards. */
export async function writeZipEntry(file: Deno.FsFile, offset: number, entry: ZipSource): Promise<WrittenEntry> {
  const { name, modified = NO_TIME, mode, source, level, runsOnly } = entry;
  // deno-lint-ignore no-control-regex -- all of ASCII
  const flags = /^[\u0000-\u007f]*$/.test(name) ? 0 : UTF8;
  const local = localHeader(name, flags, modified);
  await writeAll(file, local);

  const strategy = runsOnly ? constants.Z_RLE : constants.Z_DEFAULT_STRATEGY;
  const deflate = createDeflateRaw({ level, strategy });
  let checksum = 0;
  let size = 0;
  let packed = 0;
  // Each is packed before the next one comes: at this level the bytes depend on what zlib is given together, and whether the end is
  // known with the last of it, which would be a matter of time.
  const feed = (piece: Uint8Array) => {
    checksum = crc32(piece, checksum);
    size += piece.length;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    deflate.write(piece, (error) => (error ? reject(error) : resolve()));
    return promise;
  };
  const pump = async () => {
    for await (const piece of source) await feed(piece);
    deflate.end();
  };
  const drain = async () => {
    for await (const piece of deflate) {
      packed += (piece as Uint8Array).length;
      await writeAll(file, piece as Uint8Array);
    }
  };
  // Whichever fails first ends the other, whose error then only says that it was ended.
  let failure: { readonly reason: unknown } | undefined;
  const guard = (work: Promise<void>) =>
    work.catch((reason) => {
      failure ??= { reason };
      deflate.destroy(reason);
    });
  await Promise.all([guard(pump()), guard(drain())]);
  if (failure) throw failure.reason;

  const end = offset + local.length + packed;
  const view = new DataView(local.buffer);
  view.setUint32(14, checksum, true);
  view.setBigUint64(local.length - 16, BigInt(size), true);
  view.setBigUint64(local.length - 8, BigInt(packed), true);
  await file.seek(offset, Deno.SeekMode.Start);
  await writeAll(file, local);
  await file.seek(end, Deno.SeekMode.Start);
  return { name, method: 8, checksum, size, packed, offset, end, flags, modified, mode };
}

/** A local header whose sizes are in a zip64 field at its end; they and the checksum are filled in afterwards. */
function localHeader(name: string, flags: number, modified: number): Uint8Array<ArrayBuffer> {
  const nameBytes = new TextEncoder().encode(name);
  const bytes = new Uint8Array(30 + nameBytes.length + SIZES_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(4, 45, true);
  view.setUint16(6, flags, true);
  view.setUint16(8, 8, true);
  view.setUint32(10, modified, true);
  view.setUint32(18, 0xffffffff, true);
  view.setUint32(22, 0xffffffff, true);
  view.setUint16(26, nameBytes.length, true);
  view.setUint16(28, SIZES_BYTES, true);
  bytes.set(nameBytes, 30);
  view.setUint16(30 + nameBytes.length, 1, true);
  view.setUint16(32 + nameBytes.length, SIZES_BYTES - 4, true);
  return bytes;
}

/** A time as MS-DOS has it, in this machine's zone: two seconds exact, 1980 to 2107. */
export function dosTime(time: Date): number {
  const year = time.getFullYear();
  if (!(year >= 1980 && year <= 2107)) return NO_TIME;
  const date = ((year - 1980) << 9) | ((time.getMonth() + 1) << 5) | time.getDate();
  const clock = (time.getHours() << 11) | (time.getMinutes() << 5) | (time.getSeconds() >> 1);
  return date * 0x10000 + clock;
}
