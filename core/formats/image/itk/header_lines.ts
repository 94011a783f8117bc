/** The text of a header at a file's beginning, line by line. */
import { UserError } from "../../../base/errors.ts";
import { type ByteSource, openBytes } from "../../archive/gzip.ts";
import { READING } from "../image_format.ts";

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const PIECE_BYTES = 1 << 14;
/** Headers of sequences have a few lines a volume; longer ones are refused. */
const MOST_BYTES = 1 << 24;

export interface HeaderLines extends AsyncDisposable {
  /** The next line without its end (LF, CR LF, or CR); undefined at the end of the file. */
  next(): Promise<string | undefined>;
  /** The byte behind the last line that was given. */
  readonly position: number;
}

/** @throws UserError if the file is not there */
export async function openLines(file: string): Promise<HeaderLines> {
  const source = await openBytes(file, false, READING);
  return linesOf(source, file);
}

function linesOf(source: ByteSource, file: string): HeaderLines {
  const decoder = new TextDecoder();
  let bytes = new Uint8Array(0);
  /** Where `bytes` begins in the file, and what of it is not yet given. */
  let [start, at] = [0, 0];
  const more = async (): Promise<boolean> => {
    if (start + bytes.length > MOST_BYTES) {
      const problem = `its header has no end within ${MOST_BYTES >> 20} MiB`;
      throw new UserError({ doing: READING, file, problem, remedy: "copy or export the image again" });
    }
    const next = new Uint8Array(bytes.length - at + Math.max(PIECE_BYTES, bytes.length - at));
    next.set(bytes.subarray(at));
    const got = await source.read(next.subarray(bytes.length - at));
    const length = bytes.length - at + got;
    start += at;
    [bytes, at] = [next.subarray(0, length), 0];
    return got > 0;
  };
  return {
    get position() {
      return start + at;
    },
    next: async () => {
      let i = at;
      for (;;) {
        while (i < bytes.length && bytes[i] !== LINE_FEED && bytes[i] !== CARRIAGE_RETURN) i++;
        // Of CR LF both have to be there.
        if (i < bytes.length && (bytes[i] === LINE_FEED || i + 1 < bytes.length)) break;
        const looked = i - at;
        if (!await more()) {
          if (bytes.length === 0) return undefined;
          i = looked;
          break;
        }
        i = looked;
      }
      const line = decoder.decode(bytes.subarray(at, i));
      const pair = bytes[i] === CARRIAGE_RETURN && bytes[i + 1] === LINE_FEED;
      at = Math.min(bytes.length, i + (pair ? 2 : 1));
      return line;
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
