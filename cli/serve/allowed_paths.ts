/** Paths of images that a client names: those below a folder of --root alone, through whatever links. */
import { UserError } from "../../core/base/errors.ts";
import { filesBelow } from "../../core/formats/dicom/series.ts";
import { isAbsolute, relative } from "../../core/base/path.ts";
import { isGone } from "../../core/base/stat_or_null.ts";
import { quoted } from "./access.ts";
import { HttpProblem } from "./problem.ts";

export interface AllowedPath {
  /** Without links. */
  readonly path: string;
  readonly isFolder: boolean;
}

/** Of a study. */
export const MOST_DICOM_FILES = 20_000;
const DOING = "looking for DICOM";

/**
 * @param roots Real paths
 * @throws HttpProblem 403 unless it is a file or folder below one, 400 for a folder of too many files
 */
export async function allowedPath(path: string, roots: readonly string[]): Promise<AllowedPath> {
  const refused = new HttpProblem(
    403,
    `${quoted(path)} is no file, nor a folder, below a folder that the service may read (--root)`,
  );
  const isOdd = !isAbsolute(path) || path.includes("\0") || path.split(/[/\\]/).includes("..");
  if (isOdd || roots.length === 0) throw refused;
  const found = await lookAt(path);
  // Whether it is there is told of what may be read alone.
  if (!found || !roots.some((root) => isBelow(root, found.path))) throw refused;
  if (found.isFolder && await leadsOut(path, found.path, roots)) throw refused;
  return found;
}

/**
 * Of paths that were allowed: whether they still lead there, when they are about to be read.
 * @throws UserError if one is, or lies behind, a link by now
 */
export async function requireAllowed(paths: readonly string[], roots: readonly string[]): Promise<void> {
  for (const path of paths) {
    // Who reads it says that it is not there.
    const problem = await isGone(path) ? undefined : await whyNotAllowed(path, roots);
    if (problem === undefined) continue;
    throw new UserError({
      doing: "looking for the image",
      file: path,
      problem: `it is not what it was when the job was accepted: ${problem}`,
      remedy: "name files below a folder of --root, and leave them as they are until the job has ended",
    });
  }
}

async function whyNotAllowed(path: string, roots: readonly string[]): Promise<string | undefined> {
  const leadsOut = "it leads out of the folders that the service may read";
  try {
    return (await allowedPath(path, roots)).path === path ? undefined : leadsOut;
  } catch (error) {
    if (!(error instanceof HttpProblem)) throw error;
    return error.status === 400 ? `it holds more than ${MOST_DICOM_FILES} files by now` : leadsOut;
  }
}

async function lookAt(path: string): Promise<AllowedPath | undefined> {
  try {
    const real = await Deno.realPath(path);
    const { isFile, isDirectory } = await Deno.stat(real);
    return isFile || isDirectory ? { path: real, isFolder: isDirectory } : undefined;
  } catch {
    return undefined;
  }
}

/** True where a path is in a folder, at any depth; both absolute. */
export function isBelow(root: string, path: string): boolean {
  const below = relative(root, path);
  return below !== "" && !below.startsWith("..") && !isAbsolute(below);
}

/** True where something in the folder lies elsewhere. */
async function leadsOut(shown: string, folder: string, roots: readonly string[]): Promise<boolean> {
  let count = 0;
  for await (const file of filesBelow(folder, DOING)) {
    if (++count > MOST_DICOM_FILES) {
      throw new HttpProblem(400, `there are more than ${MOST_DICOM_FILES} files in ${quoted(shown)}`);
    }
    const real = await Deno.realPath(file).catch(() => undefined);
    if (real === undefined || !roots.some((root) => isBelow(root, real))) return true;
  }
  return false;
}
