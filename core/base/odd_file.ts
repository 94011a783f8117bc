/** Entries of a folder that have a file's name and are none. */
import { UserError } from "./errors.ts";

/** What a path is that is there and is no file: "a link to what is not there"; undefined for files, and where nothing is. */
export async function oddFile(path: string): Promise<string | undefined> {
  try {
    await Deno.lstat(path);
  } catch {
    return undefined;
  }
  try {
    const { isFile, isDirectory } = await Deno.stat(path);
    if (isFile) return undefined;
    return isDirectory ? "a folder" : "a pipe, socket or device, which can't be read as a file";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "a link to what is not there";
    if (error instanceof Deno.errors.FilesystemLoop) return "a link that leads back to itself";
    return undefined; // Reading it says why.
  }
}

/**
 * Refuses a pipe, socket or device before it is opened: opening one waits for whoever writes to it, which may be nobody. What is not
 * there, or is a folder, opening says.
 * @throws UserError naming it
 */
export function refuseSpecialFile(file: string, doing: string, remedy = "put the file itself there"): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(file);
  } catch {
    return;
  }
  if (info.isFile || info.isDirectory) return;
  throw new UserError({ doing, file, problem: "it is a pipe, socket or device, a file is needed", remedy });
}
