/** An .npy file whose elements are read by ranges. */
import { UserError } from "../../base/errors.ts";
import { refuseSpecialFile } from "../../base/odd_file.ts";
import { readError } from "../../base/read_error.ts";
import { type NpyHeader, readNpyHeader } from "./npy_header.ts";

export interface NpyFile extends Disposable {
  readonly file: string;
  readonly header: NpyHeader;
  /** Fills `into` with the elements from `element` on; `into` has to be of the file's type. */
  read(element: number, into: ArrayBufferView): void;
}

/**
 * Opens a file of little-endian elements in C order.
 * @param remedy What to do about a file that is not as it should be
 * @throws UserError if it is something else, or cut off
 */
export function openNpy(path: string, doing: string, remedy = "run preprocess again"): NpyFile {
  const fail = (problem: string): never => {
    throw new UserError({ doing, file: path, problem, remedy });
  };
  let file: Deno.FsFile | undefined;
  try {
    refuseSpecialFile(path, doing, remedy);
    const opened = file = Deno.openSync(path);
    const { size } = opened.statSync();
    const readAt = (offset: number, bytes: Uint8Array): void => {
      opened.seekSync(offset, Deno.SeekMode.Start);
      for (let at = 0; at < bytes.length;) {
        const got = opened.readSync(bytes.subarray(at));
        if (!got) return fail("it is cut off");
        at += got;
      }
    };
    const layout = readNpyHeader((offset, length) => {
      const bytes = new Uint8Array(length);
      readAt(offset, bytes);
      return bytes;
    }, fail);
    const { dataAt, elementBytes, end } = layout;
    if (size < end) fail(`it is cut off: ${size} of ${end} bytes are there`);
    return {
      file: path,
      header: layout,
      read: (element, into) => {
        readAt(dataAt + element * elementBytes, new Uint8Array(into.buffer, into.byteOffset, into.byteLength));
      },
      [Symbol.dispose]: () => opened.close(),
    };
  } catch (error) {
    file?.close();
    throw readError(error, path, doing, remedy);
  }
}
