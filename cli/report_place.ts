/** Where a report may go: nowhere on a file that the run, or another, reads. */
import { UserError } from "../core/base/errors.ts";
import { refuseOverwriting } from "../core/base/overwriting.ts";
import { basename, join } from "../core/base/path.ts";

/** Texts that are inputs, or that a run writes beside its results; other .json files may be earlier reports. */
const OTHER_TEXTS =
  /^(dataset|plans|predict_from_raw_data_args|dataset_fingerprint|dataset_integrity|splits_final|.*Plans.*)\.json$/;

/** What is written, and by which flag. */
export interface WrittenText {
  readonly what: string;
  readonly flag: string;
}

/**
 * Refuses a report, or another text, in place of an input, before it is first written.
 * @param inputs Files and folders; of folders what lies in them and in the folders right below
 * @throws UserError
 */
export async function refuseReport(
  report: string,
  inputs: readonly (string | undefined)[],
  { what, flag }: WrittenText = { what: "report", flag: "--report" },
): Promise<void> {
  const error = { doing: `choosing the ${what}'s file`, remedy: `name another file with ${flag}` };
  if (OTHER_TEXTS.test(basename(report))) {
    throw new UserError({ ...error, file: report, problem: "files of this name hold something else in nnU-Net" });
  }
  if (isFolder(report)) throw new UserError({ ...error, file: report, problem: "a folder has that name" });
  const files: string[] = [];
  for (const input of inputs) if (input !== undefined) files.push(...await filesOf(input, 1));
  refuseOverwriting(
    files.map((path) => ({ path, what: "an input" })),
    [{ path: report, what: `the ${what}` }],
    error,
  );
}

async function filesOf(path: string, depth: number): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(path)) {
      const inner = join(path, name);
      if (isDirectory) found.push(...(depth > 0 ? await filesOf(inner, depth - 1) : []));
      else if (!name.endsWith(".json") || OTHER_TEXTS.test(name)) found.push(inner);
    }
  } catch (error) {
    // What can't be read is said by those who read it.
    if (error instanceof Deno.errors.NotADirectory) return [path];
  }
  return found;
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
