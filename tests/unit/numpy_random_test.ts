/** numpy's legacy stream against numbers that numpy gave: RandomState(1234) of numpy 2.4. */
import { createRandomState } from "../../core/base/numpy_random.ts";
import { assertEquals } from "../assert.ts";

Deno.test("choice with replacement draws numpy's numbers", () => {
  const random = createRandomState(1234);
  const drawn = Array.from({ length: 10 }, () => random.randint(100));
  assertEquals(drawn, [47, 83, 38, 53, 76, 24, 15, 49, 23, 26]);
});

Deno.test("a permutation begins with numpy's choice without replacement", () => {
  const first = Array.from(createRandomState(1234).permutation(100).subarray(0, 10));
  assertEquals(first, [40, 35, 81, 61, 98, 68, 85, 27, 39, 42]);
});

Deno.test("counted draws are the draws, and the stream goes on behind them", () => {
  for (const [size, draws] of [[1, 5], [2, 623], [3, 624], [100, 10], [1000, 5000], [4096, 1249]]) {
    const [counted, drawn] = [createRandomState(7), createRandomState(7)];
    const counts = new Uint32Array(size);
    counted.countDraws(counts, 3);
    counted.countDraws(counts, draws);
    const expected = new Uint32Array(size);
    for (let i = 0; i < 3 + draws; i++) expected[drawn.randint(size)]++;
    assertEquals(counts, expected, `${draws} draws of ${size}`);
    assertEquals(counted.nextUint32(), drawn.nextUint32(), `the word after ${draws} draws of ${size}`);
  }
});
