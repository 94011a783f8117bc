/** A file that is read by ranges, at once. */
import { UserError } from "../../base/errors.ts";
import { refuseSpecialFile } from "../../base/odd_file.ts";
import { readError } from "../../base/read_error.ts";

export interface RangeFile extends Disposable {
  readonly size: number;
  /** Fills `bytes` with those from `offset` on. @throws UserError if the file ends before */
  readAt(offset: number, bytes: Uint8Array): void;
  /** @throws UserError that says what is wrong with the file */
  fail(problem: string): never;
}

/**
 * @param remedy What to do about a file that is not as it should be
 * @throws UserError if it can't be opened or is no file
 */
export function openRangeFile(path: string, doing: string, remedy: string): RangeFile {
  const fail = (problem: string): never => {
    throw new UserError({ doing, file: path, problem, remedy });
  };
  let file: Deno.FsFile;
  try {
    refuseSpecialFile(path, doing, remedy);
    file = Deno.openSync(path);
  } catch (error) {
    throw readError(error, path, doing, remedy);
  }
  const readAt = (offset: number, bytes: Uint8Array): void => {
    try {
      file.seekSync(offset, Deno.SeekMode.Start);
      for (let at = 0; at < bytes.length;) {
        const got = file.readSync(bytes.subarray(at));
        if (!got) return fail("it is cut off");
        at += got;
      }
    } catch (error) {
      throw readError(error, path, doing, remedy);
    }
  };
  try {
    return { size: file.statSync().size, readAt, fail, [Symbol.dispose]: () => file.close() };
  } catch (error) {
    file.close();
    throw readError(error, path, doing, remedy);
  }
}
