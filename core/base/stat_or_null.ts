/** Whether something is there. */
import { readError } from "./read_error.ts";

/**
 * What is known of a file or folder, links followed; null if nothing is there.
 * @throws UserError if that can't be found out: links in a circle, a folder above that may not be searched
 */
export async function statOrNull(path: string, doing: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw readError(error, path, doing);
  }
}

/** True where nothing has that name, not even a link that leads nowhere; false also where that can't be found out. */
export async function isGone(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => false, (error) => error instanceof Deno.errors.NotFound);
}
