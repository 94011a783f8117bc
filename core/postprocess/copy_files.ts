/** Copies the files of a folder, each whole or not at all. */
import { ensureFolder, writeAtomically } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { join } from "../base/path.ts";
import { readError } from "../base/read_error.ts";
import { readFolder } from "../base/read_folder.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { compareNames } from "../dataset/raw_dataset.ts";

export interface CopyOptions {
  /** For errors: "copying the predictions". */
  readonly doing: string;
  readonly signal?: AbortSignal;
}

/**
 * Copies the files that lie in `source` itself, also those that links lead to, into `target`, which is made if it is not there.
 * @throws UserError naming the file that can't be read or written; Interrupted if the signal aborts
 */
export async function copyFolderFiles(source: string, target: string, { doing, signal }: CopyOptions): Promise<void> {
  removeLeftovers(source);
  await ensureFolder(target, doing);
  removeLeftovers(target);
  const names = (await readFolder(source, doing) ?? []).map(({ name }) => name).sort(compareNames);
  for (const name of names) {
    const [from, to] = [join(source, name), join(target, name)];
    if (!(await statOrNull(from, doing))?.isFile) continue;
    await writeAtomically(to, async (file) => {
      let input: Deno.FsFile;
      try {
        input = await Deno.open(from);
      } catch (error) {
        throw readError(error, from, doing);
      }
      await input.readable.pipeTo(file.writable, { preventClose: true });
    }, { doing, ...(signal && { signal }) });
  }
}
