/** Unpacking deflate streams against zlib, of whole, cut and damaged ones. */
import zlib from "node:zlib";
import {
  createInflateLanes,
  DeflateError,
  type InflateLane,
  inflateRaw,
  type Inflation,
} from "../../core/formats/archive/inflate.ts";
import { assert, assertEquals } from "../assert.ts";

interface Unpacked {
  readonly bytes: Uint8Array;
  readonly taken: number;
}

function inflate(packed: Uint8Array, lane?: InflateLane): Inflation {
  let at = 0;
  return inflateRaw((into) => {
    const part = packed.subarray(at, at + into.length);
    into.set(part);
    at += part.length;
    return Promise.resolve(part.length);
  }, lane);
}

async function unpack(packed: Uint8Array): Promise<Unpacked> {
  const { pieces, taken } = inflate(packed);
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece.slice());
  return { bytes: concatenate(all), taken: taken() };
}

function concatenate(all: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0));
  let filled = 0;
  for (const piece of all) {
    bytes.set(piece, filled);
    filled += piece.length;
  }
  return bytes;
}

async function failure(packed: Uint8Array): Promise<"ends early" | "damaged" | Unpacked> {
  try {
    return await unpack(packed);
  } catch (error) {
    if (!(error instanceof DeflateError)) throw error;
    return error.endsEarly ? "ends early" : "damaged";
  }
}

function random(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

const KINDS: Readonly<Record<string, (i: number, next: () => number, all: Uint8Array) => number>> = {
  zeros: () => 0,
  noise: (_, next) => 256 * next(),
  "a few values": (i, next) => next() < 0.7 ? 4 * next() * (4 * next()) : i >> 3,
  "values of which each is half as frequent as another": (_, next) => -Math.log2(next()),
  "matches of every distance up to 40": (i, next, all) =>
    i < 40 || next() < 0.02 ? 256 * next() : all[i - 1 - Math.floor(40 * ((i >> 9) % 64) / 64)],
  "far matches": (i, next, all) => i < 33000 || next() < 0.05 ? 256 * next() : all[i - 32768 + ((i >> 5) % 300)],
  "float16 noise": (i, next) => i % 2 ? 56 + 4 * next() : 256 * next() * next(),
};

function make(kind: string, length: number): Uint8Array<ArrayBuffer> {
  const next = random(length + 1);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = KINDS[kind](i, next, bytes);
  return bytes;
}

Deno.test("what zlib packs at any level and by any strategy unpacks to what it was", async () => {
  const { Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED } = zlib.constants;
  for (const kind of Object.keys(KINDS)) {
    for (const length of [0, 1, 300, 66_000, 700_000]) {
      const bytes = make(kind, length);
      for (const [level, strategy] of [[0, 0], [1, 0], [6, 0], [9, 0], [6, Z_HUFFMAN_ONLY], [6, Z_RLE], [6, Z_FIXED]]) {
        const packed = zlib.deflateRawSync(bytes, { level, strategy: strategy || Z_DEFAULT_STRATEGY });
        const unpacked = await unpack(packed);
        const what = `${length} bytes, ${kind}, level ${level}, strategy ${strategy}`;
        assertEquals(unpacked.taken, packed.length, what);
        assert(zlib.crc32(unpacked.bytes) === zlib.crc32(bytes) && unpacked.bytes.length === length, what);
      }
    }
  }
});

Deno.test("what lies behind a stream is not taken", async () => {
  for (const length of [0, 500, 300_000]) {
    const bytes = make("a few values", length);
    const packed = zlib.deflateRawSync(bytes);
    for (const behind of [1, 40, 600, 300_000]) {
      const { taken, bytes: unpacked } = await unpack(Uint8Array.from([...packed, ...make("noise", behind)]));
      assertEquals([taken, unpacked.length], [packed.length, length]);
    }
  }
});

Deno.test("a stream that is cut anywhere ends early", async () => {
  for (const [kind, level] of [["a few values", 6], ["noise", 6], ["matches of every distance up to 40", 9]] as const) {
    const packed = zlib.deflateRawSync(make(kind, 700), { level });
    for (let length = 0; length < packed.length; length++) {
      assertEquals(await failure(packed.subarray(0, length)), "ends early", `${kind}, ${length} of ${packed.length}`);
    }
  }
  const long = zlib.deflateRawSync(make("float16 noise", 900_000));
  for (const share of [0.3, 0.6, 0.9]) {
    assertEquals(await failure(long.subarray(0, Math.floor(share * long.length))), "ends early");
  }
});

Deno.test("a damaged stream unpacks to what zlib makes of it, or is refused as zlib refuses it", async () => {
  const next = random(7);
  const found = { same: 0, damaged: 0, "ends early": 0 };
  const { Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_RLE } = zlib.constants;
  for (
    const [kind, strategy] of [
      ["a few values", Z_DEFAULT_STRATEGY],
      ["matches of every distance up to 40", Z_DEFAULT_STRATEGY],
      ["a few values", Z_RLE],
      ["float16 noise", Z_HUFFMAN_ONLY],
    ] as const
  ) {
    const packed = zlib.deflateRawSync(make(kind, 1200), { level: 9, strategy });
    for (let trial = 0; trial < 300; trial++) {
      const damaged = Uint8Array.from(packed);
      // A flipped bit in the header makes other codes.
      const place = damaged.length * next() ** (trial % 2 ? 1 : 3);
      damaged[Math.floor(place)] ^= 1 << Math.floor(8 * next());
      const ours = await failure(damaged);
      let theirs: Uint8Array | string;
      try {
        theirs = zlib.inflateRawSync(damaged);
      } catch (error) {
        theirs = (error as { code?: string }).code === "Z_BUF_ERROR" ? "ends early" : "damaged";
      }
      if (typeof ours === "string") assertEquals(ours, theirs, `${kind}, trial ${trial}`);
      else assertEquals(ours.bytes, new Uint8Array(theirs as Uint8Array), `${kind}, trial ${trial}`);
      found[typeof ours === "string" ? ours : "same"]++;
    }
  }
  assert(Math.min(...Object.values(found)) > 4, JSON.stringify(found));
});

/** Reads both streams piece by piece, the second one `step` times as often; what each is, or what is wrong with it. */
async function unpackBoth(packed: readonly [Uint8Array, Uint8Array], step: number): Promise<(Unpacked | string)[]> {
  const lanes = createInflateLanes();
  const streams = packed.map((one, i) => ({ inflation: inflate(one, lanes[i]), all: [] as Uint8Array[] }));
  const results: (Unpacked | string | undefined)[] = [undefined, undefined];
  for (let turn = 0; results.includes(undefined); turn++) {
    for (const [i, { inflation, all }] of streams.entries()) {
      for (let times = i === 1 ? step : 1; times > 0 && results[i] === undefined; times--) {
        try {
          const next = await inflation.pieces.next();
          if (next.done) results[i] = { bytes: concatenate(all), taken: inflation.taken() };
          else all.push(next.value.slice());
        } catch (error) {
          if (!(error instanceof DeflateError)) throw error;
          results[i] = error.message;
        }
      }
    }
  }
  return results.map((result) => result ?? "");
}

Deno.test("two streams side by side are unpacked as each is alone, whatever the other holds and however it is read", async () => {
  const made = Object.keys(KINDS).flatMap((kind) =>
    [900_000, 130_000].map((length) => zlib.deflateRawSync(make(kind, length), { level: kind === "noise" ? 0 : 6 }))
  );
  const alone = await Promise.all(made.map(unpack));
  const crcOf = (result: Unpacked | string) =>
    typeof result === "string" ? result : `${zlib.crc32(result.bytes)} of ${result.taken}`;
  for (let i = 0; i < made.length; i++) {
    const other = (5 * i + 3) % made.length;
    for (const step of [1, 3]) {
      const both = await unpackBoth([made[i], made[other]], step);
      assertEquals(both.map(crcOf), [i, other].map((one) => crcOf(alone[one])), `${i} beside ${other}, ${step} times`);
    }
  }
});

Deno.test("a stream beside a damaged, a cut or an abandoned one is unpacked nevertheless", async () => {
  const packed = zlib.deflateRawSync(make("float16 noise", 900_000));
  const whole = await unpack(packed);
  const damaged = Uint8Array.from(packed);
  damaged.fill(0xff, damaged.length >> 1);
  for (const [other, problem] of [[damaged, "can't be unpacked"], [packed.subarray(0, -9), "end too early"]] as const) {
    const results = await unpackBoth([other, packed], 1);
    assert(typeof results[0] === "string" && results[0].includes(problem), String(results[0]));
    assertEquals(results[1], whole);
  }
  const lanes = createInflateLanes();
  const abandoned = inflate(packed, lanes[0]).pieces;
  const { pieces } = inflate(packed, lanes[1]);
  await abandoned.next();
  const all = [(await pieces.next()).value?.slice() ?? new Uint8Array(0)];
  await abandoned.return();
  for await (const piece of pieces) all.push(piece.slice());
  assertEquals(concatenate(all), whole.bytes);
});
