/** The folders that dataset commands work in, from the environment; what is not set is said with what to do. */
import { UserError } from "../core/base/errors.ts";
import { join } from "../core/base/path.ts";
import { resolveDatasetName } from "../core/dataset/dataset_names.ts";
import { type Environment, readEnvironment } from "../core/dataset/environment.ts";

/** Where a dataset is, and where what is made of it goes. */
export interface DatasetFolders {
  readonly name: string;
  readonly raw: string;
  readonly preprocessed: string;
}

export function environmentOfProcess(): Environment {
  return readEnvironment((name) => Deno.env.get(name));
}

/** nnUNet_raw and nnUNet_preprocessed. @throws UserError naming each that is not set */
export function requireRoots(environment: Environment): { readonly raw: string; readonly preprocessed: string } {
  const { raw, preprocessed } = environment.folders;
  if (raw !== undefined && preprocessed !== undefined) return { raw, preprocessed };
  const unset = [raw === undefined && "nnUNet_raw", preprocessed === undefined && "nnUNet_preprocessed"].filter(
    Boolean,
  );
  throw new UserError({
    doing: "looking for the datasets",
    problem: `the environment variable${unset.length === 1 ? "" : "s"} ${unset.join(" and ")} ${
      unset.length === 1 ? "is" : "are"
    } not set`,
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
