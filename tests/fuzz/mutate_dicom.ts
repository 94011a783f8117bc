/** Mutations of DICOM files: elements with extreme lengths, other representations, other values, in another's place. */
import { type Elements, parseObject } from "../../core/formats/dicom/parser.ts";
import { mutateBytes, putExtreme } from "./mutate_bytes.ts";
import type { Random } from "./random.ts";

/** Where a value begins and how long it is. */
interface Value {
  readonly at: number;
  readonly length: number;
}

/** Texts that stand for numbers, and what is none. */
const TEXTS = [
  "0",
  "-1",
  "1e9",
  "1e308",
  "NaN",
  "",
  "0\\0\\0",
  "1\\0\\0\\0\\1\\0",
  "99999999",
  "\\\\\\",
  "1.2.840.10008.1.2.4.90",
];
const REPRESENTATIONS = ["SQ", "UN", "OB", "OW", "US", "DS", "IS", "UI", "LO", "OV", "AT", "FD", "??"];

export function mutateDicom(bytes: Uint8Array, random: Random, other: Uint8Array): Uint8Array {
  const values = valuesOf(parseObject(bytes, undefined, (all) => all).elements, 0);
  if (values.length === 0 || random.chance(0.2)) return mutateBytes(bytes, random, other);
  const changed = bytes.slice();
  for (let left = 1 + random.int(3); left > 0; left--) changeValue(changed, random.pick(values), random, values);
  return random.chance(0.2) ? mutateBytes(changed, random, other) : changed;
}

function changeValue(bytes: Uint8Array, { at, length }: Value, random: Random, values: readonly Value[]): void {
  switch (random.int(6)) {
    case 0:
      putExtreme(bytes, at - random.pick([2, 4]), random, random.pick([2, 4]));
      break;
    case 1:
      bytes.set(
        new TextEncoder().encode(random.pick(REPRESENTATIONS)),
        Math.min(at - random.pick([4, 8]), bytes.length - 2),
      );
      break;
    case 2:
      putExtreme(bytes, at, random, random.pick([1, 2, 4]));
      break;
    case 3: { // the tag and what follows it of another element
      const from = random.pick(values).at - 8;
      bytes.copyWithin(at - 8, from, from + 8);
      break;
    }
    case 4: {
      const from = random.pick(values).at;
      bytes.copyWithin(at, from, from + Math.min(length, bytes.length - at));
      break;
    }
    default: {
      const text = random.pick(TEXTS).padEnd(length, " ").slice(0, length);
      if (at + text.length <= bytes.length) bytes.set(new TextEncoder().encode(text), at);
    }
  }
}

function valuesOf(elements: Elements, depth: number): Value[] {
  return [...elements.values()].flatMap(({ offset, length = 0, items = [] }) => [
    ...(offset >= 8 ? [{ at: offset, length: Math.min(length, 64) }] : []),
    ...(depth < 3 ? items.flatMap((item) => valuesOf(item, depth + 1)) : []),
  ]);
}
