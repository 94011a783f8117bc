/** Applies a postprocessing that was found to a folder of segmentations. */
import { UserError } from "../base/errors.ts";
import { refuseOverwriting } from "../base/overwriting.ts";
import { join } from "../base/path.ts";
import { isFolder } from "../dataset/dataset_names.ts";
import { filesEndingIn } from "../dataset/raw_dataset.ts";
import { type FilteredFolder, type FilterFolder, filterFolder } from "./filter_folder.ts";

const DOING = "postprocessing a folder";

/**
 * Writes every segmentation of `input` to `output` with the steps applied in their order, with its own geometry. Each case by itself:
 * those that fail are among the results. {@link ./postprocessing_file.ts} reads the steps of a file.
 *
 * @throws UserError if there is nothing to do, the output would overwrite the input, or writing would fail for every case;
 * Interrupted if the signal aborts, once the cases at work are written
 */
export async function applyPostprocessing(
  options: Omit<FilterFolder, "files">,
): Promise<FilteredFolder & { readonly cases: number }> {
  const { input, output, fileEnding } = options;
  if (!(await isFolder(input))) {
    throw new UserError({ doing: DOING, file: input, problem: "there is no such folder", remedy: "check the path" });
  }
  const files = await filesEndingIn(input, fileEnding);
  if (files.length === 0) {
    const problem = `no file in it ends in ${fileEnding}`;
    throw new UserError({ doing: DOING, file: input, problem, remedy: "give the folder of the segmentations" });
  }
  refuseOverwriting(
    files.map((name) => ({ path: join(input, name), what: "the segmentation that it is made of" })),
    files.map((name) => ({ path: join(output, name), what: "the result" })),
    { doing: DOING, remedy: "name another folder with -o" },
  );
  return { ...await filterFolder({ ...options, files }), cases: files.length };
}
