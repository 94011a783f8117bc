/**
 * DICOM's data elements, found by dicom-parser: the one module that knows the library. It gives where each value lies in the bytes,
 * as plain data that keep nothing of the library's alive.
 */
import dicomParser from "dicom-parser";
import { messageOf } from "../../base/errors.ts";

/** A data element: where its value lies. */
export interface Element {
  /** Value representation; undefined in implicit VR. */
  readonly vr: string | undefined;
  readonly offset: number;
  /** In bytes; undefined where only a delimiter ends it. */
  readonly length: number | undefined;
  readonly items?: readonly Elements[];
}

/** Elements by tag, "xggggeeee". */
export type Elements = ReadonlyMap<string, Element>;

export interface ParsedObject {
  readonly elements: Elements;
  /** What `elements` lie in: `bytes`, or what inflating made of them. */
  readonly bytes: Uint8Array;
  /** Why parsing ended early; undefined where it came to the pixels or the end. */
  readonly problem?: string;
}

export const PIXEL_DATA = "x7fe00010";
const EXTENDED_OFFSETS = "x7fe00001";
const UNDEFINED_LENGTH = 0xffffffff;
/** Items in items: more is no object that anything writes. */
const DEEPEST = 64;

interface ParserElement {
  readonly tag: string;
  readonly vr?: string;
  readonly length: number;
  readonly dataOffset: number;
  readonly hadUndefinedLength?: boolean;
  readonly items?: readonly { readonly dataSet?: ParserDataSet }[];
}
interface ParserDataSet {
  readonly elements: Readonly<Record<string, ParserElement>>;
}

/**
 * Parses an object up to its pixels. What is damaged ends it early: what came before is given, with the problem.
 * @param bytes The file, or its beginning
 * @param syntax Transfer syntax of bytes that begin with the object itself, without preamble and meta information
 * @param inflate What inflates the deflated part, from `position` on
 */
export function parseObject(
  bytes: Uint8Array,
  syntax: string | undefined,
  inflate: (bytes: Uint8Array, position: number) => Uint8Array,
): ParsedObject {
  let lying = bytes;
  const inflater = (all: Uint8Array, position: number) => {
    const inflated = inflate(all, position);
    lying = inflated;
    return inflated;
  };
  const options = { untilTag: PIXEL_DATA, inflater, ...(syntax === undefined ? {} : { TransferSyntaxUID: syntax }) };
  try {
    return parsed(dicomParser.parseDicom(bytes, options), lying);
  } catch (error) {
    // The library throws texts, errors, and objects that hold one of them and what was parsed before.
    const { exception = error, dataSet } = (error ?? {}) as { exception?: unknown; dataSet?: ParserDataSet };
    const problem = messageOf(exception).replace(/^dicomParser[.:]\s*/, "");
    return parsed(dataSet ?? { elements: {} }, lying, problem);
  }
}

function parsed(dataSet: ParserDataSet, bytes: Uint8Array, problem?: string): ParsedObject {
  const elements = plainElements(dataSet, 0);
  const extended = elements.get(EXTENDED_OFFSETS);
  if (extended?.vr === "OV") {
    const behind = elementsFromOffsetTable(bytes, extended.offset - 12);
    return { elements: new Map([...[...elements].filter(([tag]) => tag < EXTENDED_OFFSETS), ...behind]), bytes };
  }
  return { elements, bytes, ...(problem === undefined ? {} : { problem }) };
}

function plainElements({ elements }: ParserDataSet, depth: number): Elements {
  const plain = new Map<string, Element>();
  for (const [tag, { vr, dataOffset, length, hadUndefinedLength, items }] of Object.entries(elements)) {
    const endless = length === UNDEFINED_LENGTH || (tag === PIXEL_DATA && hadUndefinedLength === true);
    const nested = items && depth < DEEPEST
      ? { items: items.flatMap(({ dataSet }) => dataSet ? [plainElements(dataSet, depth + 1)] : []) }
      : {};
    plain.set(tag, { vr, offset: dataOffset, length: endless ? undefined : length, ...nested });
  }
  return plain;
}

/**
 * The elements from an Extended Offset Table to the pixels. The library does not know its value representation, OV, and takes
 * what stands in its length for further elements.
 */
function elementsFromOffsetTable(bytes: Uint8Array, start: number): [string, Element][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: [string, Element][] = [];
  // The library has counted a length of two bytes: the value is taken to begin 4 bytes early.
  for (let at = start + 4; at + 12 <= bytes.length;) {
    const hex = (offset: number) => view.getUint16(offset, true).toString(16).padStart(4, "0");
    const tag = `x${hex(at)}${hex(at + 2)}`;
    const vr = String.fromCharCode(bytes[at + 4], bytes[at + 5]);
    const length = view.getUint32(at + 8, true);
    const endless = length === UNDEFINED_LENGTH;
    found.push([tag, { vr, offset: at + 12, length: endless ? undefined : length }]);
    if (tag === PIXEL_DATA || endless || !tag.startsWith("x7fe0")) break;
    at += 12 + length;
  }
  return found;
}

/** The items of a sequence whose value has the representation UN: they are in implicit VR. Empty where they can't be parsed. */
export function itemsOfUnknown(bytes: Uint8Array, { offset, length = 0 }: Element): readonly Elements[] {
  try {
    const end = bytes.subarray(0, offset + length);
    const stream = new dicomParser.ByteStream(dicomParser.littleEndianByteArrayParser, end, offset);
    const element = { tag: "", length, dataOffset: offset };
    dicomParser.readSequenceItemsImplicit(stream, element);
    return plainElements({ elements: { sequence: element } }, 0).get("sequence")?.items ?? [];
  } catch {
    return [];
  }
}
