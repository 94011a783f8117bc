/** A frame's bytes out of its file: the pixels as they are, or the packed stream of encapsulated ones. */
import { inflateRawSync } from "node:zlib";
import { UserError } from "../../base/errors.ts";
import { readError } from "../../base/read_error.ts";
import type { Slice } from "./slice.ts";
import { packingOf } from "./transfer_syntax.ts";

/** An opened file of frames. */
export interface FrameFile extends Disposable {
  readonly file: string;
  /** @throws UserError if the frame is not whole */
  read(frame: number): Uint8Array;
}

interface Fragment {
  /** Of its item, counted from the first fragment's item. */
  readonly start: number;
  /** Of its bytes, in the file. */
  readonly offset: number;
  readonly length: number;
}

const ITEM = 0xe000fffe; // FFFE,E000, read as one little-endian number
const DELIMITER = 0xe0ddfffe;

/** Bytes of a frame that is not packed. */
export function frameBytes({ format: { rows, columns, bitsAllocated } }: Slice): number {
  return rows * columns * bitsAllocated / 8;
}

/** Opens the file of a slice. @throws UserError naming the file if its frames can't lie in it */
export function openFrames(slice: Slice, doing: string): FrameFile {
  const { file } = slice;
  const damaged = (problem: string) => new UserError({ doing, file, problem, remedy: "export or copy it again" });
  let handle: Deno.FsFile;
  try {
    handle = Deno.openSync(file);
  } catch (error) {
    throw readError(error, file, doing);
  }
  try {
    const read = (offset: number, length: number): Uint8Array => {
      const bytes = new Uint8Array(length);
      handle.seekSync(offset, Deno.SeekMode.Start);
      for (let at = 0; at < length;) {
        const got = handle.readSync(bytes.subarray(at));
        if (got === null) throw damaged("it ends before its pixels do");
        at += got;
      }
      return bytes;
    };
    const frame = packingOf(slice.transferSyntax) === "none"
      ? plainFrames(slice, read, damaged)
      : packedFrames(slice, read, damaged);
    return {
      file,
      read(index) {
        try {
          return frame(index);
        } catch (error) {
          throw readError(error, file, doing);
        }
      },
      [Symbol.dispose]: () => handle.close(),
    };
  } catch (error) {
    handle.close();
    throw readError(error, file, doing);
  }
}

type ReadBytes = (offset: number, length: number) => Uint8Array;
type Damaged = (problem: string) => UserError;

function plainFrames(slice: Slice, read: ReadBytes, damaged: Damaged): (frame: number) => Uint8Array {
  const { pixels: { offset, length }, frames, fileBytes, deflatedFrom } = slice;
  const each = frameBytes(slice);
  const needed = each * frames;
  if (length === undefined) {
    throw damaged("its pixels are encapsulated, and its transfer syntax says that they are not");
  }
  const there = deflatedFrom !== undefined ? length : Math.min(length, Math.max(0, fileBytes - offset));
  if (there < needed) {
    const count = (bytes: number) => bytes.toLocaleString("en-US");
    throw damaged(`its header says ${count(needed)} bytes of pixels, and there are ${count(there)}`);
  }
  if (deflatedFrom === undefined) return (frame) => read(offset + frame * each, each);
  let inflated: Uint8Array | undefined;
  return (frame) => {
    inflated ??= inflatePixels(slice, deflatedFrom, read, needed, damaged);
    return inflated.slice(frame * each, (frame + 1) * each);
  };
}

/** The pixels of a deflated object. */
function inflatePixels(
  { fileBytes, pixels: { offset } }: Slice,
  from: number,
  read: ReadBytes,
  needed: number,
  damaged: Damaged,
): Uint8Array {
  const packed = read(from, fileBytes - from);
  const start = offset - from;
  try {
    const all = inflateRawSync(packed, { maxOutputLength: start + needed + MOST_BEHIND });
    const pixels = all.subarray(start, start + needed);
    if (pixels.length === needed) return pixels;
  } catch {
    throw damaged("it can't be inflated");
  }
  throw damaged("it ends before its pixels do");
}

/** What may stand behind the pixels of a deflated object. */
const MOST_BEHIND = 2 ** 26;

function packedFrames(slice: Slice, read: ReadBytes, damaged: Damaged): (frame: number) => Uint8Array {
  const { pixels, frames } = slice;
  if (pixels.length !== undefined) throw damaged("its pixels are not encapsulated, as its transfer syntax says");
  const { offsets, fragments } = listFragments(slice, read, damaged);
  const table = pixels.frameOffsets ?? offsets;
  const groups: readonly (readonly Fragment[])[] = frames === 1
    ? [fragments]
    : fragments.length === frames
    ? fragments.map((one) => [one])
    : groupByOffsets(fragments, table);
  if (groups.length !== frames || groups.some((group) => group.length === 0)) {
    throw damaged(`it has ${fragments.length} pieces of pixels for ${frames} frames, and no table that parts them`);
  }
  return (frame) => {
    const parts = groups[frame];
    if (parts.length === 1) return read(parts[0].offset, parts[0].length);
    const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { offset, length } of parts) {
      whole.set(read(offset, length), at);
      at += length;
    }
    return whole;
  };
}

function listFragments(
  { pixels: { offset }, fileBytes }: Slice,
  read: ReadBytes,
  damaged: Damaged,
): { readonly offsets: readonly number[]; readonly fragments: readonly Fragment[] } {
  const fragments: Fragment[] = [];
  let offsets: number[] | undefined;
  let first = offset;
  for (let at = offset; at + 8 <= fileBytes;) {
    const view = new DataView(read(at, 8).buffer);
    const [tag, length] = [view.getUint32(0, true), view.getUint32(4, true)];
    if (tag === DELIMITER) break;
    if (tag !== ITEM || at + 8 + length > fileBytes) {
      throw damaged("the pieces of its pixels are damaged, or cut short");
    }
    if (offsets === undefined) {
      const table = new DataView(read(at + 8, length).buffer);
      offsets = Array.from({ length: length >> 2 }, (_, i) => table.getUint32(4 * i, true));
      first = at + 8 + length;
    } else fragments.push({ start: at - first, offset: at + 8, length });
    at += 8 + length;
  }
  if (fragments.length === 0) throw damaged("its pixels are missing: no piece of them is there");
  return { offsets: offsets ?? [], fragments };
}

/** The fragments from each offset to the next; none where the offsets do not ascend. */
function groupByOffsets(fragments: readonly Fragment[], offsets: readonly number[]): readonly Fragment[][] {
  const groups: Fragment[][] = [];
  let next = 0;
  for (let i = 0; i < offsets.length; i++) {
    const end = i + 1 < offsets.length ? offsets[i + 1] : Infinity;
    if (!(end > offsets[i])) return [];
    const group: Fragment[] = [];
    for (; next < fragments.length && fragments[next].start < end; next++) group.push(fragments[next]);
    groups.push(group);
  }
  return groups;
}
