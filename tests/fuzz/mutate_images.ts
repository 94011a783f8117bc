/** Mutations of NIfTI and PNG files: fields set to extreme values, packed anew, checksums put right. */
import { crc32, deflateSync, gunzipSync, gzipSync, inflateSync } from "node:zlib";
import { concat, EXTREMES, mutateBytes, putExtreme } from "./mutate_bytes.ts";
import type { Random } from "./random.ts";

/** Offset and bytes of the fields of a NIfTI-1 header that are read; dim, pixdim, quaternion and srow one by one. */
const FIELDS: readonly (readonly [offset: number, width: number])[] = [
  ...[
    [0, 4],
    [68, 2],
    [70, 2],
    [72, 2],
    [108, 4],
    [112, 4],
    [116, 4],
    [123, 1],
    [252, 2],
    [254, 2],
    [344, 4],
    [348, 4],
    [352, 4],
  ],
  ...Array.from({ length: 8 }, (_, i) => [40 + 2 * i, 2]),
  ...Array.from({ length: 8 }, (_, i) => [76 + 4 * i, 4]),
  ...Array.from({ length: 18 }, (_, i) => [256 + 4 * i, 4]),
].map(([offset, width]) => [offset, width]);

/** A changed NIfTI file. @param packed It is to be, and to stay, gzip */
export function mutateNifti(bytes: Uint8Array, random: Random, packed: boolean): Uint8Array {
  if (packed && random.chance(0.15)) return mutateBytes(bytes, random);
  const unpacked = packed ? gunzipOrUndefined(bytes) : bytes;
  if (!unpacked || unpacked.length < 348) return mutateBytes(bytes, random);
  let plain = Uint8Array.from(unpacked);
  for (let left = 1 + random.int(3); left > 0; left--) {
    const [offset, width] = random.pick(FIELDS);
    // Small sizes as well, which the file can hold.
    if (width === 2 && random.chance(0.3)) plain[offset] = random.int(9);
    else putExtreme(plain, offset, random, width);
  }
  if (random.chance(0.3)) plain = Uint8Array.from(mutateBytes(plain, random));
  if (!packed) return plain;
  if (random.chance(0.05)) return plain;
  const half = random.int(plain.length);
  const members = random.chance(0.1) ? [plain.subarray(0, half), plain.subarray(half)] : [plain];
  const garbage = random.chance(0.05) ? [new Uint8Array(random.int(50)).fill(random.int(256))] : [];
  return concat([...members.map((member) => gzipSync(member, { level: 1 })), ...garbage]);
}

/** Some seeds are damaged on purpose. */
function gunzipOrUndefined(bytes: Uint8Array): Uint8Array | undefined {
  try {
    return gunzipSync(bytes);
  } catch {
    return undefined;
  }
}

const TEXT_VALUES = [
  "",
  "0",
  "-1",
  "1",
  "2",
  "3",
  "4",
  "17",
  "2147483648",
  "99999999999",
  "1e300",
  "nan",
  "inf",
  "none",
  "()",
  "../x",
];

/** A changed file whose header is lines of text (NRRD, MetaImage), with data behind it or in files of its own. */
export function mutateTextHeader(bytes: Uint8Array, random: Random, other: Uint8Array): Uint8Array {
  if (random.chance(0.15)) return mutateBytes(bytes, random, other);
  const [lines, data] = splitHeader(bytes);
  const [others] = splitHeader(other);
  for (let left = 1 + random.int(3); left > 0; left--) {
    const at = random.int(lines.length);
    const kind = random.int(10);
    if (kind === 0) lines.splice(at, 1);
    else if (kind === 1) lines.splice(random.int(lines.length), 0, lines[at]);
    else if (kind === 2) lines.splice(at, 1, random.pick(others));
    else if (kind === 3) lines.splice(random.int(lines.length), 0, ...lines.splice(at, 1));
    else if (kind === 4) {
      lines[at] = String(lines[at]).replace(/[:=] .*/, (text) => text.slice(0, 2) + random.pick(TEXT_VALUES));
    } else {
      // One of its numbers or words.
      const words = [...lines[at].matchAll(/[^ ,()=:]+/g)];
      if (words.length === 0) continue;
      const { 0: word, index } = random.pick(words);
      lines[at] = lines[at].slice(0, index) + random.pick(TEXT_VALUES) + lines[at].slice(index + word.length);
    }
    if (lines.length === 0) break;
  }
  const body = random.chance(0.2) ? mutateBytes(data, random) : data;
  return concat([new TextEncoder().encode(lines.join("\n") + "\n"), body]);
}

/** Lines to the empty one or to MetaImage's last field, and what is behind them. */
function splitHeader(bytes: Uint8Array): [string[], Uint8Array] {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 1 << 16));
  const match = /\n\r?\n|ElementDataFile *= *[^\n]*\n/.exec(text);
  const end = match ? match.index + match[0].length : bytes.length;
  return [text.slice(0, end).replace(/\n$/, "").split("\n"), bytes.subarray(end)];
}

interface Chunk {
  readonly kind: string;
  readonly data: Uint8Array;
}

/** A changed PNG file whose checksums are right, mostly. */
export function mutatePng(bytes: Uint8Array, random: Random): Uint8Array {
  if (random.chance(0.1)) return mutateBytes(bytes, random);
  const chunks = chunksOf(bytes);
  for (let left = 1 + random.int(2); left > 0; left--) {
    const at = random.int(chunks.length);
    const { kind, data } = chunks[at];
    switch (random.int(7)) {
      case 0:
        chunks.splice(at, 1);
        if (chunks.length === 0) return bytes.slice(0, 8);
        break;
      case 1:
        chunks.splice(random.int(chunks.length), 0, chunks[at]);
        break;
      case 2:
        chunks[at] = {
          kind: random.pick(["IHDR", "PLTE", "tRNS", "IDAT", "IEND", "gAMA", "iCCP", "acTL", "abcd"]),
          data,
        };
        break;
      case 3:
        chunks[at] = { kind, data: kind === "IDAT" ? repacked(data, random) : mutateBytes(data, random) };
        break;
      default: {
        const head = chunks.findIndex((chunk) => chunk.kind === "IHDR");
        if (head >= 0) chunks[head] = { kind: "IHDR", data: mutateHeader(chunks[head].data, random) };
      }
    }
  }
  return concat([bytes.subarray(0, 8), ...chunks.map(chunkBytes)]);
}

function mutateHeader(header: Uint8Array, random: Random): Uint8Array {
  const data = header.slice();
  if (data.length < 13) return data;
  const at = random.int(7);
  if (at >= 2) data[6 + at] = random.pick([0, 1, 2, 3, 4, 6, 8, 16, 255]);
  else new DataView(data.buffer).setUint32(4 * at, Math.abs(Math.trunc(random.pick(EXTREMES))) % 2 ** 32);
  return data;
}

/** Other or more pixels. */
function repacked(data: Uint8Array, random: Random): Uint8Array {
  try {
    const pixels = inflateSync(data);
    return deflateSync(random.chance(0.2) ? concat([pixels, new Uint8Array(5_000_000)]) : mutateBytes(pixels, random));
  } catch {
    return mutateBytes(data, random); // a part of several
  }
}

function chunksOf(bytes: Uint8Array): Chunk[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks: Chunk[] = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const kind = new TextDecoder().decode(bytes.subarray(at + 4, at + 8));
    chunks.push({ kind, data: bytes.slice(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  return chunks;
}

function chunkBytes({ kind, data }: Chunk): Uint8Array {
  const body = concat([new TextEncoder().encode(kind), data]);
  const frame = new Uint8Array(8);
  new DataView(frame.buffer).setUint32(0, data.length);
  new DataView(frame.buffer).setUint32(4, crc32(body));
  return concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}
