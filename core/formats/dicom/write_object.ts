/**
 * Encodes DICOM objects, given as plain data by keyword, in little endian with explicit or implicit VR, piece by piece: the items of a
 * sequence may be made one after the other, so that an object of many frames is never whole in memory. Source: PS3.5 of the standard.
 */
import { ATTRIBUTES, type Keyword } from "./attributes.ts";

/** A value by its representation: text (several values: an array), numbers, bytes, items; null: there without a value. */
export type WrittenValue =
  | string
  | number
  | readonly (string | number)[]
  | Uint8Array
  | Items
  | null;

/** The items of a sequence, in order; asked for once. */
export interface Items {
  readonly items: Iterable<WrittenAttributes>;
  /** True: handed on item by item, without lengths that would be known at the end only. */
  readonly streamed?: true;
}

/** An object's attributes, or those of an item, in any order; undefined is not written. */
export type WrittenAttributes = { readonly [K in Keyword]?: WrittenValue | undefined };

export type Encoding = "explicit" | "implicit";

/** Representations whose explicit form has a length of four bytes. */
const LONG_FORM = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
const NUMBER_BYTES: Readonly<Record<string, 2 | 4 | 8>> = { US: 2, SS: 2, UL: 4, SL: 4, FL: 4, FD: 8 };
/** What an explicit length of two bytes can say; longer values have to be written in implicit VR. */
const MOST_SHORT_BYTES = 0xfffe;
const UNDEFINED_LENGTH = 0xffffffff;
const ITEM = 0xfffee000;
const ITEM_END = 0xfffee00d;
const SEQUENCE_END = 0xfffee0dd;
/** Bytes that are gathered before they are handed on. */
const PIECE_BYTES = 1 << 18;

/** A sequence of `items`. */
export function sequence(...items: readonly WrittenAttributes[]): Items {
  return { items };
}

/**
 * The bytes of `attributes`, in the order of their tags, without preamble and meta information. A piece is the caller's.
 * @throws RangeError for a value that the representation can't hold
 */
export function* encodeObject(attributes: WrittenAttributes, encoding: Encoding): Generator<Uint8Array<ArrayBuffer>> {
  const out = createBuffer();
  yield* putStreamed(out, attributes, encoding);
  yield out.take();
}

/** Puts the elements, and gives what has come together whenever that is a piece. */
function* putStreamed(
  out: Buffer,
  attributes: WrittenAttributes,
  encoding: Encoding,
): Generator<Uint8Array<ArrayBuffer>> {
  for (const element of sorted(attributes)) {
    if (isItems(element.value) && element.value.streamed) {
      header(out, element, encoding, UNDEFINED_LENGTH);
      for (const item of element.value.items) {
        putTag(out, ITEM);
        out.number(UNDEFINED_LENGTH, 4);
        yield* putStreamed(out, item, encoding);
        putTag(out, ITEM_END);
        out.number(0, 4);
      }
      putTag(out, SEQUENCE_END);
      out.number(0, 4);
    } else putElement(out, element, encoding);
    if (out.length() >= PIECE_BYTES) yield out.take();
  }
}

/** The bytes of small attributes at once. */
export function encodeWhole(attributes: WrittenAttributes, encoding: Encoding): Uint8Array<ArrayBuffer> {
  const out = createBuffer();
  for (const element of sorted(attributes)) putElement(out, element, encoding);
  return out.take();
}

/** The head of a Pixel Data element whose value of `length` bytes follows it. */
export function pixelDataHead(length: number, encoding: Encoding): Uint8Array<ArrayBuffer> {
  const out = createBuffer();
  header(out, { keyword: "PixelData", tag: 0x7fe00010, vr: "OB" }, encoding, length);
  return out.take();
}

/** A number as decimal text (DS, IS): the shortest that reads the same, or as exact as 16 characters can be. */
export function decimalText(value: number): string {
  if (!Number.isFinite(value)) throw new RangeError(`${value} is no number that DICOM can hold`);
  const shortest = String(value === 0 ? 0 : value);
  if (shortest.length <= 16) return shortest;
  for (let digits = 15; digits > 0; digits--) {
    const text = String(Number(value.toPrecision(digits)));
    if (text.length <= 16) return text;
  }
  throw new RangeError(`${value} has no decimal text of 16 characters`);
}

/** Tag, as a number, and value representation. */
function attributeToWrite(keyword: Keyword): { readonly tag: number; readonly vr: string } {
  const [tag, vr] = ATTRIBUTES[keyword];
  return { tag: Number.parseInt(tag.slice(1), 16), vr };
}

interface ElementToWrite {
  readonly keyword: string;
  readonly tag: number;
  readonly vr: string;
}
interface Valued extends ElementToWrite {
  readonly value: WrittenValue;
}

function sorted(attributes: WrittenAttributes): Valued[] {
  const elements: Valued[] = [];
  for (const keyword in attributes) {
    const name = keyword as Keyword;
    const value = attributes[name];
    if (value !== undefined) elements.push({ keyword, ...attributeToWrite(name), value });
  }
  return elements.sort((a, b) => a.tag - b.tag);
}

function isItems(value: WrittenValue): value is Items {
  return typeof value === "object" && value !== null && "items" in value;
}

function header(out: Buffer, { keyword, tag, vr }: ElementToWrite, encoding: Encoding, length: number): void {
  putTag(out, tag);
  if (encoding === "explicit") {
    out.text(vr);
    if (!LONG_FORM.has(vr)) {
      if (length > MOST_SHORT_BYTES) throw new RangeError(`${keyword} has ${length} bytes, too many for explicit VR`);
      out.number(length, 2);
      return;
    }
    out.number(0, 2);
  }
  out.number(length, 4);
}

function putTag(out: Buffer, tag: number): void {
  out.number(tag >>> 16, 2);
  out.number(tag & 0xffff, 2);
}

function putElement(out: Buffer, element: Valued, encoding: Encoding): void {
  const { value } = element;
  if (isItems(value)) {
    const inner = createBuffer();
    for (const item of value.items) putItem(inner, item, encoding);
    const bytes = inner.take();
    header(out, element, encoding, bytes.length);
    out.bytes(bytes);
    return;
  }
  const bytes = valueBytes(element);
  header(out, element, encoding, bytes.length);
  out.bytes(bytes);
}

function putItem(out: Buffer, item: WrittenAttributes, encoding: Encoding): void {
  const bytes = encodeWhole(item, encoding);
  putTag(out, ITEM);
  out.number(bytes.length, 4);
  out.bytes(bytes);
}

/** A value's bytes, of even number. */
function valueBytes({ keyword, vr, value }: Valued): Uint8Array {
  if (value === null) return new Uint8Array(0);
  if (value instanceof Uint8Array) return padded(value, 0);
  const values = Array.isArray(value) ? value as readonly (string | number)[] : [value as string | number];
  const size = NUMBER_BYTES[vr];
  if (size) return numberBytes(values, vr, size);
  if (vr === "AT") return tagBytes(values);
  const text = values.map((one) => typeof one === "number" ? decimalText(one) : one).join("\\");
  if (vr === "UI" && !/^[0-9.\\]*$/.test(text)) throw new RangeError(`${keyword} is no UID: ${text}`);
  return padded(new TextEncoder().encode(text), vr === "UI" ? 0 : 0x20);
}

function padded(bytes: Uint8Array, filler: number): Uint8Array {
  if (bytes.length % 2 === 0) return bytes;
  const even = new Uint8Array(bytes.length + 1);
  even.set(bytes);
  even[bytes.length] = filler;
  return even;
}

function numberBytes(values: readonly (string | number)[], vr: string, size: 2 | 4 | 8): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * size));
  values.forEach((value, i) => {
    const number = Number(value);
    if (vr === "FD") view.setFloat64(8 * i, number, true);
    else if (vr === "FL") view.setFloat32(4 * i, number, true);
    else if (size === 2) view.setUint16(2 * i, number, true);
    else view.setUint32(4 * i, number, true);
  });
  return new Uint8Array(view.buffer);
}

/** Tags, named by keyword. */
function tagBytes(keywords: readonly (string | number)[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * keywords.length));
  keywords.forEach((keyword, i) => {
    const { tag } = attributeToWrite(keyword as Keyword);
    view.setUint16(4 * i, tag >>> 16, true);
    view.setUint16(4 * i + 2, tag & 0xffff, true);
  });
  return new Uint8Array(view.buffer);
}

interface Buffer {
  number(value: number, bytes: 2 | 4): void;
  /** Of ASCII characters. */
  text(value: string): void;
  bytes(value: Uint8Array): void;
  length(): number;
  /** What was put since the last one. */
  take(): Uint8Array<ArrayBuffer>;
}

/** Bytes that grow. */
function createBuffer(): Buffer {
  let data = new Uint8Array(256);
  let view = new DataView(data.buffer);
  let used = 0;
  const room = (count: number) => {
    if (used + count <= data.length) return;
    const larger = new Uint8Array(Math.max(2 * data.length, used + count));
    larger.set(data.subarray(0, used));
    data = larger;
    view = new DataView(data.buffer);
  };
  return {
    number(value, bytes) {
      room(bytes);
      if (bytes === 2) view.setUint16(used, value, true);
      else view.setUint32(used, value, true);
      used += bytes;
    },
    text(value) {
      room(value.length);
      for (let i = 0; i < value.length; i++) data[used++] = value.charCodeAt(i);
    },
    bytes(value) {
      room(value.length);
      data.set(value, used);
      used += value.length;
    },
    length: () => used,
    take() {
      const taken = data.slice(0, used);
      used = 0;
      return taken;
    },
  };
}
