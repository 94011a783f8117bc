/**
 * Reading plans.json of nnU-Net 2.0 to 2.8: fields checked, inheritance resolved, old keys translated. What is not implemented is
 * refused by the name of its field. Source: nnunetv2/utilities/plans_handling/plans_handler.py.
 */
import { z } from "zod";
import { checkFields, type FieldContext, fieldError, show } from "../base/fields.ts";
import { keysOf, readJsonFile } from "../base/json.ts";
import { nearestName } from "../base/nearest.ts";
import { PATH_NAME, pathNameProblem } from "../base/path_name.ts";
import { permute, type Vec3 } from "../base/shape.ts";
import { READER_NAMES } from "../formats/image/readers.ts";
import type { Configuration, IntensityProperties, NormalizationScheme, Plans } from "./plans.ts";
import { BATCH_SIZE, PATCH_SIZE, SPACING } from "./ranges.ts";
import { readArchitecture } from "./read_architecture.ts";
import { readResampling } from "./read_resampling.ts";

const DOING = "reading the plans";
const AXES = z.array(z.int().min(0).max(2)).length(3, "expected the axes 0, 1 and 2 in some order");
const FINITE_OR_NAN = z.union([z.number(), z.nan(), z.literal(Infinity), z.literal(-Infinity)], "expected a number");
const INTENSITIES = z.object({
  max: FINITE_OR_NAN,
  mean: FINITE_OR_NAN,
  median: FINITE_OR_NAN,
  min: FINITE_OR_NAN,
  percentile_00_5: FINITE_OR_NAN,
  percentile_99_5: FINITE_OR_NAN,
  std: FINITE_OR_NAN,
});
/** Becomes part of a path; left empty by some who publish models. */
const NAME_OR_NOTHING = z.union([z.literal(""), PATH_NAME], "expected a text, the name of a file or folder");
const PLANS = z.looseObject({
  dataset_name: NAME_OR_NOTHING.default(""),
  plans_name: NAME_OR_NOTHING.default("nnUNetPlans"),
  image_reader_writer: z.string(),
  transpose_forward: AXES,
  transpose_backward: AXES,
  label_manager: z.string().optional(),
  foreground_intensity_properties_per_channel: z.record(z.string(), INTENSITIES).optional(),
  foreground_intensity_properties_by_modality: z.record(z.string(), INTENSITIES).optional(),
  configurations: z.record(z.string(), z.record(z.string(), z.unknown())),
});

const NORMALIZATIONS: readonly NormalizationScheme[] = [
  "CTNormalization",
  "NoNormalization",
  "ZScoreNormalization",
  "RescaleTo01Normalization",
  "RGBTo01Normalization",
];
const CONFIGURATION = z.looseObject({
  data_identifier: NAME_OR_NOTHING.default(""),
  preprocessor_name: z.string().default("DefaultPreprocessor"),
  batch_size: BATCH_SIZE.default(2),
  patch_size: z.array(PATCH_SIZE).min(2, "expected 2 or 3 numbers").max(3, "expected 2 or 3 numbers"),
  spacing: z.array(SPACING),
  normalization_schemes: z.array(z.string()).min(1),
  use_mask_for_norm: z.array(z.boolean()),
  batch_dice: z.boolean().default(false),
  previous_stage: PATH_NAME.nullish(),
  next_stage: z.union([PATH_NAME, z.array(PATH_NAME)], "expected a name or a list of names").nullish(),
});

/**
 * Reads a plans file; configurations are checked when they are asked for ({@link resolveConfiguration}).
 * @throws UserError naming the file and the field that is missing, wrong or not implemented.
 */
export async function readPlans(path: string): Promise<Plans> {
  const { value } = await readJsonFile(path, DOING);
  return parsePlans(value, path);
}

/** As {@link readPlans}, of a value that is parsed already. */
export function parsePlans(json: unknown, file: string): Plans {
  const context: FieldContext = { doing: DOING, file, path: [] };
  const fields = checkFields(PLANS, json, context);

  const reader = READER_NAMES.find((name) => name === fields.image_reader_writer);
  if (!reader) throw notImplemented(context, "image_reader_writer", fields.image_reader_writer, READER_NAMES);
  if (fields.label_manager !== undefined && fields.label_manager !== "LabelManager") {
    throw notImplemented(context, "label_manager", fields.label_manager, ["LabelManager"]);
  }
  // Of the value itself and not of zod's copy, which loses the file's order of keys.
  const configurationNames = keysOf((json as { configurations: object }).configurations);
  if (!configurationNames.length) throw fieldError(context, ["configurations"], "there is none");
  for (const name of configurationNames) {
    const problem = pathNameProblem(name);
    if (problem !== undefined) throw fieldError(context, ["configurations"], `${problem}, found ${show(name)}`);
  }
  const [transposeForward, transposeBackward] = transposes(fields, context);
  const intensities = fields.foreground_intensity_properties_per_channel ??
    fields.foreground_intensity_properties_by_modality ?? {};
  return {
    file,
    datasetName: fields.dataset_name,
    plansName: fields.plans_name,
    reader,
    transposeForward,
    transposeBackward,
    intensityProperties: channelOrder(intensities, context),
    configurationNames,
    json,
  };
}

/**
 * A configuration by any name, with what it inherits.
 * @throws UserError listing the configurations there are, or naming the field that is missing, wrong or not implemented.
 */
export function resolveConfiguration(plans: Plans, name: string): Configuration {
  const context: FieldContext = { doing: DOING, file: plans.file ?? "plans.json", path: ["configurations", name] };
  const all = (plans.json as { configurations: Record<string, Record<string, unknown>> }).configurations;
  const raw = inherit(all, name, [], context);
  const fields = checkFields(CONFIGURATION, raw, context);

  if (fields.preprocessor_name !== "DefaultPreprocessor") {
    throw notImplemented(context, "preprocessor_name", fields.preprocessor_name, ["DefaultPreprocessor"]);
  }
  const dimensions = fields.patch_size.length === 2 ? 2 : 3;
  if (fields.spacing.length !== dimensions) {
    throw fieldError(context, ["spacing"], `needs ${dimensions} numbers as patch_size, found ${show(fields.spacing)}`);
  }
  const channels = fields.normalization_schemes.length;
  if (fields.use_mask_for_norm.length !== channels) {
    const found = fields.use_mask_for_norm.length;
    throw fieldError(
      context,
      ["use_mask_for_norm"],
      `needs ${channels} ${channels === 1 ? "entry" : "entries"} as normalization_schemes, found ${found}`,
    );
  }
  const [z, y, x] = dimensions === 2 ? [1, ...fields.patch_size] : fields.patch_size;
  const previousStage = fields.previous_stage ?? undefined;
  if (previousStage === name) throw fieldError(context, ["previous_stage"], "a configuration can't come before itself");
  if (previousStage !== undefined && !Object.hasOwn(all, previousStage)) {
    throw fieldError(context, ["previous_stage"], `there is no configuration ${previousStage} (${listNames(all)})`);
  }
  return {
    name,
    dimensions,
    patchSize: [z, y, x],
    spacing: fields.spacing,
    batchSize: fields.batch_size,
    normalizationSchemes: fields.normalization_schemes.map((scheme, channel) => {
      return normalization(scheme, channel, plans, context);
    }),
    useMaskForNorm: fields.use_mask_for_norm,
    resamplingData: readResampling(raw, "data", context),
    resamplingSeg: readResampling(raw, "seg", context),
    resamplingProbabilities: readResampling(raw, "probabilities", context),
    architecture: readArchitecture(raw, dimensions, context),
    batchDice: fields.batch_dice,
    dataIdentifier: fields.data_identifier || `${plans.plansName}_${name}`,
    ...(previousStage === undefined ? {} : { previousStage }),
    nextStages: typeof fields.next_stage === "string" ? [fields.next_stage] : fields.next_stage ?? [],
  };
}

/** The error about a value that upstream may know and this program does not. */
export function notImplemented(
  context: FieldContext,
  field: string,
  value: string,
  implemented: readonly string[],
): Error {
  const nearest = nearestName(value, implemented);
  const known = implemented.length === 1 ? `${implemented[0]} is` : `these are: ${implemented.join(", ")}`;
  return fieldError(
    context,
    [field],
    `${value} is not implemented; ${known}`,
    nearest && `if it is a typo, did you mean ${nearest}?`,
  );
}

function inherit(
  all: Readonly<Record<string, Record<string, unknown>>>,
  name: string,
  visited: readonly string[],
  context: FieldContext,
): Record<string, unknown> {
  if (!Object.hasOwn(all, name)) {
    const nearest = nearestName(name, Object.keys(all));
    const remedy = nearest ? `did you mean ${nearest}?` : "choose one of those";
    const field = visited.length ? ["configurations", visited[visited.length - 1], "inherits_from"] : [];
    throw fieldError(
      { ...context, path: [] },
      field,
      `there is no configuration ${name}; there are: ${listNames(all)}`,
      remedy,
    );
  }
  if (visited.includes(name)) {
    const circle = [...visited, name].join(" -> ");
    throw fieldError(context, ["inherits_from"], `the configurations inherit in a circle: ${circle}`);
  }
  const own = all[name];
  const parent = own.inherits_from;
  if (parent === undefined || parent === null) return own;
  if (typeof parent !== "string") {
    throw fieldError(context, ["inherits_from"], `expected a name, found ${show(parent)}`);
  }
  return { ...inherit(all, parent, [...visited, name], context), ...own };
}

function listNames(all: object): string {
  return keysOf(all).join(", ");
}

function transposes(fields: z.infer<typeof PLANS>, context: FieldContext): [Vec3, Vec3] {
  const axes = (field: "transpose_forward" | "transpose_backward"): Vec3 => {
    const [a, b, c] = fields[field];
    if (new Set([a, b, c]).size !== 3) {
      throw fieldError(context, [field], `expected the axes 0, 1 and 2 in some order, found ${show(fields[field])}`);
    }
    return [a, b, c];
  };
  const forward = axes("transpose_forward");
  const backward = axes("transpose_backward");
  if (permute(forward, backward).some((axis, index) => axis !== index)) {
    throw fieldError(
      context,
      ["transpose_backward"],
      `${show(backward)} does not undo transpose_forward ${show(forward)}`,
    );
  }
  return [forward, backward];
}

function channelOrder(
  intensities: Readonly<Record<string, IntensityProperties>>,
  context: FieldContext,
): readonly IntensityProperties[] {
  const count = Object.keys(intensities).length;
  return Array.from({ length: count }, (_, channel) => {
    const properties = intensities[String(channel)];
    if (properties) return properties;
    throw fieldError(context, ["foreground_intensity_properties_per_channel", String(channel)], "is missing");
  });
}

function normalization(scheme: string, channel: number, plans: Plans, context: FieldContext): NormalizationScheme {
  const known = NORMALIZATIONS.find((name) => name === scheme);
  if (!known) throw notImplemented(context, `normalization_schemes[${channel}]`, scheme, NORMALIZATIONS);
  if (known !== "CTNormalization") return known;
  const properties = plans.intensityProperties[channel];
  const path = ["foreground_intensity_properties_per_channel", String(channel)];
  const top: FieldContext = { ...context, path: [] };
  if (!properties) throw fieldError(top, path, "is missing; CTNormalization needs it");
  for (const field of ["mean", "std", "percentile_00_5", "percentile_99_5"] as const) {
    if (Number.isFinite(properties[field])) continue;
    throw fieldError(top, [...path, field], `CTNormalization needs a number, found ${properties[field]}`);
  }
  const { percentile_00_5: low, percentile_99_5: high } = properties;
  if (low > high) {
    throw fieldError(
      top,
      [...path, "percentile_99_5"],
      `is ${high}, below percentile_00_5, ${low}: no voxel would lie between`,
    );
  }
  return known;
}
