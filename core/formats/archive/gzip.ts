/**
 * Bytes of a plain or gzip-compressed file in order, piece by piece, so that a volume is decompressed straight into its array.
 * Every gzip member's CRC-32 and length are checked to the end of the file: nothing cut short or with a flipped bit is read, where
 * upstream's libraries give zeros or wrong voxels without a word.
 */
import zlib from "node:zlib";
import { UserError } from "../../base/errors.ts";
import { refuseSpecialFile } from "../../base/odd_file.ts";
import { readError } from "../../base/read_error.ts";
import { gunzip, GzipDamage, type ReadAt } from "./gunzip.ts";

/** A file's bytes (decompressed where it is gzip), to be read once from the front. */
export interface ByteSource extends AsyncDisposable {
  /** Bytes of the file as stored. */
  readonly storedBytes: number;
  readonly compressed: boolean;
  /** True if gzip was asked for and the file is not gzip, but plain. */
  readonly misnamed: boolean;
  /** Fills `into` from its start; returns how many bytes it got, fewer than asked for only at the end. */
  read(into: Uint8Array): Promise<number>;
  /**
   * Reads and checks the rest; returns how many bytes there were, and what is odd about the file's end.
   * @param most Packed bytes that may be left; more are refused, as a small file can unpack to very many
   */
  finish(most?: number): Promise<{ readonly rest: number; readonly warnings: readonly string[] }>;
}

/** What may lie behind an image unnoticed, in bytes. */
const MAX_REST = 64 * 2 ** 20;

/** Size of pieces; 1 MiB was the fastest of 64 KiB .. one piece. */
export const PIECE_BYTES = 1 << 20;

/** Deflate packs at most so many bytes to one. */
export const DEFLATE_RATIO = 1032;

const DOING = "reading the image";
const REMEDY = "name an image file";

/** Which bytes of a file are read; all of them if not given. */
export interface ByteRange {
  readonly from?: number;
  /** Of packed bytes. */
  readonly to?: number;
}

/**
 * Opens `file`, decompressing where `compressed` asks for it; a plain file is then given as it is, and marked.
 * Throws a {@link UserError} if it is not there or is a folder.
 * @param compressed "zlib": gzip, or a zlib stream without a header by which it is known
 */
export async function openBytes(
  file: string,
  compressed: boolean | "zlib",
  doing = DOING,
  { from = 0, to }: ByteRange = {},
): Promise<ByteSource> {
  refuseSpecialFile(file, doing, REMEDY);
  const handle = await Deno.open(file).catch((error) => {
    throw readError(error, file, doing, REMEDY);
  });
  try {
    const { size, isDirectory } = await handle.stat();
    if (isDirectory) {
      throw new UserError({ doing, file, problem: "it is a folder, a file is needed", remedy: REMEDY });
    }
    const stored = Math.max(0, Math.min(size, to ?? size) - from);
    const gzip = compressed && (stored === 0 || await isGzip(handle, from));
    if (!gzip && compressed !== "zlib") {
      await handle.seek(from, Deno.SeekMode.Start);
      return plainSource(handle, stored, compressed, file, doing);
    }
    const pieces = gzip ? gunzipPieces : inflatePieces;
    return packedSource(pieces, handle, { from, to: from + stored }, file, doing);
  } catch (error) {
    handle.close();
    throw readError(error, file, doing, REMEDY);
  }
}

async function isGzip(handle: Deno.FsFile, from: number): Promise<boolean> {
  const start = new Uint8Array(2);
  await handle.seek(from, Deno.SeekMode.Start);
  await fill(start, (rest) => handle.read(rest));
  return start[0] === 0x1f && start[1] === 0x8b;
}

function plainSource(
  handle: Deno.FsFile,
  storedBytes: number,
  misnamed: boolean,
  file: string,
  doing: string,
): ByteSource {
  let taken = 0;
  const read = async (into: Uint8Array) => {
    try {
      const got = await fill(into, (rest) => handle.read(rest));
      taken += got;
      return got;
    } catch (error) {
      throw readError(error, file, doing, REMEDY);
    }
  };
  return {
    storedBytes,
    compressed: false,
    misnamed,
    read,
    finish: () => Promise.resolve({ rest: Math.max(0, storedBytes - taken), warnings: [] }),
    [Symbol.asyncDispose]: () => Promise.resolve(handle.close()),
  };
}

/** Fills `into` from its start by as many reads as that takes; gives how many bytes there were, fewer only at the end. */
export async function fill(into: Uint8Array, readSome: (rest: Uint8Array) => Promise<number | null>): Promise<number> {
  let filled = 0;
  while (filled < into.length) {
    const got = await readSome(into.subarray(filled));
    if (!got) break;
    filled += got;
  }
  return filled;
}

type Range = Required<ByteRange>;
type Pieces = AsyncGenerator<Uint8Array, void, void>;

function packedSource(
  unpack: (handle: Deno.FsFile, range: Range, onGarbage: (bytes: number) => void) => Pieces,
  handle: Deno.FsFile,
  range: Range,
  file: string,
  doing: string,
): ByteSource {
  const storedBytes = range.to - range.from;
  const kind = unpack === gunzipPieces ? "gzip" : "zlib";
  let output = 0;
  let garbage = 0;
  const pieces = unpack(handle, range, (bytes) => garbage = bytes);
  let piece: Uint8Array = new Uint8Array(0);
  let at = 0;

  const readSome = async (into: Uint8Array): Promise<number | null> => {
    while (at >= piece.length) {
      const next = await nextPiece();
      if (!next) return null;
      piece = next;
      at = 0;
    }
    const part = piece.subarray(at, at + into.length);
    into.set(part);
    at += part.length;
    return part.length;
  };
  const nextPiece = async (): Promise<Uint8Array | null> => {
    try {
      const next = await pieces.next();
      if (next.done) return null;
      output += next.value.length;
      return next.value;
    } catch (error) {
      throw gzipError(error, { file, doing, storedBytes, output, kind });
    }
  };

  return {
    storedBytes,
    compressed: true,
    misnamed: false,
    read: (into) => fill(into, readSome),
    finish: async (most = MAX_REST) => {
      let rest = piece.length - at;
      for (let next = await nextPiece(); next && rest <= most; next = await nextPiece()) rest += next.length;
      if (rest > most) {
        const problem = `more than ${count(most)} bytes are packed behind what its header describes`;
        throw new UserError({ doing, file, problem, remedy: "save the image again" });
      }
      at = piece.length;
      const warnings = garbage
        ? [
          `${file}: ${garbage === 1 ? "the last byte is" : `the last ${count(garbage)} bytes are`} not gzip data; ` +
          `${garbage === 1 ? "it was" : "they were"} ignored (the voxels' checksum is right).`,
        ]
        : [];
      return { rest, warnings };
    },
    [Symbol.asyncDispose]: async () => {
      await pieces.return(undefined);
      handle.close();
    },
  };
}

/** The decompressed pieces of all members. Throws {@link GzipDamage}. */
async function* gunzipPieces(
  handle: Deno.FsFile,
  { from, to }: Range,
  onGarbage: (bytes: number) => void,
): Pieces {
  yield* gunzip(windowOf(handle, Math.min(PIECE_BYTES, to - from)), from, to, onGarbage);
}

/** Reads bytes by their place, through the last piece that was read: small reads behind and before each other cost no call each. */
function windowOf(handle: Deno.FsFile, bytes: number): ReadAt {
  const window = new Uint8Array(bytes);
  let start = 0;
  let filled = 0;
  return async (offset, into) => {
    let got = 0;
    while (got < into.length) {
      const at = offset + got - start;
      if (at >= 0 && at < filled) {
        const part = window.subarray(at, Math.min(filled, at + into.length - got));
        into.set(part, got);
        got += part.length;
        continue;
      }
      filled = 0;
      start = await handle.seek(offset + got, Deno.SeekMode.Start);
      filled = await fill(window, (rest) => handle.read(rest));
      if (filled === 0) break;
    }
    return got;
  };
}

/** The pieces of a zlib stream; what is behind it is left. Throws zlib's errors. */
async function* inflatePieces(handle: Deno.FsFile, { from, to }: Range): Pieces {
  yield* decompress(zlib.createInflate({ chunkSize: PIECE_BYTES }), handle, from, to);
}

/** Feeds bytes [from, to) of a file through a zlib stream; gives what comes out of it. Throws zlib's errors. */
async function* decompress(
  stream: zlib.Inflate,
  handle: Deno.FsFile,
  from: number,
  to: number,
): AsyncGenerator<Uint8Array, void, void> {
  let stopped = false;
  const feed = async () => {
    try {
      await handle.seek(from, Deno.SeekMode.Start);
      let left = to - from;
      while (left > 0 && !stopped) {
        const buffer = new Uint8Array(Math.min(PIECE_BYTES, left));
        const got = await fill(buffer, (rest) => handle.read(rest));
        left = got < buffer.length ? 0 : left - got;
        const ready = stream.write(got < buffer.length ? buffer.subarray(0, got) : buffer);
        if (!ready && !stopped) await new Promise<void>((resolve) => onceAny(stream, ["drain", "close"], resolve));
      }
      stream.end();
    } catch (error) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };
  const feeding = feed();
  try {
    for await (const piece of stream) yield piece as Uint8Array;
  } finally {
    stopped = true;
    stream.destroy();
    await feeding;
  }
}

function onceAny(stream: zlib.Inflate, events: readonly string[], listener: () => void): void {
  const once = () => {
    for (const event of events) stream.off(event, once);
    listener();
  };
  for (const event of events) stream.on(event, once);
}

/** What is wrong with the packed data; undefined where it is something else. */
function damageOf(error: unknown): Pick<GzipDamage, "kind" | "message"> | undefined {
  if (error instanceof GzipDamage) return error;
  if (!(error instanceof Error && "code" in error)) return undefined;
  const { code, message } = error;
  if (code === "Z_BUF_ERROR") return { kind: "cut short", message };
  if (code !== "Z_DATA_ERROR") return undefined;
  return { kind: message.includes("data check") ? "checksum" : "no gzip", message };
}

interface PackedFile {
  readonly file: string;
  readonly doing: string;
  readonly storedBytes: number;
  readonly kind: "gzip" | "zlib";
  /** Bytes that came out of it. */
  readonly output: number;
}

function gzipError(error: unknown, { file, doing, storedBytes, output, kind }: PackedFile): unknown {
  const damage = damageOf(error);
  if (storedBytes > 0 && !damage) return readError(error, file, doing, REMEDY);
  const remedy = `copy or download the file again${
    kind === "gzip" ? "; `gzip -t FILE` tells whether a copy is whole" : ""
  }`;
  const user = (problem: string) => new UserError({ doing, file, problem, remedy }, { cause: error });
  if (storedBytes === 0) return user("the file is empty");
  const after = output === 0 ? "" : ` after ${count(output)} decompressed bytes`;
  switch (damage?.kind) {
    case "cut short":
      return user(
        `the ${kind} data are cut short: the file's ${count(storedBytes)} bytes end before the compressed data do${
          after && `,${after}`
        }`,
      );
    case "checksum": {
      const name = kind === "gzip" ? "CRC-32" : "Adler-32";
      return user(`the ${kind} data are damaged: the checksum (${name}) of the decompressed data is wrong`);
    }
    case "length":
      return user(`the ${kind} data are damaged: the stored length is not that of the decompressed data`);
    default:
      return user(`the ${kind} data are damaged: ${damage?.message}${after || " at their very start"}`);
  }
}

function count(number: number): string {
  return number.toLocaleString("en-US");
}
