/** What `doctor` says of models that were installed from zips: whether their files are still what was installed. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { plural } from "../../core/base/plural.ts";
import { foldersIn } from "../../core/dataset/dataset_names.ts";
import { parseModelId } from "../../core/dataset/model_id.ts";
import { findDifferences, readChecksums } from "../../core/share/checksums.ts";
import type { CommandContext } from "./command.ts";

export interface CheckedModels {
  readonly lines: readonly string[];
  readonly areSame: boolean;
}

/**
 * Compares all installed models; null where there are none.
 * @param whole True: every byte is read, weights too; false: sizes, and the bytes of small files
 */
export async function checkInstalledModels(
  { environment, count, signal }: Pick<CommandContext, "environment" | "count" | "signal">,
  whole: boolean,
): Promise<CheckedModels | null> {
  const { results } = environment.folders;
  if (results === undefined) return null;
  const lines: string[] = [];
  let areSame = true;
  const models = await modelFolders(results);
  const tell = count("models checked", "bar");
  for (const [index, model] of models.entries()) {
    tell(index, models.length);
    try {
      const checksums = await readChecksums(join(results, model));
      if (!checksums) continue;
      const differences = await findDifferences(join(results, model), checksums, whole ? { whole, signal } : { whole });
      const files = plural(checksums.size, "file");
      if (differences.length === 0) {
        lines.push(`${model}: as installed (${files}${whole ? ", all bytes" : ""})`);
        continue;
      }
      const changed = differences.map(({ file, what }) => `${file} is ${what}`).join(", ");
      lines.push(`${model}: not as installed: ${changed}; if nobody changed it, install the zip again with --force`);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      lines.push(`${model}: ${error.message}`);
    }
    areSame = false;
  }
  if (lines.length === 0) return null;
  if (!whole) lines.push("Sizes were compared, and the bytes of small files; --checksums reads all.");
  return { lines, areSame };
}

async function modelFolders(results: string): Promise<string[]> {
  const models: string[] = [];
  for (const dataset of (await foldersIn(results)).filter((name) => name.startsWith("Dataset"))) {
    for (const name of await foldersIn(join(results, dataset))) {
      if (parseModelId(name)) models.push(`${dataset}/${name}`);
    }
  }
  return models;
}
