/** Whether `-o` names a file or a folder. */
import { UserError } from "../core/base/errors.ts";
import { basename, dirname, join } from "../core/base/path.ts";
import { isFolder } from "../core/dataset/dataset_names.ts";
import { imageEnding } from "../core/formats/image/readers.ts";

/**
 * The file `-o` names, or null if it is a folder.
 * @param writer For errors: who asks for the ending
 * @throws UserError if it is a file of another kind
 */
export async function outputFile(
  output: string,
  ending: string,
  writer = "this model reads and writes",
): Promise<string | null> {
  if (await isFolder(output)) return null;
  if (basename(output).endsWith(ending) && basename(output) !== ending) return output;
  const other = imageEnding(output);
  if (other === undefined) return null;
  throw new UserError({
    doing: "choosing the output files",
    file: output,
    problem: `-o ends with ${other}; ${writer} ${ending}`,
    remedy: `name a folder, or a file that ends with ${ending}, like ${
      join(dirname(output), basename(output).slice(0, -other.length))
    }${ending}`,
  });
}
