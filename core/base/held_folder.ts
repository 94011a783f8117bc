/**
 * Hidden folders that live only as long as their work, and what is left of them when a run is killed. A locked file beside, of the same
 * name and an ending, says that one is in use: it is there before the folder is, and goes after it. So a folder without it is nobody's.
 */
import { ensureFolder, writeError } from "./files.ts";
import { createHeld, removeLeftovers, scratchName } from "./leftovers.ts";
import { join } from "./path.ts";
import { isGone } from "./stat_or_null.ts";

const ENDING = ".scratch";

/** A path for {@link holdFolder}. @param start How its name begins, with a dot */
export function heldFolderPath(parent: string, start: string): string {
  return join(parent, scratchName(start.slice(1), "scratch").slice(0, -ENDING.length));
}

/**
 * Makes a folder that is removed, with all it holds, on disposal. What can't be removed is left to {@link removeLeftFolders}: as an error
 * it would hide the one that ends the work, which mostly has the same reason.
 * @param path Of {@link heldFolderPath}
 * @throws UserError
 */
export async function holdFolder(path: string, doing: string): Promise<AsyncDisposable> {
  const mark = path + ENDING;
  const file = createMark(mark, doing);
  const remove = async () => {
    await Deno.remove(path, { recursive: true }).catch(() => {});
    file.close();
    await Deno.remove(mark).catch(() => {});
  };
  try {
    await ensureFolder(path, doing);
  } catch (error) {
    await remove();
    throw error;
  }
  return { [Symbol.asyncDispose]: remove };
}

function createMark(path: string, doing: string): Deno.FsFile {
  try {
    for (;;) {
      const file = createHeld(path);
      if (file) return file;
    }
  } catch (error) {
    throw writeError(error, path, doing);
  }
}

/**
 * Removes the folders that killed runs have left in `parent`, and nothing of a run that lives. What can't be removed stays.
 * @param start How their names begin
 */
export async function removeLeftFolders(parent: string, start: string): Promise<void> {
  let names: string[];
  try {
    const entries = await Array.fromAsync(Deno.readDir(parent));
    names = entries.filter(({ name, isDirectory }) => isDirectory && name.startsWith(start)).map(({ name }) => name);
  } catch {
    return; // Not there, or not to be read: who writes there says so.
  }
  if (names.length > 0) removeLeftovers(parent);
  for (const name of names) {
    try {
      if (await isGone(join(parent, name + ENDING))) await Deno.remove(join(parent, name), { recursive: true });
    } catch {
      // Of another user, or just removed.
    }
  }
}
