/** Mutations of .b2nd files where their numbers are: the frame's header, a chunk's, the places of its blocks, the index of the chunks. */
import { EXTREMES, mutateBytes, putExtreme } from "./mutate_bytes.ts";
import type { Random } from "./random.ts";

const CHUNK_HEADER = 32;

/** A changed copy. @param other A file of the same kind, to take parts of */
export function mutateB2nd(bytes: Uint8Array, random: Random, other: Uint8Array): Uint8Array {
  if (bytes.length < 200 || random.chance(0.2)) return mutateBytes(bytes, random, other);
  const result = bytes.slice();
  const view = new DataView(result.buffer);
  const header = Math.min(view.getInt32(11) >>> 0, bytes.length - CHUNK_HEADER);
  const index = Math.min(header + Number(view.getBigInt64(39) & 0xffffffn), bytes.length - CHUNK_HEADER);
  for (let left = 1 + random.int(random.pick([1, 1, 2, 4])); left > 0; left--) {
    const [from, length] = random.pick([[0, header], [header, 96], [header, index - header], [
      index,
      CHUNK_HEADER + 40,
    ]]);
    const at = Math.min(from + random.int(Math.max(1, length)), bytes.length - 8);
    const kind = random.int(4);
    if (kind === 0) result[at] ^= 1 << random.int(8);
    else if (kind === 1) result[at] = random.int(256);
    // The frame's header is the one part with the high byte first.
    else if (kind === 2 && from === 0) view.setInt32(at, random.pick(EXTREMES) | 0);
    else putExtreme(result, at, random);
  }
  return result;
}
