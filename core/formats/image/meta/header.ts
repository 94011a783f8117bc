/**
 * A MetaImage header as MetaIO (in ITK 5.4, SimpleITK 2.5) takes it: lines of a name, "=" or ":", and values, down to ElementDataFile.
 * Names heed capitals, of fields that stand twice the last one counts, unknown ones are passed over. Numbers that are none, which MetaIO
 * reads as 0, are refused. Sources: metaUtils.cxx (MET_Read), metaObject.cxx, metaImage.cxx.
 */
import { MOST_FILES } from "../itk/detached.ts";
import type { HeaderLines } from "../itk/header_lines.ts";
import { parseFloatText } from "../itk/text_data.ts";

export interface MetaHeader {
  /** "MET_SHORT" */
  readonly type: string;
  readonly sizes: readonly number[];
  readonly spacing: readonly number[];
  readonly offset: readonly number[];
  /** Directions of the axes, one after the other. */
  readonly matrix: readonly number[];
  readonly channels: number;
  readonly binary: boolean;
  readonly littleEndian: boolean;
  readonly compressed: boolean;
  /** 0: not given. */
  readonly compressedSize: number;
  /** Bytes before the data, from the file's beginning; -1: the data are at its end; 0: not given. */
  readonly headerSize: number;
  readonly dataFile: string;
  /** The lines that follow "LIST". */
  readonly list: readonly string[];
  /** The byte behind the header. */
  readonly end: number;
}

/** What is wrong with a header, in the user's terms. */
export class MetaDamage extends Error {}

const MOST_DIMENSIONS = 10;
/** Fields whose length follows from NDims, which has to come before. */
const OF_DIMENSIONS = ["DimSize", "Offset", "TransformMatrix", "ElementSpacing"];

/** @throws MetaDamage if the header can't be taken */
export async function readMetaHeader(lines: HeaderLines): Promise<MetaHeader> {
  const fields = new Map<string, string>();
  for (let line = await lines.next(); line !== undefined; line = await lines.next()) {
    const separator = line.search(/[=:]/);
    if (separator < 0) continue;
    const name = line.slice(0, separator).trim();
    const value = line.slice(separator).replace(/^[=:\s]+/, "").trimEnd();
    if (OF_DIMENSIONS.includes(name) && !fields.has("NDims")) {
      throw new MetaDamage(`"${name}" stands before "NDims" in its header`);
    }
    fields.set(name, value);
    if (name === "ElementDataFile") break;
    // Not to read a file of another kind to its end.
    if (fields.size === 1 && !/^\w+$/.test(name)) break;
  }
  for (const name of ["NDims", "DimSize", "ElementType", "ElementDataFile"]) {
    if (!fields.has(name)) throw new MetaDamage(`it is no MetaImage: its header has no field "${name}"`);
  }
  const dataFile = fields.get("ElementDataFile") ?? "";
  const end = lines.position;
  return { ...parsed(fields), dataFile, list: dataFile.startsWith("LIST") ? await namesOf(lines) : [], end };
}

async function namesOf(lines: HeaderLines): Promise<string[]> {
  const names: string[] = [];
  for (let line = await lines.next(); line !== undefined && names.length <= MOST_FILES; line = await lines.next()) {
    names.push(line.trimEnd());
  }
  while (names.length > 0 && names[names.length - 1] === "") names.pop();
  return names;
}

function parsed(fields: ReadonlyMap<string, string>): Omit<MetaHeader, "dataFile" | "list" | "end"> {
  const n = whole(fields, "NDims", 0);
  if (!(n >= 1 && n <= MOST_DIMENSIONS)) throw new MetaDamage(`NDims is ${fields.get("NDims")}`);
  const sizes = numbers(fields, ["DimSize"], n) ?? [];
  if (!sizes.every((size) => Number.isSafeInteger(size) && size >= 1)) {
    throw new MetaDamage(`DimSize is ${fields.get("DimSize")}`);
  }
  const identity = Array.from({ length: n * n }, (_, i) => i % (n + 1) === 0 ? 1 : 0);
  return {
    type: fields.get("ElementType") ?? "",
    sizes,
    spacing: numbers(fields, ["ElementSpacing", "ElementSize"], n) ?? sizes.map(() => 1),
    offset: numbers(fields, ["ImagePosition", "Origin", "Offset", "Position"], n) ?? sizes.map(() => 0),
    matrix: numbers(fields, ["TransformMatrix", "Rotation", "Orientation"], n * n) ?? identity,
    channels: whole(fields, "ElementNumberOfChannels", 1),
    binary: isTrue(fields.get("BinaryData") ?? "True"),
    littleEndian: !isTrue(fields.get("BinaryDataByteOrderMSB") ?? fields.get("ElementByteOrderMSB") ?? "False"),
    compressed: isTrue(fields.get("CompressedData") ?? "False"),
    compressedSize: Math.max(0, whole(fields, "CompressedDataSize", 0)),
    headerSize: headerSizeOf(fields),
  };
}

/** Other negative numbers are passed over, as there. */
function headerSizeOf(fields: ReadonlyMap<string, string>): number {
  const size = whole(fields, "HeaderSize", 0);
  return size < -1 ? 0 : size;
}

/** By its first character alone, as there. */
const isTrue = (text: string) => /^[Tt1]/.test(text);

function whole(fields: ReadonlyMap<string, string>, name: string, absent: number): number {
  const text = fields.get(name);
  if (text === undefined) return absent;
  const value = /^[+-]?\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) {
    throw new MetaDamage(`a whole number is expected as ${name}, found ${JSON.stringify(text.slice(0, 60))}`);
  }
  return value;
}

/** Denormal numbers are 0 to MetaIO. */
const flushed = (value: number) => Math.abs(value) < 2 ** -1022 ? 0 : value;

/** The first of the fields that is there; of more numbers than `count` the first ones. */
function numbers(fields: ReadonlyMap<string, string>, names: readonly string[], count: number): number[] | undefined {
  const name = names.find((one) => fields.has(one));
  if (name === undefined) return undefined;
  const words = (fields.get(name) ?? "").split(/\s+/).filter((word) => word !== "").slice(0, count);
  const values = words.map((word) => flushed(parseFloatText(word) ?? NaN));
  if (values.length < count || !values.every(Number.isFinite)) {
    throw new MetaDamage(
      `${count} numbers are expected as ${name}, found ${JSON.stringify(words.join(" ").slice(0, 60))}`,
    );
  }
  return values;
}
