/** Mutations of TIFF files: fields of the directories set to extreme or to each other's values, and what the bytes between give. */
import { mutateBytes, putExtreme } from "./mutate_bytes.ts";
import type { Random } from "./random.ts";

/** A field of a directory: where it is, and the widths of its parts. */
interface Entry {
  readonly at: number;
  readonly wide: boolean;
}

/** Values that fields of a page may have. */
const SMALL = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 31, 32, 64, 128, 32773, 32946, 50000, 65535];
/** Fields that are read, to put in the place of others. */
const CODES = [
  254,
  256,
  257,
  258,
  259,
  262,
  266,
  270,
  273,
  277,
  278,
  279,
  284,
  317,
  322,
  323,
  324,
  325,
  330,
  338,
  339,
  32997,
  32998,
];

export function mutateTiff(bytes: Uint8Array, random: Random, other: Uint8Array): Uint8Array {
  const little = bytes[0] === 0x49;
  const entries = entriesOf(bytes, little);
  if (entries.length === 0 || random.chance(0.2)) return mutateBytes(bytes, random, other);
  const changed = bytes.slice();
  const view = new DataView(changed.buffer);
  for (let left = 1 + random.int(3); left > 0; left--) {
    const { at, wide } = random.pick(entries);
    const value = at + (wide ? 12 : 8);
    switch (random.int(8)) {
      case 0:
        view.setUint16(at, random.pick(CODES), little);
        break;
      case 1:
        view.setUint16(at + 2, random.int(19), little);
        break;
      case 2:
        putExtreme(changed, at + 4, random, wide ? 8 : 4);
        break;
      case 3:
        putExtreme(changed, value, random, wide ? 8 : 4);
        break;
      case 4:
        view.setUint32(value, random.int(bytes.length + 4), little);
        break;
      default:
        view.setUint16(value, random.pick(SMALL), little);
    }
  }
  return random.chance(0.2) ? mutateBytes(changed, random, other) : changed;
}

/** The fields of the first few directories. */
function entriesOf(bytes: Uint8Array, little: boolean): Entry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Entry[] = [];
  if (bytes.length < 16) return entries;
  const wide = view.getUint16(2, little) === 43;
  const offset = (at: number) =>
    at + 8 > bytes.length ? 0 : wide ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little);
  let at = offset(wide ? 8 : 4);
  for (let page = 0; page < 4 && at > 0 && at + 8 <= bytes.length; page++) {
    const count = Math.min(64, wide ? offset(at) : view.getUint16(at, little));
    const first = at + (wide ? 8 : 2);
    const size = wide ? 20 : 12;
    for (let i = 0; i < count && first + (i + 1) * size <= bytes.length; i++) {
      entries.push({ at: first + i * size, wide });
    }
    at = offset(first + count * size);
  }
  return entries;
}
