/** Names of plans: the file <name>.json in the folder of a preprocessed dataset, beside files of other meaning. */
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { requirePathName } from "../base/path_name.ts";

/** Files that lie beside the plans and are none. */
const OTHERS: readonly string[] = ["dataset", "dataset_fingerprint", "dataset_integrity", "splits_final"];

/** False for names of files in the folder that are not plans. */
export function isPlansName(name: string): boolean {
  return !OTHERS.includes(name.toLowerCase()) && !name.endsWith(".before");
}

/**
 * `name`, if plans can have it.
 * @throws UserError if it is no component of a path, or another file's name
 */
export function requirePlansName(name: string, error: Omit<UserErrorParts, "problem">): string {
  requirePathName(name, "the plans' name", error);
  if (isPlansName(name)) return name;
  const problem = `plans can't be called ${name}: ${name}.json is another file of a preprocessed dataset`;
  throw new UserError({ remedy: "give them another name", ...error, problem });
}
