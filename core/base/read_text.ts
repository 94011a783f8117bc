/** Text files that may be missing. */
import { UserError } from "./errors.ts";
import { refuseSpecialFile } from "./odd_file.ts";
import { readError } from "./read_error.ts";

/** A file's text (UTF-8); null if it is not there. @throws UserError if it is there and can't be read as text */
export async function readTextOrNull(file: string, doing: string): Promise<string | null> {
  refuseSpecialFile(file, doing);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(file));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    if (error instanceof TypeError) {
      throw new UserError({ doing, file, problem: "it is not UTF-8 text", remedy: "save it as UTF-8" });
    }
    throw readError(error, file, doing);
  }
}
