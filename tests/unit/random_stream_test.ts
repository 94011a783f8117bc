/** Counter-based random numbers: the published test vectors, and that a stream is its name. */
import { createRandomStream, philox, type RandomStream } from "../../core/base/random_stream.ts";
import { assert, assertEquals } from "../assert.ts";

const KEY = { seed: 1234567, epoch: 3, iteration: 17, sample: 1, purpose: 2 };

function take(stream: RandomStream, count: number): number[] {
  return Array.from({ length: count }, () => stream.uint32());
}

Deno.test("philox gives the known answers of Random123", () => {
  // tests/kat_vectors of github.com/DEShawResearch/random123, philox4x32 10.
  const answers = [
    ["00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    ["ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"],
    ["243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"],
  ];
  const words = (text: string) => Uint32Array.from(text.split(" "), (word) => parseInt(word, 16));
  for (const [counter, key, answer] of answers) {
    const result = new Uint32Array(4);
    philox(words(counter), words(key), result);
    assertEquals(result, words(answer));
  }
});

Deno.test("a stream depends on all of its name and on nothing else", () => {
  const first = take(createRandomStream(KEY), 11);
  assertEquals(take(createRandomStream(KEY), 11), first);
  const names = [
    { ...KEY, seed: KEY.seed + 2 ** 32 },
    { ...KEY, seed: KEY.seed + 1 },
    { ...KEY, epoch: 4 },
    { ...KEY, iteration: 18 },
    { ...KEY, sample: 2 },
    { ...KEY, purpose: 3 },
  ];
  const all = [first, ...names.map((name) => take(createRandomStream(name), 11))].flat();
  assertEquals(new Set(all).size, all.length);
});

Deno.test("uniform numbers fill their range evenly, whole ones reach both ends", () => {
  const stream = createRandomStream(KEY);
  const bins = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i++) bins[Math.floor((stream.uniform(-2, 3) + 2) * 2)]++;
  for (const count of bins) assert(Math.abs(count - 10_000) < 500, `bins ${bins}`);
  const seen = new Set(Array.from({ length: 1000 }, () => stream.below(7)));
  assertEquals([...seen].sort(), [0, 1, 2, 3, 4, 5, 6]);
  assertEquals(stream.below(1), 0);
  assert(!stream.chance(0) && stream.chance(1));
});
