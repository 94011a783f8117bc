/**
 * Making a raw dataset folder whole or not at all: it is filled under a hidden name beside and then renamed, so that a converter that
 * is stopped leaves nothing that looks like a dataset.
 */
import { statOrNull } from "../base/stat_or_null.ts";
import { readFolder } from "../base/read_folder.ts";
import { UserError } from "../base/errors.ts";
import { refuseSpecialFile } from "../base/odd_file.ts";
import { readError } from "../base/read_error.ts";
import { ensureFolder, writeError } from "../base/files.ts";
import { takeLock } from "../base/folder_lock.ts";
import { basename, dirname, join } from "../base/path.ts";

/** In every folder in the making: what holds it may be removed. */
const MARKER = ".nnunet-conversion";

/**
 * Makes the folder `target` with what `fill` puts into the folder it is given.
 * @throws UserError if `target` is there already, or writing fails
 */
export async function makeFolderWhole(
  target: string,
  doing: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  if (await statOrNull(target, doing)) {
    throw new UserError({
      doing,
      file: target,
      problem: "it is there already, and nothing is overwritten",
      remedy: "choose another name or id, or remove it first",
    });
  }
  const parent = dirname(target);
  await ensureFolder(parent, doing);
  using _lock = takeLock(join(parent, `.${basename(target)}.lock`), {
    doing,
    problem: "another run is making this folder at this moment",
    remedy: "wait until it ends, or stop it",
  });
  const hidden = join(parent, `.${basename(target)}.partial`);
  await removeEarlier(hidden, doing);
  try {
    await Deno.mkdir(hidden);
    await Deno.writeTextFile(join(hidden, MARKER), "");
    await fill(hidden);
    await Deno.rename(hidden, target);
    await Deno.remove(join(target, MARKER));
  } catch (error) {
    await removeEarlier(hidden, doing).catch(() => {});
    throw writeError(error, target, doing);
  }
}

/** Removes what a killed run has left. @throws UserError if it is no run's */
async function removeEarlier(hidden: string, doing: string): Promise<void> {
  const entries = await readFolder(hidden, doing);
  if (!entries && !(await statOrNull(hidden, doing))) return;
  if (entries && (entries.length === 0 || entries.some(({ name }) => name === MARKER))) {
    return await Deno.remove(hidden, { recursive: true });
  }
  throw new UserError({
    doing,
    file: hidden,
    problem: "it is needed for the work, and holds what no earlier run has made",
    remedy: "move it away",
  });
}

/** Copies a folder with all it holds. */
export async function copyFolder(source: string, target: string, onFile?: () => void): Promise<void> {
  await Deno.mkdir(target, { recursive: true });
  for (const { name, isDirectory } of await readFolder(source, "copying the folder") ?? []) {
    if (isDirectory) await copyFolder(join(source, name), join(target, name), onFile);
    else {
      await copyFile(join(source, name), join(target, name), "copying the folder");
      onFile?.();
    }
  }
}

/** Files of a folder and those in it. */
export async function countFiles(folder: string): Promise<number> {
  let count = 0;
  for (const { name, isDirectory } of await readFolder(folder, "copying the folder") ?? []) {
    count += isDirectory ? await countFiles(join(folder, name)) : 1;
  }
  return count;
}

/** @throws UserError naming the file that can't be read or written */
export async function copyFile(source: string, target: string, doing: string): Promise<void> {
  refuseSpecialFile(source, doing);
  try {
    (await Deno.open(source)).close();
  } catch (error) {
    throw readError(error, source, doing);
  }
  try {
    await Deno.copyFile(source, target);
  } catch (error) {
    throw writeError(error, target, doing);
  }
}
