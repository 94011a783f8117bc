/** A file that holds for a while what memory does not. */
import { messageOf, UserError } from "../../base/errors.ts";
import { holdWhileOpen, scratchName } from "../../base/leftovers.ts";
import { join } from "../../base/path.ts";

export interface ScratchFile extends Disposable {
  read(position: number, into: Uint8Array): void;
  write(position: number, data: Uint8Array): void;
}

/** A nameless file where the system allows it: it is gone when the program ends, however it ends. */
export function scratchFile(folder: string): ScratchFile {
  const path = join(folder, scratchName("nnunet-logits-", "scratch"));
  const failed = (error: unknown) =>
    new UserError({
      doing: "keeping logits in a scratch file",
      file: path,
      problem: messageOf(error),
      remedy: "free space on that disk, or raise --max-memory so that none is needed",
    }, { cause: error });
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true, write: true, createNew: true });
    holdWhileOpen(file);
  } catch (error) {
    throw failed(error);
  }
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
      throw failed(error);
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
