/**
 * Making a raw dataset folder whole or not at all: it is filled under a hidden name beside and then renamed, so that a converter that
 * is stopped leaves nothing that looks like a dataset.
 */
import { readFolder } from "../base/read_folder.ts";
import { UserError } from "../base/errors.ts";
import { ensureFolder, writeError } from "../base/files.ts";
import { basename, dirname, join } from "../base/path.ts";

/**
 * Makes the folder `target` with what `fill` puts into the folder it is given.
 * @throws UserError if `target` is there already, or writing fails
 */
export async function makeFolderWhole(
  target: string,
  doing: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  if (await exists(target)) {
    throw new UserError({
      doing,
      file: target,
      problem: "it is there already, and nothing is overwritten",
      remedy: "choose another name or id, or remove it first",
    });
  }
  await ensureFolder(dirname(target), doing);
  const hidden = join(dirname(target), `.${basename(target)}.${Deno.pid}-${crypto.randomUUID().slice(0, 8)}.tmp`);
  try {
    await ensureFolder(hidden, doing);
    await fill(hidden);
    await Deno.rename(hidden, target);
  } catch (error) {
    await Deno.remove(hidden, { recursive: true }).catch(() => {});
    throw writeError(error, target, doing);
  }
}

/** Copies a folder with all it holds. */
export async function copyFolder(source: string, target: string): Promise<void> {
  await Deno.mkdir(target, { recursive: true });
  for (const { name, isDirectory } of await readFolder(source, "copying the folder") ?? []) {
    if (isDirectory) await copyFolder(join(source, name), join(target, name));
    else await Deno.copyFile(join(source, name), join(target, name));
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
