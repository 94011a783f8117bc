/** A file's bytes in order, whatever its size. */
import { Interrupted } from "./errors.ts";
import { refuseSpecialFile } from "./odd_file.ts";
import { readError } from "./read_error.ts";

const PIECE_BYTES = 2 ** 20;

/**
 * All bytes of a file, in pieces of a megabyte at most; each lies where the one before it lay.
 * @throws UserError if it can't be read; Interrupted once `signal` has aborted
 */
export async function* filePieces(file: string, doing: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    refuseSpecialFile(file, doing);
    using opened = await Deno.open(file);
    const buffer = new Uint8Array(PIECE_BYTES);
    for (let got = await opened.read(buffer); got !== null; got = await opened.read(buffer)) {
      if (signal?.aborted) throw new Interrupted(`stopped while ${doing}`);
      yield buffer.subarray(0, got);
    }
  } catch (error) {
    throw readError(error, file, doing);
  }
}
