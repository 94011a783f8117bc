/** What the converters do to a dataset.json of the Decathlon or of nnU-Net v1. */
import { UserError } from "../base/errors.ts";
import { requireObject, show } from "../base/fields.ts";
import { keysOf, parseJson, parseJsonExactly, stringifyJson } from "../base/json.ts";
import { parseDatasetJson } from "./read_dataset_json.ts";

/**
 * The dataset.json of nnU-Net v2, as text: labels turned round to {name: number}, file_ending and channel_names added, what v2 does
 * not use removed. Everything else stays, in its order.
 * @param removed Keys that are removed; `modality` always is.
 * @throws UserError if labels or modality are missing or of another form, or the result is no dataset.json that can be read
 */
export function convertDatasetJson(text: string, file: string, removed: readonly string[], doing: string): string {
  const json = requireObject(parseJsonExactly(text, file, doing), { doing, file, path: [] });
  const fail = (problem: string, remedy: string) => new UserError({ doing, file, problem, remedy });
  const { labels, modality } = json;
  if (typeof labels !== "object" || labels === null || Array.isArray(labels)) {
    throw fail("labels is missing or no object", 'expected {"0": "background", "1": "NAME", ...}');
  }
  if (typeof modality !== "object" || modality === null) {
    throw fail("modality is missing or no object", 'expected {"0": "NAME of channel 0", ...}');
  }
  const turned = new Map<string, number>();
  for (const number of keysOf(labels)) {
    const name = (labels as Record<string, unknown>)[number];
    if (!/^\s*\d+\s*$/.test(number) || typeof name !== "string") {
      const found = show({ [number]: name });
      const remedy = typeof name === "number" ? "it seems to be a dataset of nnU-Net v2 already" : "correct it";
      throw fail(`labels has ${found}; expected {number: name}`, remedy);
    }
    if (turned.has(name)) throw fail(`two labels are named ${show(name)}`, "give each label a name of its own");
    turned.set(name, Number(number));
  }
  const result: Record<string, unknown> = {};
  for (const key of keysOf(json)) {
    if (key === "labels") result[key] = Object.fromEntries(turned);
    else if (key !== "modality" && !removed.includes(key)) result[key] = json[key];
  }
  result.file_ending = ".nii.gz";
  result.channel_names = modality;
  const converted = stringifyJson(result);
  // What would be refused when it is used is refused here, before anything is copied.
  parseDatasetJson(parseJson(converted, file, doing), file, doing);
  return converted;
}
