/** The WebAssembly pieces of ensembles against plain JavaScript. */
import { BLOCK, type BlockMerge, createBlockMerge } from "../../core/ensemble/block_merge.ts";
import { assertEquals } from "../assert.ts";

/** Numbers as bits, so that -0 is not 0; what is no number is told apart from numbers alone. */
function bits(numbers: Float32Array): Uint32Array {
  const all = new Uint32Array(numbers.slice().buffer);
  numbers.forEach((number, i) => {
    if (Number.isNaN(number)) all[i] = 0x7fc00000;
  });
  return all;
}

function fill(merge: BlockMerge, dtype: string, file: number, numbers: Float16Array | Float32Array | Float64Array) {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  merge.numbersOf(dtype, numbers.length, file).set(bytes);
  merge.add(dtype, numbers.length, file);
}

/** Of 0 to 1, many of them equal, some at 1/2. */
function probabilities(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 28) / 16 + (state & 0x10000 ? (state >>> 8) * 2 ** -30 : 0);
  });
}

Deno.test("all 65536 float16 numbers become float32, and are added as such", () => {
  const merge = createBlockMerge();
  for (let from = 0; from < 1 << 16; from += BLOCK) {
    const halves = new Float16Array(Uint16Array.from({ length: BLOCK }, (_, i) => from + i).buffer);
    fill(merge, "<f2", 0, halves);
    assertEquals(bits(merge.means), bits(Float32Array.from(halves)));
    fill(merge, "<f4", 0, new Float32Array(BLOCK).fill(0.1));
    fill(merge, "<f2", 1, halves);
    assertEquals(bits(merge.means), bits(Float32Array.from(halves, (half) => Math.fround(0.1) + half)));
  }
});

Deno.test("sums of float16, float32 and float64 numbers are rounded one after the other, and so is what they are divided to", () => {
  const merge = createBlockMerge();
  for (const count of [1, 15, 16, 1003, BLOCK]) {
    const [a, b, c] = [1, 2, 3].map((seed) => probabilities(count, seed));
    const halves = Float16Array.from(b);
    const doubles = Float64Array.from(c, (number) => number / 3);
    const files = [["<f4", a], ["<f2", halves], ["<f8", doubles]] as const;
    for (const first of [0, 1, 2]) {
      const order = [0, 1, 2].map((i) => files[(first + i) % 3]);
      order.forEach(([dtype, numbers], file) => fill(merge, dtype, file, numbers));
      merge.divide(count, 3);
      const expected = Float32Array.from(order[0][1]);
      for (const [, numbers] of order.slice(1)) expected.forEach((sum, i) => expected[i] = sum + numbers[i]);
      expected.forEach((sum, i) => expected[i] = sum / 3);
      assertEquals(bits(merge.means.subarray(0, count)), bits(expected), `${count} from file ${first} on`);
    }
  }
});

Deno.test("a label is written where a mean is above the best or 1/2, not where it is equal, in one byte and in two", () => {
  const merge = createBlockMerge();
  for (const bytes of [1, 2] as const) {
    const label = bytes === 1 ? 255 : 300;
    for (const count of [1, 9, 1003, BLOCK]) {
      const [means, best] = [4, 5].map((seed) => probabilities(count, seed));
      for (const kind of ["raise", "overwrite"] as const) {
        merge.means.fill(9); // what lies behind a block counts for nothing
        merge.means.set(means);
        merge.best.set(best);
        merge.labels[bytes].fill(7);
        const above = Array.from(means, (mean, i) => mean > (kind === "raise" ? best[i] : 0.5));
        const { changed, noNumber } = merge[kind](bytes, count, label);
        assertEquals([changed, noNumber], [above.includes(true), false]);
        assertEquals([...merge.labels[bytes].subarray(0, count)], above.map((one) => one ? label : 7));
        const higher = kind === "raise" ? best.map((one, i) => Math.max(one, means[i])) : best;
        assertEquals(bits(merge.best.subarray(0, count)), bits(higher));
      }
    }
  }
});

Deno.test("a mean that is no number is noticed at every place of a block, and labels nothing", () => {
  const merge = createBlockMerge();
  for (const bytes of [1, 2] as const) {
    for (const kind of ["raise", "overwrite"] as const) {
      for (let at = 0; at < 33; at++) {
        merge.means.fill(0).fill(NaN, at, at + 1);
        merge.best.fill(0.5);
        merge.labels[bytes].fill(7);
        assertEquals(merge[kind](bytes, 33, 1), { changed: false, noNumber: true });
        assertEquals(merge[kind](bytes, at || 1, 1), { changed: false, noNumber: at === 0 });
      }
    }
  }
});
