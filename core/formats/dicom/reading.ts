/** An object's attributes out of the bytes in which they lie. */
import { type Attribute, ATTRIBUTES, type Keyword } from "./attributes.ts";
import type { DicomDataset } from "./dataset.ts";
import { type Element, type Elements, itemsOfUnknown } from "./parser.ts";
import { decodeText } from "./text.ts";

/** What holds for an object and the items in it. */
interface Encoding {
  readonly bytes: Uint8Array;
  readonly bigEndian: boolean;
  /** Values of Specific Character Set. */
  readonly characterSets: readonly string[];
  /** Pixel Representation is 1, by which attributes that may be signed or not are read. */
  readonly signed: boolean;
}

/** Text representations in which a backslash is no separator, and leading spaces stay. */
const LONG_TEXTS: ReadonlySet<string> = new Set(["LT", "ST", "UT", "UR"]);
/** Texts that the Specific Character Set is for; the others are ASCII. */
const LOCAL_TEXTS: ReadonlySet<string> = new Set(["LO", "LT", "PN", "SH", "ST", "UC", "UT"]);
const NUMBER_BYTES: Readonly<Record<string, number>> = { US: 2, SS: 2, UL: 4, SL: 4, FL: 4, FD: 8, OV: 8, AT: 4 };
/** The most values of one attribute that are made numbers: offsets of 2^20 frames, tables of 2^16 entries. */
const MOST_NUMBERS = 2 ** 20;

/** The attributes of `elements`, which lie in `bytes`. */
export function datasetOf(elements: Elements, bytes: Uint8Array, bigEndian: boolean): DicomDataset {
  return dataset(elements, { bytes, bigEndian, characterSets: [], signed: false });
}

function dataset(elements: Elements, outer: Encoding): DicomDataset {
  const encoding = encodingOf(elements, outer);
  const find = (keyword: Keyword) => elements.get(ATTRIBUTES[keyword][0]);
  const texts = (keyword: Keyword) => textsOf(find(keyword), ATTRIBUTES[keyword], encoding);
  const numbers = (keyword: Keyword) => numbersOf(find(keyword), ATTRIBUTES[keyword], encoding);
  return {
    has: (keyword) => find(keyword) !== undefined,
    texts,
    text: (keyword) => texts(keyword).at(0) || undefined,
    numbers,
    number: (keyword) => numbers(keyword).at(0),
    bytes: (keyword) => valueOf(find(keyword), encoding),
    items(keyword) {
      const element = find(keyword);
      if (!element) return [];
      if (element.items) return element.items.map((item) => dataset(item, encoding));
      const implicit = { ...encoding, bigEndian: false };
      return element.vr === "UN" ? itemsOfUnknown(encoding.bytes, element).map((item) => dataset(item, implicit)) : [];
    },
  };
}

/** An item has its own character sets, or those of what it is in. */
function encodingOf(elements: Elements, outer: Encoding): Encoding {
  const sets = elements.get(ATTRIBUTES.SpecificCharacterSet[0]);
  const sign = elements.get(ATTRIBUTES.PixelRepresentation[0]);
  return {
    ...outer,
    characterSets: sets ? textsOf(sets, ATTRIBUTES.SpecificCharacterSet, outer) : outer.characterSets,
    signed: sign ? numbersOf(sign, ATTRIBUTES.PixelRepresentation, outer)[0] === 1 : outer.signed,
  };
}

function valueOf(element: Element | undefined, { bytes }: Encoding): Uint8Array {
  if (element?.length === undefined) return new Uint8Array(0);
  return bytes.subarray(element.offset, element.offset + element.length);
}

function textsOf(element: Element | undefined, [, vr]: Attribute, encoding: Encoding): string[] {
  const value = valueOf(element, encoding);
  if (value.length === 0) return [];
  const text = decodeText(value, LOCAL_TEXTS.has(vr) ? encoding.characterSets : []).replace(/[\0 ]+$/, "");
  if (LONG_TEXTS.has(vr)) return text === "" ? [] : [text];
  const values = text.split("\\").map((one) => one.replace(/^ +|[\0 ]+$/g, ""));
  return values.length === 1 && values[0] === "" ? [] : values;
}

function numbersOf(element: Element | undefined, attribute: Attribute, encoding: Encoding): number[] {
  const vr = numberType(element, attribute, encoding);
  const size = NUMBER_BYTES[vr];
  if (size === undefined) {
    return textsOf(element, attribute, encoding).slice(0, MOST_NUMBERS).map((text) => text === "" ? NaN : Number(text));
  }
  const value = valueOf(element, encoding);
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const length = Math.min(Math.floor(value.length / size), MOST_NUMBERS);
  return Array.from({ length }, (_, i) => numberAt(view, i * size, vr, !encoding.bigEndian));
}

/** The file's representation, where it says one that is a number's; else the standard's. */
function numberType(element: Element | undefined, [, vr]: Attribute, { signed }: Encoding): string {
  if (vr === "DS" || vr === "IS") return vr;
  const stored = element?.vr;
  if (stored !== undefined && stored in NUMBER_BYTES) return stored;
  if (vr.includes("US or ")) return signed && vr.includes("SS") ? "SS" : "US";
  return vr;
}

function numberAt(view: DataView, at: number, vr: string, little: boolean): number {
  switch (vr) {
    case "US":
      return view.getUint16(at, little);
    case "SS":
      return view.getInt16(at, little);
    case "UL":
      return view.getUint32(at, little);
    case "SL":
      return view.getInt32(at, little);
    case "FL":
      return view.getFloat32(at, little);
    case "FD":
      return view.getFloat64(at, little);
    case "OV":
      return Number(view.getBigUint64(at, little));
    default: // AT: group and element
      return view.getUint16(at, little) * 65536 + view.getUint16(at + 2, little);
  }
}
