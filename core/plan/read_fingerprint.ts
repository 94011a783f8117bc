/** Reading dataset_fingerprint.json, ours or Python's. */
import { z } from "zod";
import { checkFields } from "../base/fields.ts";
import { parseJson, parseJsonExactly } from "../base/json.ts";
import { readTextOrNull } from "../base/read_text.ts";
import { UserError } from "../base/errors.ts";
import type { Fingerprint } from "./plan_experiment.ts";
import { IMAGE_SIZE, SPACING } from "./ranges.ts";

const triples = (one: z.ZodNumber) =>
  z.array(z.array(one).length(3, "expected 3 numbers")).min(1, "expected one entry a case");
const SCHEMA = z.looseObject({
  spacings: triples(SPACING),
  shapes_after_crop: triples(IMAGE_SIZE),
  median_relative_size_after_cropping: z.number().min(0).max(1),
  foreground_intensity_properties_per_channel: z.looseObject({}),
});

/**
 * @throws UserError if the file is not there (naming the command that makes it), or is no fingerprint
 */
export async function readFingerprint(file: string): Promise<Fingerprint> {
  const doing = "reading the dataset's fingerprint";
  const text = await readTextOrNull(file, doing);
  if (text === null) {
    throw new UserError({
      doing,
      file,
      problem: "there is no fingerprint of this dataset yet",
      remedy: "make it first: nnunet extract_fingerprint -d ID",
    });
  }
  const fields = readFields(text, file, doing);
  if (fields.spacings.length !== fields.shapes_after_crop.length) {
    const problem = `it has ${fields.spacings.length} spacings and ${fields.shapes_after_crop.length} shapes`;
    throw new UserError({ doing, file, problem, remedy: "make it again: nnunet extract_fingerprint --clean" });
  }
  const exact = parseJsonExactly(text, file, doing) as { foreground_intensity_properties_per_channel: unknown };
  return {
    spacings: fields.spacings,
    shapesAfterCrop: fields.shapes_after_crop,
    medianRelativeSizeAfterCropping: fields.median_relative_size_after_cropping,
    intensityProperties: exact.foreground_intensity_properties_per_channel,
  };
}

function readFields(text: string, file: string, doing: string): z.infer<typeof SCHEMA> {
  try {
    return checkFields(SCHEMA, parseJson(text, file, doing), { doing, file, path: [] });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError({ ...error.parts, remedy: "make it again: nnunet extract_fingerprint --clean" });
  }
}
