/**
 * What a folder of preprocessed data was made of beside the cases' files: plans, classes, format. It is the first line of the folder's
 * record. Preprocessing makes data anew where it differs, and training refuses them.
 */
import { readError } from "../base/read_error.ts";
import { z } from "zod";
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import type { DatasetJson } from "../dataset/dataset_json.ts";
import type { ClassKey } from "../formats/preprocessed/training_data.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import { classKeys } from "./class_locations.ts";
import { RECORD, recordsInside } from "./data_folder_files.ts";

/** Raised when the same settings give other data than before. */
const DATA_VERSION = 1;

/** What data of a configuration depend on, as text. */
export function settingText(
  plans: Plans,
  configuration: Configuration,
  keys: readonly ClassKey[],
  { format, nan }: { readonly format: string; readonly nan: string },
): string {
  return JSON.stringify({ version: DATA_VERSION, format, nan, keys, depends: dependencies(plans, configuration) });
}

/** What of the plans data of a configuration depend on, as text. */
export function dependencies(plans: Plans, configuration: Configuration): string {
  const { dimensions, spacing, normalizationSchemes, useMaskForNorm, resamplingData, resamplingSeg } = configuration;
  const intensities = normalizationSchemes.map((scheme, c) =>
    scheme === "CTNormalization" ? plans.intensityProperties[c] : null
  );
  const { reader, transposeForward } = plans;
  const parts = { reader, transposeForward, dimensions, spacing, normalizationSchemes, useMaskForNorm, intensities };
  return JSON.stringify({ ...parts, resamplingData, resamplingSeg });
}

const RECORDED = z.object({
  keys: z.array(z.object({ kind: z.string(), labels: z.array(z.number()) })),
  depends: z.string(),
});
/** A {@link ClassKey}, as it is recorded or as a case has it. */
type RecordedKey = { readonly kind: string; readonly labels: readonly number[] };

/**
 * Compares the record of a folder of preprocessed data with plans and dataset.json as they are now. Nothing is known of a folder without
 * a record, as Python leaves it.
 * @returns what differs, in words
 */
export async function dataDifferences(
  folder: string,
  plans: Plans,
  configuration: Configuration,
  { labels, json }: DatasetJson,
): Promise<string[]> {
  const recorded = await readSetting(folder);
  if (!recorded) return [];
  return [
    ...keyDifferences(recorded.keys, classKeys(labels, json)),
    ...dependencyDifferences(recorded.depends, dependencies(plans, configuration)),
  ];
}

/**
 * Refuses preprocessed data of which {@link dataDifferences} finds some.
 * @param remedy The command that makes the data anew
 * @throws UserError naming what differs
 */
export async function requireMadeFrom(
  folder: string,
  plans: Plans,
  configuration: Configuration,
  dataset: DatasetJson,
  { doing, remedy }: { readonly doing: string; readonly remedy: string },
): Promise<void> {
  const differences = await dataDifferences(folder, plans, configuration, dataset);
  if (differences.length === 0) return;
  throw new UserError({
    doing,
    file: folder,
    problem: `its data were made of other settings than those of now: ${differences.join("; ")}`,
    remedy: `${remedy}, or restore what was changed`,
  });
}

/** Undefined where there is no record, or one that says nothing: preprocessing makes such data anew. */
async function readSetting(folder: string): Promise<z.infer<typeof RECORDED> | undefined> {
  const [inside = RECORD] = recordsInside(folder);
  try {
    const [first] = (await Deno.readTextFile(join(folder, inside))).split("\n", 1);
    const { setting } = JSON.parse(first) as { readonly setting?: unknown };
    return typeof setting === "string" ? RECORDED.safeParse(JSON.parse(setting)).data : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError || error instanceof TypeError) return;
    throw readError(error, join(folder, inside), "reading what the data were made from");
  }
}

/** What dataset.json says of classes now and did not when data with these keys were made, in words. Their order is of no matter. */
export function keyDifferences(made: readonly RecordedKey[], now: readonly RecordedKey[]): string[] {
  const hasRegions = (keys: readonly RecordedKey[]) => keys.some(({ kind }) => kind === "region" || kind === "integer");
  if (hasRegions(made) !== hasRegions(now)) {
    const [then, since] = hasRegions(made) ? ["regions", "labels"] : ["labels", "regions"];
    return [`dataset.json had ${then} and has ${since} now`];
  }
  const ignoring = (keys: readonly RecordedKey[]) => keys.some(({ kind }) => kind === "allLabels");
  const differences: string[] = [];
  if (ignoring(made) !== ignoring(now)) {
    differences.push(`dataset.json ${ignoring(now) ? "has an ignore label now" : "had an ignore label"}`);
  }
  const namesOf = (keys: readonly RecordedKey[]) => keys.filter(({ kind }) => kind !== "allLabels").map(nameOf);
  const [then, since] = [namesOf(made), namesOf(now)];
  const added = since.filter((name) => !then.includes(name));
  const gone = then.filter((name) => !since.includes(name));
  if (added.length > 0) differences.push(`dataset.json has the ${added.join(", ")} now`);
  if (gone.length > 0) differences.push(`dataset.json had the ${gone.join(", ")}`);
  return differences;
}

function nameOf({ kind, labels }: RecordedKey): string {
  return kind === "region" ? `region [${labels.join(", ")}]` : `label ${labels[0]}`;
}

/** Names of the plans' fields that differ. */
export function dependencyDifferences(made: string, now: string): string[] {
  if (made === now) return [];
  const [then, since] = [made, now].map((text): Readonly<Record<string, unknown>> => {
    try {
      return JSON.parse(text);
    } catch {
      return {};
    }
  });
  const names = [...new Set([...Object.keys(then), ...Object.keys(since)])]
    .filter((name) => JSON.stringify(then[name]) !== JSON.stringify(since[name]));
  return names.map((name) => {
    const field = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return `the plans' ${field} was ${shown(then[name])} and is ${shown(since[name])}`;
  });
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "not there";
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
