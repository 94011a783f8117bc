/** The user's own codes and colours of classes: a JSON file, {"class name": {"type": {"scheme", "code", "meaning"}, ...}}. */
import { z } from "zod";
import { checkFields } from "../../base/fields.ts";
import { readJsonFile } from "../../base/json.ts";
import type { Code, SegmentCodes } from "./seg_codes.ts";

/** Red, green and blue, 0 to 255. */
export type Rgb = readonly [number, number, number];

/** What the file says of a class. */
export interface OwnSegment {
  readonly codes?: SegmentCodes;
  readonly colour?: Rgb;
}

const DOING = "reading the codes of segments";

/** What DICOM's short and long strings (SH, LO) hold. */
const text = (most: number) =>
  z.string().trim().min(1).max(most).refine(
    (value) => !/[\\\p{Cc}]/u.test(value),
    "expected a text without \\ and line ends",
  );
const CODE: z.ZodType<Code> = z.strictObject({ scheme: text(16), code: text(16), meaning: text(64) });
const LEVEL = z.int().min(0).max(255);
const ENTRY = z.strictObject({
  category: CODE.optional(),
  type: CODE.optional(),
  modifier: CODE.optional(),
  region: CODE.optional(),
  regionModifier: CODE.optional(),
  colour: z.tuple([LEVEL, LEVEL, LEVEL]).optional(),
}).refine(({ type, category, modifier, region }) => type !== undefined || !(category || modifier || region), {
  message: "expected a type where there is a category, modifier or region",
}).refine(({ region, regionModifier }) => region !== undefined || regionModifier === undefined, {
  message: "expected a region where there is a regionModifier",
});
const FILE = z.record(z.string(), ENTRY);

const ANATOMY: Code = { scheme: "SCT", code: "91723000", meaning: "Anatomical Structure" };

/**
 * Reads the file; a category that is not there is that of anatomical structures.
 * @throws UserError naming the file and the entry that is wrong
 */
export async function readSegmentCodes(file: string): Promise<ReadonlyMap<string, OwnSegment>> {
  const { value } = await readJsonFile(file, DOING);
  const entries = checkFields(FILE, value, { doing: DOING, file, path: [], remedy: "correct the entry" });
  return new Map(
    Object.entries(entries).map(([name, { category = ANATOMY, type, colour, ...more }]) => [name, {
      ...(type && { codes: { category, type, ...more } }),
      ...(colour && { colour }),
    }]),
  );
}
