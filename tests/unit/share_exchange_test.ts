/** How a batch is split, and how its shares' sums cross between threads; no engine involved. */
import { splitBatch } from "../../core/graph/batch_share.ts";
import {
  addInOrder,
  createShareMemory,
  failShares,
  joinShares,
  shareBytes,
  ShareFailed,
} from "../../core/train/parallel/share_exchange.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

/** Nothing else keeps the event loop alive while all shares wait in one thread. */
async function alive<T>(work: () => Promise<T>): Promise<T> {
  const timer = setInterval(() => {}, 1000);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

Deno.test("a batch is split as evenly as possible, the first shares having one sample more", () => {
  assertEquals(splitBatch(7, 3), [{ first: 0, batch: 3, of: 7 }, { first: 3, batch: 2, of: 7 }, {
    first: 5,
    batch: 2,
    of: 7,
  }]);
  assertEquals(splitBatch(2, 2).map(({ batch }) => batch), [1, 1]);
});

Deno.test("more shares than samples are refused", async () => {
  await assertFails(() => splitBatch(2, 3), RangeError, "2 samples among 3");
});

Deno.test("arrays are added in their order, whose rounding the sum has", () => {
  const arrays = [[1, 9], [2 ** 24, 9], [1, 9], [-(2 ** 24), 9]].map((values) => Float32Array.from(values));
  addInOrder(arrays, 0, 1);
  // ((1 + 2^24) + 1) - 2^24 in f32; any other order gives 1 or 2.
  assertEquals([...arrays[0]], [0, 9]);
});

Deno.test("every share hears the rows of all samples and the sum of all gradients, step by step", async () => {
  const [shares, of, steps] = [3, 4, 5];
  const needs = { rowFloats: 2, bucketFloats: [7, 1] };
  const memory = createShareMemory(needs, { shares, of });
  const shared = [memory.rows, ...memory.buckets, memory.squares].map(({ byteLength }) => byteLength);
  assertEquals(shareBytes(needs, { shares, of }), shared.reduce((a, b) => a + b));
  const heard = await alive(() =>
    Promise.all(
      splitBatch(of, shares).map(async ({ first, batch }, number) => {
        const exchange = joinShares(memory, number);
        const all: number[][] = [];
        for (let step = 0; step < steps; step++) {
          // The last share is the fastest.
          if (number < 2) await new Promise((resolve) => setTimeout(resolve, 2 - number));
          const own = Float32Array.from({ length: 2 * batch }, (_, i) => 100 * step + 2 * first + i);
          all.push([...await exchange.gather(own)]);
          for (const [bucket, floats] of needs.bucketFloats.entries()) {
            for (let i = 0; i < floats; i++) exchange.place(bucket)[i] = step + 10 ** number * i;
            const { values, squares } = await exchange.sum(bucket);
            all.push([...values], [squares]);
          }
        }
        return all;
      }),
    )
  );
  for (const one of heard) {
    for (let step = 0; step < steps; step++) {
      const [rows, first, squares, second, square] = one.slice(5 * step);
      assertEquals(rows, Array.from({ length: 2 * of }, (_, i) => 100 * step + i));
      assertEquals(first, Array.from({ length: 7 }, (_, i) => 3 * step + 111 * i));
      assertEquals(squares, [first.reduce((sum, value) => sum + value ** 2, 0)]);
      assertEquals([second, square], [[3 * step], [9 * step ** 2]]);
    }
  }
});

Deno.test("where a share fails the others stop waiting for it, now and later", async () => {
  const memory = createShareMemory({ rowFloats: 1, bucketFloats: [1] }, { shares: 2, of: 2 });
  const exchange = joinShares(memory, 0);
  await alive(async () => {
    const waiting = exchange.gather(new Float32Array(1));
    setTimeout(() => failShares(memory), 5);
    await assertFails(() => waiting, ShareFailed, "another of them failed");
    failShares(memory);
    await assertFails(() => exchange.sum(0), ShareFailed);
  });
  assert(new Int32Array(memory.control)[0] > 0);
});
