/**
 * A NRRD header as NrrdIO (in ITK 5.4, SimpleITK 2.5) takes it: fields in the order in which they stand, a part of which has to come
 * before others. What it refuses is refused. Sources: parseNrrd.c, formatNRRD.c, simple.c.
 */
import { parseFloatText } from "../itk/text_data.ts";
import { MOST_FILES } from "../itk/detached.ts";
import type { HeaderLines } from "../itk/header_lines.ts";
import type { Encoding } from "../itk/stored_data.ts";
import { DOMAIN_KINDS, ENCODINGS, RANGE_KINDS, type Space, SPACES, TYPES } from "./names.ts";

/** One axis; NaN where a number is not given. */
export interface NrrdAxis {
  size: number;
  /** In small letters; "" where it is not known. */
  kind: string;
  center: "" | "node" | "cell";
  spacing: number;
  min: number;
  max: number;
  direction: readonly number[] | null;
}

/** Where the data are. */
export type NrrdData =
  | { readonly kind: "attached" }
  /** `dimension` of what a file holds; 0 where it is all. */
  | { readonly kind: "files"; readonly names: readonly string[]; readonly dimension: number }
  | {
    readonly kind: "numbered";
    readonly pattern: string;
    readonly min: number;
    readonly max: number;
    readonly step: number;
    readonly dimension: number;
  };

export interface NrrdHeader {
  /** NIfTI's code of the type. */
  readonly datatype: number;
  readonly axes: readonly NrrdAxis[];
  readonly space: Space | null;
  /** 0: none is given. */
  readonly spaceDimension: number;
  readonly origin: readonly number[] | null;
  readonly encoding: Encoding;
  /** Null: not given. */
  readonly littleEndian: boolean | null;
  readonly lineSkip: number;
  readonly byteSkip: number;
  readonly data: NrrdData;
  /** The byte behind the header. */
  readonly end: number;
}

/** What is wrong with a header, in the user's terms. */
export class NrrdDamage extends Error {}

type Draft = { -readonly [Key in keyof NrrdHeader]?: NrrdHeader[Key] } & { axes: NrrdAxis[] };
type Field = (text: string, draft: Draft, lines: HeaderLines) => void | Promise<void>;

const MOST_DIMENSIONS = 16;

/** @throws NrrdDamage if the header can't be taken */
export async function readNrrdHeader(lines: HeaderLines): Promise<NrrdHeader> {
  const magic = await lines.next() ?? "";
  if (!/^NRRD(00\.01|000[1-5])$/.test(magic)) {
    const version = /^NRRD\d+/.exec(magic)?.[0];
    throw new NrrdDamage(
      version ? `it is of the version ${version}; NRRD0001 to NRRD0005 are read` : "it is not a NRRD file",
    );
  }
  const draft: Draft = { axes: [] };
  const seen = new Set<string>();
  let ended = false;
  for (let line = await lines.next(); line !== undefined; line = await lines.next()) {
    if (line === "") {
      ended = true;
      break;
    }
    await takeLine(line, draft, seen, lines);
    // A list of files goes to the header's end.
    if (draft.data?.kind === "files" && draft.data.dimension > 0) break;
  }
  return finished(draft, ended, lines.position);
}

async function takeLine(line: string, draft: Draft, seen: Set<string>, lines: HeaderLines): Promise<void> {
  if (line.startsWith("#")) return;
  const colon = line.indexOf(": ");
  const name = colon < 0 ? undefined : FIELD_NAMES.get(line.slice(0, colon).toLowerCase());
  if (name === undefined) {
    if (line.includes(":=")) return;
    throw new NrrdDamage(`a line of its header is no field of NRRD: ${JSON.stringify(line.slice(0, 60))}`);
  }
  if (seen.has(name)) throw new NrrdDamage(`its header has the field "${name}" twice`);
  seen.add(name);
  const field = FIELDS.get(name);
  await field?.(line.slice(colon + 2).replace(/^[ \t]+/, ""), draft, lines);
}

function finished(draft: Draft, ended: boolean, end: number): NrrdHeader {
  const { datatype, axes, encoding, data = { kind: "attached" } } = draft;
  if (!ended && data.kind === "attached") throw new NrrdDamage("it ends within its header");
  const missing = datatype === undefined
    ? "type"
    : axes.length === 0
    ? "dimension"
    : axes[0].size === 0
    ? "sizes"
    : encoding === undefined
    ? "encoding"
    : undefined;
  if (missing || datatype === undefined || encoding === undefined) {
    throw new NrrdDamage(`its header has no field "${missing}"`);
  }
  for (const [i, { kind, size }] of axes.entries()) {
    const wanted = RANGE_KINDS.get(kind) ?? 0;
    if (wanted > 0 && wanted !== size) {
      throw new NrrdDamage(`its axis ${i + 1} is of the kind ${kind}, of size ${wanted}, and its size is ${size}`);
    }
  }
  return {
    datatype,
    axes,
    space: draft.space ?? null,
    spaceDimension: draft.spaceDimension ?? 0,
    origin: draft.origin ?? null,
    encoding,
    littleEndian: draft.littleEndian ?? null,
    lineSkip: draft.lineSkip ?? 0,
    byteSkip: draft.byteSkip ?? 0,
    data,
    end,
  };
}

/** Names of fields in small letters, and their usual form. */
const FIELD_NAMES: ReadonlyMap<string, string> = new Map([
  ...[
    ...["content", "number", "type", "block size", "dimension", "space", "space dimension", "sizes", "spacings"],
    ...["thicknesses", "axis mins", "axis maxs", "space directions", "centerings", "kinds", "labels", "units", "min"],
    ...["max", "old min", "old max", "endian", "encoding", "line skip", "byte skip", "sample units", "space units"],
    ...["space origin", "measurement frame", "data file"],
  ].flatMap((name): [string, string][] => [[name, name], [name.replace(" ", ""), name]]),
  ["centers", "centerings"],
]);

/** The fields that are looked at. */
const FIELDS: ReadonlyMap<string, Field> = new Map<string, Field>([
  ["type", (text, draft) => {
    draft.datatype = named(TYPES, text, "type");
  }],
  ["encoding", (text, draft) => {
    if (/^bz(ip)?2$/i.test(text)) {
      throw new NrrdDamage("its voxels are packed with bzip2, which SimpleITK does not read either");
    }
    draft.encoding = named(ENCODINGS, text, "encoding");
  }],
  ["endian", (text, draft) => {
    draft.littleEndian = named(new Map([["little", true], ["big", false]]), text, "endian");
  }],
  ["dimension", (text, draft) => {
    const dimension = whole(text, "dimension");
    if (!(dimension >= 1 && dimension <= MOST_DIMENSIONS)) throw new NrrdDamage(`its dimension is ${text}`);
    const unknown = { size: 0, kind: "", center: "", spacing: NaN, min: NaN, max: NaN, direction: null } as const;
    draft.axes = Array.from({ length: dimension }, () => ({ ...unknown }));
  }],
  ["sizes", (text, draft) => {
    const sizes = perAxis(text, draft, "sizes").map((size) => whole(size, "sizes"));
    if (sizes.some((size) => size < 1)) throw new NrrdDamage(`its sizes are ${text}`);
    sizes.forEach((size, i) => draft.axes[i].size = size);
  }],
  ["spacings", (text, draft) => numbersPerAxis(text, draft, "spacings", (axis, value) => axis.spacing = value)],
  ["axis mins", (text, draft) => numbersPerAxis(text, draft, "axis mins", (axis, value) => axis.min = value)],
  ["axis maxs", (text, draft) => numbersPerAxis(text, draft, "axis maxs", (axis, value) => axis.max = value)],
  ["centerings", (text, draft) => {
    const known = new Map<string, NrrdAxis["center"]>([["node", "node"], ["cell", "cell"], ["???", ""], ["none", ""]]);
    perAxis(text, draft, "centerings").forEach((name, i) => draft.axes[i].center = named(known, name, "centerings"));
  }],
  ["kinds", (text, draft) => {
    perAxis(text, draft, "kinds").forEach((name, i) => {
      const kind = name.toLowerCase();
      const unknown = kind === "???" || kind === "none";
      if (!unknown && !DOMAIN_KINDS.has(kind) && !RANGE_KINDS.has(kind)) {
        throw new NrrdDamage(`its axis ${i + 1} is of the kind ${JSON.stringify(name)}, which NRRD does not have`);
      }
      draft.axes[i].kind = unknown ? "" : kind;
    });
  }],
  ["space", (text, draft) => {
    if (draft.spaceDimension) throw new NrrdDamage('its header has both a "space" and a "space dimension"');
    draft.space = named(SPACES, text, "space");
    draft.spaceDimension = draft.space.dimensions;
  }],
  ["space dimension", (text, draft) => {
    if (draft.space) throw new NrrdDamage('its header has both a "space" and a "space dimension"');
    draft.spaceDimension = whole(text, "space dimension");
    if (!(draft.spaceDimension >= 1 && draft.spaceDimension <= 8)) {
      throw new NrrdDamage(`its space dimension is ${text}`);
    }
  }],
  ["space directions", (text, draft) => {
    requireDimension(draft);
    const vectors = spaceVectors(text, draft, draft.axes.length, "space directions");
    vectors.forEach((vector, i) => draft.axes[i].direction = vector);
  }],
  ["space origin", (text, draft) => {
    draft.origin = spaceVectors(text, draft, 1, "space origin")[0];
  }],
  ["measurement frame", (text, draft) => {
    spaceVectors(text, draft, draft.spaceDimension ?? 0, "measurement frame");
  }],
  ["line skip", (text, draft) => {
    draft.lineSkip = whole(text, "line skip");
    if (draft.lineSkip < 0) throw new NrrdDamage(`its line skip is ${text}`);
  }],
  ["byte skip", (text, draft) => {
    draft.byteSkip = whole(text, "byte skip");
  }],
  ["data file", readDataFile],
]);

function named<T>(known: ReadonlyMap<string, T>, text: string, field: string): T {
  const value = known.get(text.toLowerCase());
  if (value === undefined) {
    throw new NrrdDamage(`its ${field} is ${JSON.stringify(text.slice(0, 60))}, which is not read`);
  }
  return value;
}

function whole(text: string, field: string): number {
  const value = /^[+-]?\d{1,15}$/.test(text.trim()) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) {
    throw new NrrdDamage(`a whole number is expected as ${field}, found ${JSON.stringify(text.slice(0, 60))}`);
  }
  return value;
}

function requireDimension(draft: Draft): void {
  if (draft.axes.length === 0) throw new NrrdDamage('"dimension" does not come first in its header');
}

function perAxis(text: string, draft: Draft, field: string): string[] {
  requireDimension(draft);
  const values = text.split(/[ \t]+/).filter((value) => value !== "");
  if (values.length !== draft.axes.length) {
    throw new NrrdDamage(`it has ${draft.axes.length} axes, and "${field}" has ${values.length} values`);
  }
  return values;
}

function numbersPerAxis(
  text: string,
  draft: Draft,
  field: string,
  set: (axis: NrrdAxis, value: number) => void,
): void {
  perAxis(text, draft, field).forEach((one, i) => {
    const value = parseFloatText(one);
    if (value === undefined || Math.abs(value) === Infinity || (field === "spacings" && value === 0)) {
      throw new NrrdDamage(`"${field}" of its axis ${i + 1} is ${one}`);
    }
    set(draft.axes[i], value);
  });
}

/** Vectors like "(1,0,0) none (0,1,0)"; null for those that are none or of NaN. */
function spaceVectors(text: string, draft: Draft, count: number, field: string): (readonly number[] | null)[] {
  const { spaceDimension = 0 } = draft;
  if (spaceDimension === 0) throw new NrrdDamage(`"${field}" stands before "space" in its header, or without it`);
  const vectors: (readonly number[] | null)[] = [];
  const pattern = /[ \t]*(?:none(?=[ \t]|$)|\(([^)]*)\))/y;
  while (vectors.length < count) {
    const match = pattern.exec(text);
    if (!match) throw new NrrdDamage(`"${field}" is ${JSON.stringify(text.slice(0, 60))}, of ${count} vectors`);
    vectors.push(match[1] === undefined ? null : spaceVector(match[1], spaceDimension, field));
  }
  const end = vectors.length > 0 ? pattern.lastIndex : 0;
  if (text.slice(end).trim() !== "") throw new NrrdDamage(`"${field}" has more than ${count} vectors`);
  return vectors;
}

function spaceVector(text: string, dimension: number, field: string): readonly number[] | null {
  const values = text.split(",").map((value) => parseFloatText(value.trim()) ?? Infinity);
  if (values.length !== dimension || values.includes(Infinity) || values.includes(-Infinity)) {
    throw new NrrdDamage(`a vector of "${field}" is (${text.slice(0, 60)}); ${dimension} numbers are expected`);
  }
  if (values.every(Number.isNaN)) return null;
  if (values.some(Number.isNaN)) throw new NrrdDamage(`a vector of "${field}" is (${text.slice(0, 60)})`);
  return values;
}

/** Names of data files, a file: there are not more of them than lines of a header. */
async function readDataFile(text: string, draft: Draft, lines: HeaderLines): Promise<void> {
  const numbered = /%\d*[du]/.test(text.replaceAll("%%", ""));
  if (numbered) {
    requireDimension(draft);
    const [pattern, ...rest] = text.split(/[ \t]+/).filter((part) => part !== "");
    if (rest.length < 3) {
      throw new NrrdDamage(`"data file" is ${JSON.stringify(text.slice(0, 60))}, without min, max and step`);
    }
    const [min, max, step, dimension = draft.axes.length - 1] = rest.map((part) => whole(part, "data file"));
    if (step === 0 || (max - min) * step < 0) {
      throw new NrrdDamage(`"data file" counts from ${min} to ${max} by ${step}`);
    }
    draft.data = { kind: "numbered", pattern, min, max, step, dimension: fileDimension(dimension, draft) };
    return;
  }
  if (!text.startsWith("LIST")) {
    draft.data = { kind: "files", names: [text], dimension: 0 };
    return;
  }
  requireDimension(draft);
  const given = text.slice("LIST".length).trim();
  const dimension = fileDimension(given === "" ? draft.axes.length - 1 : whole(given, "data file"), draft);
  const names: string[] = [];
  for (let line = await lines.next(); line !== undefined && line !== ""; line = await lines.next()) {
    names.push(line);
    if (names.length > MOST_FILES) {
      throw new NrrdDamage(`it names more than ${MOST_FILES.toLocaleString("en-US")} data files`);
    }
  }
  draft.data = { kind: "files", names, dimension };
}

function fileDimension(dimension: number, { axes }: Draft): number {
  if (dimension >= 1 && dimension <= axes.length) return dimension;
  throw new NrrdDamage(`its data files have the dimension ${dimension}, and the image has ${axes.length}`);
}
