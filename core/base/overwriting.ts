/**
 * Outputs that are inputs, by whatever path: the same folder through a link, a file through its folder's other name, a hard link.
 * Asked once by every command that writes, before it writes.
 */
import { UserError, type UserErrorParts } from "./errors.ts";
import { basename, dirname, join, resolve } from "./path.ts";

/** A file or folder, and what it is to the user: "the output folder", "an input image". */
export interface Place {
  readonly path: string;
  readonly what: string;
}

/**
 * @param error What is being done, and what to do instead
 * @throws UserError if an output is an input, naming both
 */
export function refuseOverwriting(
  inputs: Iterable<Place>,
  outputs: Iterable<Place>,
  error: Pick<UserErrorParts, "doing" | "remedy">,
): void {
  const parents = new Map<string, string>();
  const known = new Map<string, Place>();
  for (const place of inputs) for (const key of identities(place.path, parents)) known.set(key, place);
  for (const output of outputs) {
    const key = identities(output.path, parents).find((one) => known.has(one));
    const input = key === undefined ? undefined : known.get(key);
    if (!input) continue;
    const other = resolve(input.path) === resolve(output.path) ? "" : ` (${input.path})`;
    const verb = isDirectory(output.path) ? "is" : "would overwrite";
    throw new UserError({ ...error, file: output.path, problem: `${output.what} ${verb} ${input.what}${other}` });
  }
}

/** Refuses to copy a folder into itself. @throws UserError if `target`, which need not be there, would lie in `source` */
export function refuseInside(
  source: string,
  target: string,
  error: Pick<UserErrorParts, "doing" | "remedy">,
): void {
  const [outer, inner] = [realPath(source), realPath(target)];
  for (let at = inner; at !== dirname(at); at = dirname(at)) {
    if (at !== outer) continue;
    throw new UserError({ ...error, file: target, problem: `it would lie in ${source}, which is copied` });
  }
}

/** What a path is the same by: where its entry is, where it leads to, and what the disk knows it as. */
function identities(path: string, parents: Map<string, string>): string[] {
  const folder = dirname(resolve(path));
  const real = parents.get(folder) ?? realPath(folder);
  parents.set(folder, real);
  const found = [join(real, basename(path))];
  try {
    found.push(Deno.realPathSync(path));
    const { dev, ino } = Deno.statSync(path);
    if (ino) found.push(`${dev}:${ino}`);
  } catch {
    // Not there yet, or a link to nothing: then it is no input.
  }
  return found;
}

/** The real path of what there is of it, and the rest as it is. */
function realPath(path: string): string {
  const rest: string[] = [];
  for (let at = resolve(path);; at = dirname(at)) {
    try {
      return join(Deno.realPathSync(at), ...rest);
    } catch {
      if (at === dirname(at)) return resolve(path);
      rest.unshift(basename(at));
    }
  }
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
