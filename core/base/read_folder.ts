/** What is in a folder. */
import { readError } from "./read_error.ts";

/**
 * The entries of a folder, in no order; null if it is not there, or no folder.
 * @throws UserError if it may not be read, or its links lead in a circle
 */
export async function readFolder(path: string, doing: string): Promise<Deno.DirEntry[] | null> {
  try {
    return await Array.fromAsync(Deno.readDir(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw readError(error, path, doing);
  }
}
