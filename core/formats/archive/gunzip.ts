/**
 * The unpacked bytes of a gzip file, piece by piece, in a memory that stays the same. Format: RFC 1952; what is refused is what zlib
 * refuses. Of its own because zlib's pieces are new memory each, 60 MB of it at a time, and come from another thread, which takes twice
 * as long where the processors are busy.
 */
import { crc32 } from "node:zlib";
import { createInflateLanes, DeflateError, inflateRaw } from "./inflate.ts";

/** What is wrong with gzip data. */
export class GzipDamage extends Error {
  override readonly name = "GzipDamage";
  constructor(readonly kind: "cut short" | "checksum" | "length" | "no gzip", message: string) {
    super(message);
  }
}

/** Fills an array from its start with the bytes from `offset` on; gives how many there were, fewer than asked for only at the end. */
export type ReadAt = (offset: number, into: Uint8Array) => Promise<number>;

/** Of a member: two of magic, method, flags, four of time, two more. */
const FIXED_BYTES = 10;
const TRAILER_BYTES = 8;
const FLAGS = { headerCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 } as const;
/** Members that hold less than so much: nobody writes many of them, and each takes as long as thousands of bytes of a larger one. */
const SMALL_BYTES = 1 << 10;
const MOST_SMALL = 100_000;
/** Names and comments are read so many bytes at first, and then at a time. */
const TEXT_BYTES = 256;
const MOST_TEXT_BYTES = 1 << 16;

/**
 * The pieces of all members of bytes [from, to), each piece valid until the next one is asked for.
 * @param onGarbage Told how many bytes behind whole members are something else than gzip data or zeros
 * @throws GzipDamage; what `readAt` throws
 */
export async function* gunzip(
  readAt: ReadAt,
  from: number,
  to: number,
  onGarbage: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, void> {
  const [lane] = createInflateLanes();
  const read: ReadAt = (offset, into) =>
    readAt(offset, into.subarray(0, Math.max(0, Math.min(into.length, to - offset))));
  let small = 0;
  for (let at = from; at === from || await isMember(read, at, to, onGarbage);) {
    if (small > MOST_SMALL) {
      throw new GzipDamage("no gzip", `more than ${MOST_SMALL.toLocaleString("en-US")} members of a few bytes`);
    }
    at += await headerBytes(read, at);
    const data = at;
    let next = at;
    const inflation = inflateRaw(async (into) => {
      const got = await read(next, into);
      next += got;
      return got;
    }, lane);
    let checksum = 0;
    let length = 0;
    try {
      for await (const piece of inflation.pieces) {
        checksum = crc32(piece, checksum);
        length += piece.length;
        yield piece;
      }
    } catch (error) {
      if (!(error instanceof DeflateError)) throw error;
      throw error.endsEarly ? cutShort() : new GzipDamage("no gzip", error.message);
    }
    at = data + inflation.taken();
    const trailer = new DataView((await exactly(read, at, TRAILER_BYTES)).buffer);
    if (trailer.getUint32(0, true) !== checksum) throw new GzipDamage("checksum", "incorrect data check");
    if (trailer.getUint32(4, true) !== length % 2 ** 32) throw new GzipDamage("length", "incorrect length check");
    at += TRAILER_BYTES;
    if (length < SMALL_BYTES) small++;
  }
}

/** Whether another member begins there; else the end is, or zeros and whatever follows them, or garbage. */
async function isMember(read: ReadAt, at: number, to: number, onGarbage: (bytes: number) => void): Promise<boolean> {
  const start = new Uint8Array(2);
  const got = await read(at, start);
  if (got === 0 || start[0] === 0) return false;
  if (got === 1 && start[0] === 0x1f) throw cutShort();
  if (start[0] === 0x1f && start[1] === 0x8b) return true;
  onGarbage(to - at);
  return false;
}

/** Bytes of the header of the member that begins there. */
async function headerBytes(read: ReadAt, from: number): Promise<number> {
  let checksum = 0;
  let at = from;
  const take = async (count: number) => {
    const bytes = await exactly(read, at, count);
    at += count;
    checksum = crc32(bytes, checksum);
    return bytes;
  };
  const passText = async () => {
    for (let bytes = new Uint8Array(TEXT_BYTES);; bytes = new Uint8Array(MOST_TEXT_BYTES)) {
      const got = await read(at, bytes);
      const end = bytes.subarray(0, got).indexOf(0);
      const passed = end < 0 ? got : end + 1;
      checksum = crc32(bytes.subarray(0, passed), checksum);
      at += passed;
      if (end >= 0) return;
      if (got === 0) throw cutShort();
    }
  };
  const fixed = await take(FIXED_BYTES);
  if (fixed[0] !== 0x1f || fixed[1] !== 0x8b) throw new GzipDamage("no gzip", "incorrect header check");
  if (fixed[2] !== 8) throw new GzipDamage("no gzip", "unknown compression method");
  const flags = fixed[3];
  if (flags & FLAGS.reserved) throw new GzipDamage("no gzip", "unknown header flags set");
  if (flags & FLAGS.extra) {
    const [low, high] = await take(2);
    await take(low + 256 * high);
  }
  if (flags & FLAGS.name) await passText();
  if (flags & FLAGS.comment) await passText();
  if (flags & FLAGS.headerCrc) {
    const expected = checksum & 0xffff;
    const [low, high] = await take(2);
    if (low + 256 * high !== expected) throw new GzipDamage("no gzip", "header crc mismatch");
  }
  return at - from;
}

async function exactly(read: ReadAt, at: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(count);
  if (await read(at, bytes) < count) throw cutShort();
  return bytes;
}

function cutShort(): GzipDamage {
  return new GzipDamage("cut short", "unexpected end of file");
}
