/** A file that holds for a while what memory does not. */
import { messageOf, UserError } from "../../base/errors.ts";
import { createScratch, type HiddenFile } from "../../base/leftovers.ts";

export interface ScratchFile extends Disposable {
  read(position: number, into: Uint8Array): void;
  write(position: number, data: Uint8Array): void;
}

/** A nameless file where the system allows it: it is gone when the program ends, however it ends. */
export function scratchFile(folder: string): ScratchFile {
  const failed = (error: unknown, file: string) =>
    new UserError({
      doing: "keeping logits in a scratch file",
      file,
      problem: messageOf(error),
      remedy: "free space on that disk, or raise --max-memory so that none is needed",
    }, { cause: error });
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
