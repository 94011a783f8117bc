/**
 * Reading dataset.json, and the label rules that follow from it.
 * Source: nnunetv2/utilities/label_handling/label_handling.py (LabelManager).
 */
import { plural } from "../base/plural.ts";
import { z } from "zod";
import { checkFields, type FieldContext, fieldError, show } from "../base/fields.ts";
import { keysOf, readJsonFile } from "../base/json.ts";
import { PATH_NAME } from "../base/path_name.ts";
import type { DatasetJson, Labels, Region } from "./dataset_json.ts";

/** Python reads int("1"), too. */
const INTEGERS = "expected an integer or a list of integers";
const LABEL = z.union([z.int(), z.string().regex(/^\s*[+-]?\d+\s*$/, INTEGERS)], INTEGERS);
const CHANNEL = z.union([z.string(), z.number()], "expected a text, the channel's name");
const MOST_LABEL = 65535;
const SCHEMA = z.looseObject({
  channel_names: z.record(z.string(), CHANNEL).optional(),
  modality: z.record(z.string(), CHANNEL).optional(),
  labels: z.record(z.string(), z.union([LABEL, z.array(LABEL).min(1)], INTEGERS)),
  regions_class_order: z.array(z.int()).nullish(),
  file_ending: PATH_NAME,
});
type Fields = z.infer<typeof SCHEMA>;

/**
 * Reads a dataset.json.
 * @throws UserError naming the file and the field that is missing or wrong.
 */
export async function readDatasetJson(path: string): Promise<DatasetJson> {
  const doing = "reading dataset.json";
  const { value } = await readJsonFile(path, doing);
  return parseDatasetJson(value, path, doing);
}

/** As {@link readDatasetJson}, of a value that is parsed already. */
export function parseDatasetJson(json: unknown, file: string, doing = "reading dataset.json"): DatasetJson {
  const context: FieldContext = { doing, file, path: [] };
  const firstLabel = (json as { labels?: Record<string, unknown> } | null)?.labels?.["0"];
  if (typeof firstLabel === "string") {
    throw fieldError(
      context,
      ["labels"],
      "is written {number: name}, as in nnU-Net v1",
      'nnU-Net v2 needs {name: number}, as {"background": 0}; nnUNetv2_convert_old_nnUNet_dataset writes it',
    );
  }
  checkFields(SCHEMA, json, context);
  // The value itself and not zod's copy, which loses the file's order of keys.
  const fields = json as Fields;
  return {
    channelNames: channelNames(fields, context),
    labels: labelsOf(fields, context),
    fileEnding: fields.file_ending,
    json,
  };
}

function channelNames(fields: Fields, context: FieldContext): string[] {
  const { channel_names: names, modality } = fields;
  const inOrder = (record: Record<string, string | number>) => keysOf(record).map((key) => String(record[key]));
  // Upstream counts the channels by `modality` where it is there, but takes their names from `channel_names`.
  if (names && modality && keysOf(names).length !== keysOf(modality).length) {
    const counts = `${plural(keysOf(modality).length, "channel")}, channel_names ${keysOf(names).length}`;
    throw fieldError(context, ["modality"], `names ${counts}`, "remove modality, the older of the two");
  }
  const chosen = names ?? modality;
  if (!chosen) throw fieldError(context, ["channel_names"], 'is missing (expected {"0": name of channel 0, ...})');
  const isNumber = (text: string | number) => /^\s*\d+\s*$/.test(String(text));
  const turned = keysOf(chosen).filter((key) => isNumber(chosen[key]) && !isNumber(key));
  if (turned.length > 0) {
    const right = keysOf(chosen).map((key) => `${JSON.stringify(String(chosen[key]))}: ${JSON.stringify(key)}`);
    throw fieldError(
      context,
      [names ? "channel_names" : "modality"],
      `is written {name: number}, found ${show(chosen)}`,
      `turn it round, {number: name}: {${right.join(", ")}}`,
    );
  }
  if (!keysOf(chosen).length) throw fieldError(context, ["channel_names"], "names no channel");
  return inOrder(chosen);
}

function integersOf(value: number | string | readonly (number | string)[]): number | readonly number[] {
  return typeof value === "object" ? value.map(Number) : Number(value);
}

function labelsOf(fields: Fields, context: FieldContext): Labels {
  const fail = (path: readonly PropertyKey[], problem: string, remedy?: string): never => {
    throw fieldError(context, ["labels", ...path], problem, remedy);
  };
  const entries = keysOf(fields.labels).map((name) => [name, integersOf(fields.labels[name])] as const);
  const listed = (value: number | readonly number[]) => (typeof value === "number" ? [value] : value);

  const background = entries.find(([name]) => name === "background")?.[1];
  if (background === undefined) fail(["background"], "is missing; it has to be there and be 0");
  if (background !== 0) fail(["background"], `has to be 0, found ${show(background)}`);

  const ignore = fields.labels.ignore;
  if (ignore !== undefined && typeof ignore !== "number") {
    const remedy = typeof ignore === "string" ? `write it without quotes: ${Number(ignore)}` : undefined;
    return fail(["ignore"], `has to be one integer, found ${show(ignore)}`, remedy);
  }
  const used = entries.filter(([name]) => name !== "ignore");
  const allLabels = [...new Set(used.flatMap(([, value]) => listed(value)))].sort((a, b) => a - b);
  const largest = allLabels[allLabels.length - 1];
  if (ignore !== undefined && ignore !== largest + 1) {
    fail(["ignore"], `has to be ${largest + 1}, one more than the largest other label, found ${ignore}`);
  }
  if (allLabels[0] < 0) fail([], `a label is negative: ${allLabels[0]}`);
  // What segmentations are read and written as, at most: 16 bits.
  if (largest > MOST_LABEL) fail([], `labels are 0 to ${MOST_LABEL}, found ${largest}`);

  const names = new Map<number, string>();
  for (const [name, value] of used) if (typeof value === "number" && !names.has(value)) names.set(value, name);

  const hasRegions = entries.some(([, value]) => typeof value !== "number" && value.length > 1);
  const foregroundLabels = allLabels.filter((label) => label !== 0);
  const common = { allLabels, foregroundLabels, ...(ignore === undefined ? {} : { ignoreLabel: ignore }), names };
  if (!hasRegions) {
    // A network's output i is written as the integer i.
    const gap = allLabels.findIndex((label, index) => label !== index);
    if (gap >= 0) {
      fail([], `labels have to be consecutive integers: ${gap} is missing, there are ${allLabels.join(", ")}`);
    }
    return { hasRegions, ...common, regions: [], regionsClassOrder: [], headCount: allLabels.length };
  }

  const regions: Region[] = used
    .map(([name, value]) => ({ name, labels: listed(value) }))
    .filter(({ labels }) => labels.some((label) => label !== 0));
  const order = fields.regions_class_order;
  if (!order) {
    throw fieldError(
      context,
      ["regions_class_order"],
      "is missing; it is required as labels has regions (lists of several integers)",
      `give ${regions.length} integers, the label to write for ${regions.map(({ name }) => name).join(", ")}`,
    );
  }
  if (order.length !== regions.length) {
    const found = `${plural(regions.length, "region")} (${
      regions.map(({ name }) => name).join(", ")
    }) need as many integers`;
    throw fieldError(context, ["regions_class_order"], `${found}, found ${order.length}: ${show(order)}`);
  }
  const negative = order.find((label) => label < 0 || label > MOST_LABEL);
  if (negative !== undefined) {
    throw fieldError(context, ["regions_class_order"], `labels are 0 to ${MOST_LABEL}, found ${negative}`);
  }
  return { hasRegions, ...common, regions, regionsClassOrder: order, headCount: regions.length };
}
