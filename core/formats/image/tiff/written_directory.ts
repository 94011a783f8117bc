/** Header and directories of TIFF files that are written: little-endian, classic or BigTIFF. Source: TIFF 6.0, section 2. */

/** A page of grey values. */
export interface WrittenPage {
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  readonly compression: number;
  /** Of a strip. */
  readonly rows: number;
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
  /** ASCII; null: none. */
  readonly description: string | null;
}

/** @param first Where the first directory is */
export function headerBytes(big: boolean, first: number): Uint8Array {
  const bytes = new Uint8Array(big ? 16 : 8);
  const view = new DataView(bytes.buffer);
  bytes.set([0x49, 0x49, big ? 43 : 42]);
  if (big) view.setUint16(4, 8, true);
  putOffset(view, big, big ? 8 : 4, first);
  return bytes;
}

const ASCII = 2;
const SHORT = 3;
const LONG = 4;
const RATIONAL = 5;
const LONG8 = 16;
const BYTES: Readonly<Record<number, number>> = { [ASCII]: 1, [SHORT]: 2, [LONG]: 4, [RATIONAL]: 8, [LONG8]: 8 };

interface WrittenField {
  readonly code: number;
  readonly type: number;
  /** Of a rational the numerators; the denominators are 1. */
  readonly values: readonly number[];
}

function fieldsOf(page: WrittenPage, big: boolean): readonly WrittenField[] {
  const place = big ? LONG8 : LONG;
  const ascii = (code: number, text: string) => ({
    code,
    type: ASCII,
    values: [...new TextEncoder().encode(text), 0],
  });
  return [
    { code: 256, type: LONG, values: [page.width] },
    { code: 257, type: LONG, values: [page.height] },
    { code: 258, type: SHORT, values: [page.bits] },
    { code: 259, type: SHORT, values: [page.compression] },
    { code: 262, type: SHORT, values: [1] }, // black is 0
    ...(page.description === null ? [] : [ascii(270, page.description)]),
    { code: 273, type: place, values: page.offsets },
    { code: 277, type: SHORT, values: [1] },
    { code: 278, type: LONG, values: [page.rows] },
    { code: 279, type: place, values: page.sizes },
    { code: 282, type: RATIONAL, values: [1] },
    { code: 283, type: RATIONAL, values: [1] },
    { code: 296, type: SHORT, values: [1] }, // no unit
    ascii(305, "nnunet"),
    { code: 339, type: SHORT, values: [1] }, // without sign
  ];
}

/** A page's directory with the values that do not fit into it. @param at Where it is; even @param last There is no further page */
export function directoryBytes(big: boolean, at: number, page: WrittenPage, last: boolean): Uint8Array {
  const fields = fieldsOf(page, big);
  const offsetBytes = big ? 8 : 4;
  const [countBytes, fieldBytes] = big ? [8, 20] : [2, 12];
  let end = countBytes + fields.length * fieldBytes + offsetBytes;
  const places = fields.map(({ type, values }, i) => {
    const size = BYTES[type] * values.length;
    if (size <= offsetBytes) return countBytes + i * fieldBytes + 4 + offsetBytes;
    const place = end;
    end += size + size % 2;
    return place;
  });
  const bytes = new Uint8Array(end);
  const view = new DataView(bytes.buffer);
  if (big) view.setBigUint64(0, BigInt(fields.length), true);
  else view.setUint16(0, fields.length, true);
  fields.forEach(({ code, type, values }, i) => {
    const entry = countBytes + i * fieldBytes;
    view.setUint16(entry, code, true);
    view.setUint16(entry + 2, type, true);
    putOffset(view, big, entry + 4, values.length);
    if (places[i] !== entry + 4 + offsetBytes) putOffset(view, big, entry + 4 + offsetBytes, at + places[i]);
    values.forEach((value, k) => putValue(view, places[i] + k * BYTES[type], type, value));
  });
  if (!last) putOffset(view, big, countBytes + fields.length * fieldBytes, at + end);
  return bytes;
}

function putValue(view: DataView, at: number, type: number, value: number): void {
  if (type === ASCII) view.setUint8(at, value);
  else if (type === SHORT) view.setUint16(at, value, true);
  else if (type === LONG) view.setUint32(at, value, true);
  else if (type === LONG8) view.setBigUint64(at, BigInt(value), true);
  else {
    view.setUint32(at, value, true);
    view.setUint32(at + 4, 1, true);
  }
}

function putOffset(view: DataView, big: boolean, at: number, value: number): void {
  if (big) view.setBigUint64(at, BigInt(value), true);
  else view.setUint32(at, value, true);
}
