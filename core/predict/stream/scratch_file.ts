/** A file that holds for a while what memory does not. */
import { messageOf, UserError, type UserErrorParts } from "../../base/errors.ts";
import { writeError } from "../../base/files.ts";
import { createScratch, type HiddenFile } from "../../base/leftovers.ts";

export interface ScratchFile extends Disposable {
  read(position: number, into: Uint8Array): void;
  write(position: number, data: Uint8Array): void;
}

/** What a file that goes with its case says when it can't be made, written or read; a full disk as such. */
export function scratchError(
  error: unknown,
  file: string,
  about: Pick<UserErrorParts, "doing" | "caseId" | "remedy">,
): UserError {
  const known = writeError(error, file, about.doing);
  const { problem, endsRun } = known instanceof UserError ? known.parts : { problem: messageOf(error) };
  return new UserError({ ...about, file, problem, ...(endsRun && { endsRun }) }, { cause: error });
}

/** A nameless file where the system allows it: it is gone when the program ends, however it ends. */
export function scratchFile(folder: string): ScratchFile {
  const failed = (error: unknown, file: string) =>
    scratchError(error, file, {
      doing: "keeping logits in a scratch file",
      remedy: "free space on that disk, or raise --max-memory so that none is needed",
    });
  let made: HiddenFile;
  try {
    made = createScratch(folder, "nnunet-logits-", "scratch");
  } catch (error) {
    throw failed(error, folder);
  }
  const { file, path } = made;
  const remove = (): boolean => {
    try {
      Deno.removeSync(path);
      return true;
    } catch {
      return false;
    }
  };
  const removed = remove();
  const transfer = (position: number, data: Uint8Array, step: (rest: Uint8Array) => number | null): void => {
    try {
      file.seekSync(position, Deno.SeekMode.Start);
      for (let done = 0; done < data.length;) {
        const count = step(data.subarray(done));
        if (!count) throw new Error(`it ends before byte ${position + data.length}`);
        done += count;
      }
    } catch (error) {
      throw failed(error, path);
    }
  };
  return {
    read: (position, into) => transfer(position, into, (rest) => file.readSync(rest)),
    write: (position, data) => transfer(position, data, (rest) => file.writeSync(rest)),
    [Symbol.dispose]() {
      file.close();
      if (!removed) remove();
    },
  };
}
