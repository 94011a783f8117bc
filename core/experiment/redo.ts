/** Making room for what is trained anew: a fold's folder is moved aside, and stays until the user removes it. */
import { writeError } from "../base/files.ts";
import { basename, dirname, join } from "../base/path.ts";
import { statOrNull } from "../base/stat_or_null.ts";

/** Renames fold_N to old_fold_N, old_fold_N_2, ...; nothing takes a folder of such a name for a fold. @returns the new path */
export async function moveAside(foldFolder: string): Promise<string> {
  const doing = "moving the earlier training aside";
  const parent = dirname(foldFolder);
  for (let number = 1;; number++) {
    const target = join(parent, `old_${basename(foldFolder)}${number === 1 ? "" : `_${number}`}`);
    if (await statOrNull(target, doing) !== null) continue;
    try {
      await Deno.rename(foldFolder, target);
    } catch (error) {
      throw writeError(error, foldFolder, doing);
    }
    return target;
  }
}
