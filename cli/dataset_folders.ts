/** The folders that dataset commands work in, from the environment; what is not set is said with what to do. */
import { UserError, type UserErrorParts } from "../core/base/errors.ts";
import { join } from "../core/base/path.ts";
import { resolveDatasetName } from "../core/dataset/dataset_names.ts";
import type { Environment } from "../core/dataset/environment.ts";

/** Where a dataset is, and where what is made of it goes. */
export interface DatasetFolders {
  readonly name: string;
  readonly raw: string;
  readonly preprocessed: string;
}

type Folder = keyof Environment["folders"];

/** The folders that the named variables hold. @throws UserError naming each that is not set */
export function requireFolders<F extends Folder>(
  { folders }: Environment,
  needed: readonly F[],
  error: Pick<UserErrorParts, "doing" | "remedy">,
): Readonly<Record<F, string>> {
  const unset = needed.filter((name) => folders[name] === undefined).map((name) => `nnUNet_${name}`);
  if (unset.length === 0) return folders as Readonly<Record<F, string>>;
  const [variables, are] = unset.length === 1 ? ["variable", "is"] : ["variables", "are"];
  throw new UserError({ ...error, problem: `the environment ${variables} ${unset.join(" and ")} ${are} not set` });
}

/** nnUNet_raw and nnUNet_preprocessed. @throws UserError naming each that is not set */
export function requireRoots(environment: Environment): { readonly raw: string; readonly preprocessed: string } {
  return requireFolders(environment, ["raw", "preprocessed"], {
    doing: "looking for the datasets",
    remedy:
      "set nnUNet_raw to the folder that holds DatasetXXX_Name, and nnUNet_preprocessed to a folder for what is made " +
      "of them (export nnUNet_raw=/path/to/raw)",
  });
}

/** The folders of a dataset given by id or name. */
export async function foldersOf(nameOrId: string, environment: Environment): Promise<DatasetFolders> {
  const { raw, preprocessed } = requireRoots(environment);
  const name = await resolveDatasetName(nameOrId, environment.folders);
  return { name, raw: join(raw, name), preprocessed: join(preprocessed, name) };
}
