/** Mutations of zip files (.pth, .npz): what lies in them changed with its checksum put right, or the list of contents made to lie. */
import { crc32, deflateRawSync } from "node:zlib";
import { openZip } from "../../core/formats/archive/zip.ts";
import { type WrittenEntry, zipDirectory } from "../../core/formats/archive/zip_directory.ts";
import { concat, EXTREMES, mutateBytes } from "./mutate_bytes.ts";
import { mutatePickle } from "./mutate_pickle.ts";
import type { Random } from "./random.ts";

interface Member {
  readonly name: string;
  readonly data: Uint8Array;
}

/** The members of a zip file that is whole. */
export function zipMembers(bytes: Uint8Array): Member[] {
  const file = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(file, bytes);
    using zip = openZip(file, "reading a seed", { kind: "zip file", remedy: "make it again" });
    return Array.from(zip.entries.values(), (entry) => ({ name: entry.name, data: zip.read(entry) }));
  } finally {
    Deno.removeSync(file);
  }
}

/** A zip file of changed members. */
export function mutateZip(members: readonly Member[], random: Random, others: readonly Member[] = members): Uint8Array {
  const changed = [...members];
  if (changed.length > 0 && random.chance(0.85)) {
    // Small members are what structure lies in: pickles, headers.
    const small = changed.map((_, i) => i).filter((i) => /\.(pkl|npy)$/.test(changed[i].name));
    const at = small.length > 0 && random.chance(0.8) ? random.pick(small) : random.int(changed.length);
    changed[at] = { name: changed[at].name, data: mutateMember(changed[at], random, random.pick(others).data) };
  }
  if (random.chance(0.1)) changed.splice(random.int(changed.length), 1);
  if (random.chance(0.05) && changed.length > 0) changed.push(random.pick(changed));
  const bytes = writeZip(changed, random);
  return random.chance(0.1) ? mutateBytes(bytes, random) : bytes;
}

function mutateMember({ name, data }: Member, random: Random, other: Uint8Array): Uint8Array {
  if (name.endsWith(".pkl")) return mutatePickle(data, random);
  return name.endsWith(".npy") ? mutateNpy(data, random) : mutateBytes(data, random, other);
}

/** Another type, shape or order in the header of an .npy file, or other bytes. */
export function mutateNpy(bytes: Uint8Array, random: Random): Uint8Array {
  if (random.chance(0.3) || bytes.length < 12) return mutateBytes(bytes, random);
  const length = bytes[8] + 256 * bytes[9];
  const number = () => String(random.pick([...EXTREMES, 3, 4, 5]));
  const text = new TextDecoder().decode(bytes.subarray(10, 10 + length))
    .replace(/'shape': \([^)]*\)/, (shape) => {
      if (random.chance(0.4)) return shape;
      return random.chance(0.5)
        ? `'shape': (${Array.from({ length: random.int(6) }, number).join(", ")})`
        : shape.replace(/[0-9]+/, number);
    })
    .replace(/'descr': '[^']*'/, (type) => {
      const types = [
        "<f2",
        "<f4",
        "<f8",
        ">f4",
        "|i1",
        "|u1",
        "<i2",
        "<i8",
        "|b1",
        "<U4",
        "|O",
        "<c8",
        "toString",
        "<f0",
        "<f999",
      ];
      return random.chance(0.5) ? type : `'descr': '${random.pick(types)}'`;
    })
    .replace("False", () => random.chance(0.1) ? "True" : "False");
  const head = new TextEncoder().encode(text);
  const start = bytes.slice(0, 10);
  new DataView(start.buffer).setUint16(8, random.chance(0.9) ? head.length : random.int(70000), true);
  return concat([start, head, bytes.subarray(10 + length)]);
}

/** Writes members, stored or deflated; one in six lists of contents lies. */
function writeZip(members: readonly Member[], random: Random): Uint8Array {
  const parts: Uint8Array[] = [];
  const entries: WrittenEntry[] = [];
  const deflate = random.chance(0.3);
  let offset = 0;
  for (const { name, data } of members) {
    const packed = deflate ? deflateRawSync(data) : data;
    const nameBytes = new TextEncoder().encode(name);
    const head = new Uint8Array(30 + nameBytes.length);
    const view = new DataView(head.buffer);
    view.setUint32(0, 0x04034b50, true);
    view.setUint16(26, nameBytes.length, true);
    head.set(nameBytes, 30);
    const end = offset + head.length + packed.length;
    const method = deflate ? 8 : 0;
    entries.push({ name, method, checksum: crc32(data), size: data.length, packed: packed.length, offset, end });
    parts.push(head, packed);
    offset = end;
  }
  const listed = random.chance(1 / 6) ? entries.map((entry) => lie(entry, entries, random)) : entries;
  return concat([...parts, zipDirectory(listed, offset)]);
}

function lie(entry: WrittenEntry, entries: readonly WrittenEntry[], random: Random): WrittenEntry {
  const number = () => Math.abs(Math.trunc(random.pick(EXTREMES.filter((n) => Math.abs(n) < 2 ** 53))));
  switch (random.int(8)) {
    case 0:
      return { ...entry, size: number() };
    case 1:
      return { ...entry, packed: number() };
    case 2:
      return { ...entry, offset: number() };
    case 3:
      return { ...entry, offset: random.pick(entries).offset };
    case 4:
      return { ...entry, method: entry.method === 0 ? 8 : 0 };
    case 5:
      return { ...entry, checksum: random.int(2 ** 32) };
    case 6:
      return { ...entry, name: random.pick(["", "../x", "x".repeat(1000), random.pick(entries).name]) };
    default:
      return entry;
  }
}
