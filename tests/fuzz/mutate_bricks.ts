/** Mutations of files of bricks behind their checksums: another header, other voxels, other class locations. One brick a file. */
import { crc32 } from "node:zlib";
import { concat, mutateBytes, putExtreme } from "./mutate_bytes.ts";
import { mutateJson } from "./mutate_json.ts";
import type { Random } from "./random.ts";

/** A changed copy of a whole file with one brick. */
export function mutateBricks(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes.length < 64 || random.chance(0.15)) return mutateBytes(bytes, random);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(8, true);
  const text = new TextDecoder().decode(bytes.subarray(16, 16 + length));
  const rest = bytes.slice(16 + length);
  if (random.chance(0.3)) {
    damageBehind(rest, JSON.parse(text).classLocations.map(({ count }: { count: number }) => count), random);
    return concat([bytes.subarray(0, 16 + length), rest]);
  }
  const header = new TextEncoder().encode(mutateJson(text, random));
  const start = bytes.slice(0, 16);
  new DataView(start.buffer).setUint32(8, random.chance(0.95) ? header.length : random.int(2 ** 32), true);
  new DataView(start.buffer).setUint32(12, crc32(header), true);
  return concat([start, header, rest]);
}

/** Changes the brick or the class locations, and the table of checksums with them. */
function damageBehind(rest: Uint8Array, counts: readonly number[], random: Random): void {
  const arrays = counts.reduce((sum, count) => sum + 4 * count, 0);
  const tableAt = rest.length - 4 * (1 + counts.length + 1);
  const brickBytes = tableAt - arrays;
  for (let left = 1 + random.int(4); left > 0; left--) {
    // Class locations are few; else nearly all changes would be voxels.
    const at = random.chance(0.6) ? brickBytes + random.int(arrays + 1) : random.int(tableAt);
    putExtreme(rest, Math.min(at, tableAt - 8), random);
  }
  const table = new DataView(rest.buffer, rest.byteOffset + tableAt);
  let [offset, index] = [0, 0];
  for (const size of [brickBytes, ...counts.map((count) => 4 * count)]) {
    table.setUint32(4 * index++, crc32(rest.subarray(offset, offset + size)), true);
    offset += size;
  }
  table.setUint32(4 * index, crc32(rest.subarray(tableAt, rest.length - 4)), true);
}
