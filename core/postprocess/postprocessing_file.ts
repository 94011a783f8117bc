/**
 * postprocessing.pkl and postprocessing.json. The pickle holds references to Python functions with their arguments; here these are
 * names, of which one is known, and nothing is run. Source: determine_postprocessing in
 * nnunetv2/postprocessing/remove_connected_components.py.
 */
import { UserError } from "../base/errors.ts";
import { show } from "../base/fields.ts";
import { keysOf, parseJson, readJsonFile, stringifyJson } from "../base/json.ts";
import { refuseSpecialFile } from "../base/odd_file.ts";
import { readError } from "../base/read_error.ts";
import { unpickle } from "../formats/torch/pickle.ts";
import { dict, int, pickle, type PickleValue, tuple } from "../formats/torch/pickle_writer.ts";
import { BACKGROUND, FUNCTION, FUNCTION_MODULE, type PostprocessingStep } from "./steps.ts";

const DOING = "reading the postprocessing";
/** Larger files are no postprocessing. */
const MAX_BYTES = 2 ** 22;
/** What a segmentation can hold. */
const MOST_LABEL = 65535;
/** What removed voxels may become: it fits into every segmentation. */
const MOST_BACKGROUND = 255;
/** More steps than labels there can be are none of nnU-Net's. */
const MOST_STEPS = 4096;

/** The bytes of postprocessing.pkl: (functions, arguments); the functions by the names that Python looks them up by. */
export function pickleSteps(steps: readonly PostprocessingStep[]): Uint8Array<ArrayBuffer> {
  return pickle(
    tuple([
      steps.map((): PickleValue => ({ python: "global", module: FUNCTION_MODULE, name: FUNCTION })),
      steps.map((step) => dict({ labels_or_regions: labelsOrRegions(step) })),
    ]),
    2,
  );
}

function labelsOrRegions({ labels, written }: PostprocessingStep): PickleValue {
  if (written === "label") return int(labels[0]);
  return written === "region" ? tuple(labels.map(int)) : labels.map(int);
}

/**
 * The text of postprocessing.json.
 * @param before, after summary.json before and after the steps
 */
export function stepsJson(steps: readonly PostprocessingStep[], before: SummaryMeans, after: SummaryMeans): string {
  return stringifyJson({
    input_folder: before,
    postprocessed: after,
    postprocessing_fns: steps.map(() => FUNCTION),
    postprocessing_kwargs: steps.map(({ labels, written }) => ({
      labels_or_regions: written === "label" ? labels[0] : labels,
    })),
  }, { sortKeys: true });
}

/** The two members of a summary.json that are not of single cases, as they stand there. */
export interface SummaryMeans {
  readonly foreground_mean: unknown;
  readonly mean: unknown;
}

/**
 * Reads the steps of a postprocessing.pkl or .json, of any nnU-Net 2.
 * @throws UserError naming the file: damaged, or it names a function other than nnU-Net's one or arguments that are no labels
 */
export async function readSteps(file: string): Promise<PostprocessingStep[]> {
  if (file.toLowerCase().endsWith(".json")) {
    const { value } = await readJsonFile(file, DOING);
    const fields = value as { postprocessing_fns?: unknown; postprocessing_kwargs?: unknown } | null;
    return stepsOf([fields?.postprocessing_fns, fields?.postprocessing_kwargs], file);
  }
  let bytes: Uint8Array;
  try {
    refuseSpecialFile(file, DOING);
    const { size } = await Deno.stat(file);
    if (size > MAX_BYTES) {
      const problem = `it has ${size.toLocaleString("en-US")} bytes; a postprocessing has a few hundred`;
      throw new UserError({ doing: DOING, file, problem, remedy: "check that it is the right file" });
    }
    bytes = await Deno.readFile(file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw readError(error, file, DOING);
  }
  return parseSteps(bytes, file);
}

/** As {@link readSteps}, of the bytes of a .pkl. */
export function parseSteps(bytes: Uint8Array, file: string): PostprocessingStep[] {
  const { value } = unpickle(bytes, { file, doing: DOING, references: [`${FUNCTION_MODULE}.${FUNCTION}`] });
  return stepsOf(value, file);
}

function stepsOf(value: unknown, file: string): PostprocessingStep[] {
  const fail = (problem: string): never => {
    const remedy = "give the postprocessing.pkl or .json that nnU-Net's determine_postprocessing has written";
    throw new UserError({ doing: DOING, file, problem, remedy });
  };
  const [functions, settings] = Array.isArray(value) && value.length === 2 ? value : fail("it holds no postprocessing");
  if (!Array.isArray(functions) || !Array.isArray(settings)) {
    return fail("it holds no lists of functions and arguments");
  }
  if (functions.length !== settings.length || functions.length > MOST_STEPS) {
    return fail(`it has ${functions.length} functions and arguments for ${settings.length}`);
  }
  return functions.map((name, i) => {
    const called = typeof name === "string" ? name : (name as { readonly name?: unknown } | null)?.name;
    if (called !== FUNCTION && called !== `${FUNCTION_MODULE}.${FUNCTION}`) {
      return fail(`step ${i + 1} is the function ${show(called)}, and only ${FUNCTION} is known`);
    }
    return stepOf(settings[i], (problem) => fail(`the arguments of step ${i + 1}: ${problem}`));
  });
}

function stepOf(settings: unknown, fail: (problem: string) => never): PostprocessingStep {
  if (typeof settings !== "object" || settings === null || Array.isArray(settings)) return fail("they are no dict");
  const entries = settings instanceof Map
    ? [...settings as Map<unknown, unknown>]
    : keysOf(settings).map((key) => [key, (settings as Readonly<Record<string, unknown>>)[key]] as const);
  const known = new Map<unknown, unknown>(entries);
  const unknown = [...known.keys()].find((key) => key !== "labels_or_regions" && key !== "background_label");
  if (unknown !== undefined) return fail(`${show(unknown)} is not known`);
  const written = known.get("labels_or_regions");
  const background = known.get("background_label") ?? BACKGROUND;
  if (!isWhole(background, MOST_BACKGROUND)) return fail(`background_label is ${show(background)}`);
  if (isWhole(written, MOST_LABEL)) return { labels: [written], written: "label", background };
  const parts: unknown[] = Array.isArray(written) ? written.flat() : [];
  if (parts.length === 0 || !parts.every((part) => isWhole(part, MOST_LABEL))) {
    return fail(`labels_or_regions is ${show(written)}; expected labels, 0 to ${MOST_LABEL}, or lists of such`);
  }
  return { labels: [...new Set(parts as readonly number[])], written: "list", background };
}

function isWhole(value: unknown, most: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most;
}

/** What is compared of a summary.json: the mean Dice by label or region, and that of the foreground. */
export interface SummaryScores {
  readonly foreground: number;
  readonly mean: ReadonlyMap<string, number>;
}

/**
 * The scores of a summary.json.
 * @param keys The labels and regions that have to be there
 * @throws UserError naming the file, if one is missing
 */
export function parseScores(text: string, file: string, keys: readonly string[]): SummaryScores {
  const fail = (problem: string): never => {
    const remedy = "remove it: it is then made anew from the segmentations";
    throw new UserError({ doing: "reading the summary", file, problem, remedy });
  };
  const summary = parseJson(text, file, "reading the summary") as {
    readonly foreground_mean?: { readonly Dice?: unknown } | null;
    readonly mean?: Readonly<Record<string, { readonly Dice?: unknown } | undefined>> | null;
  } | null;
  const dice = (metrics: { readonly Dice?: unknown } | null | undefined, of: string): number =>
    typeof metrics?.Dice === "number" ? metrics.Dice : fail(`there is no mean Dice of ${of}`);
  const means = typeof summary?.mean === "object" && summary.mean !== null ? summary.mean : {};
  const mean = new Map(Object.keys(means).map((key) => [normalKey(key), dice(means[key], key)]));
  for (const key of keys) if (!mean.has(key)) fail(`there is no mean Dice of ${key}`);
  return { foreground: dice(summary?.foreground_mean, "the foreground"), mean };
}

/** Keys as Python reads them and writes them again: "( 1,2)" is "(1, 2)". */
function normalKey(key: string): string {
  if (!key.includes("(")) return key;
  const labels = key.replace(/[()]/g, "").split(",").filter((part) => part.trim() !== "").map(Number);
  return labels.length === 1 ? `(${labels[0]},)` : `(${labels.join(", ")})`;
}
