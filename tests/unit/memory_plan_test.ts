import { alignBlock, type BlockLifetime, planMemory } from "../../core/graph/memory_plan.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { randomValues } from "../engine/networks.ts";

/** Random blocks, a few large ones among many small. */
function randomBlocks(count: number, seed: number): BlockLifetime[] {
  const values = randomValues(count * 3, seed).map((v) => (v + 1) / 2);
  return Array.from({ length: count }, (_, i) => {
    const first = Math.floor(values[3 * i] * 40);
    const last = first + Math.floor(values[3 * i + 1] ** 3 * 30);
    return { name: `block ${i}`, bytes: Math.floor(10 ** (values[3 * i + 2] * 6)), first, last };
  });
}

function overlap(a: BlockLifetime, b: BlockLifetime): boolean {
  return a.first <= b.last && b.first <= a.last;
}

Deno.test("Blocks alive at the same time never share memory", () => {
  for (let seed = 0; seed < 30; seed++) {
    const blocks = randomBlocks(60, seed);
    const { offsets, bytes, lowerBound } = planMemory(blocks);
    const start = (block: BlockLifetime) => offsets.get(block.name) ?? NaN;
    for (const a of blocks) {
      assert(start(a) % 64 === 0 && start(a) >= 0 && start(a) + a.bytes <= bytes);
      for (const b of blocks) {
        if (a === b || !overlap(a, b)) continue;
        assert(start(a) + alignBlock(a.bytes) <= start(b) || start(b) + alignBlock(b.bytes) <= start(a));
      }
    }
    assert(bytes >= lowerBound && bytes <= lowerBound * 1.5, `${bytes} bytes for a lower bound of ${lowerBound}`);
  }
});

Deno.test("A memory plan does not depend on the order of its blocks", () => {
  const blocks = randomBlocks(40, 7);
  assertEquals(planMemory(blocks.toReversed()), planMemory(blocks));
});

Deno.test("A chain of layers needs the memory of two neighbours", () => {
  const blocks = [0, 1, 2, 3, 4, 5].map((i) => ({ name: `layer ${i}`, bytes: 1024, first: i, last: i + 1 }));
  assertEquals(planMemory(blocks).bytes, 2048);
});

Deno.test("A memory plan refuses names that occur twice and lifetimes that end before they begin", async () => {
  const block = { name: "a", bytes: 1, first: 0, last: 0 };
  await assertFails(() => planMemory([block, block]), RangeError, "two blocks are called a");
  await assertFails(() => planMemory([{ ...block, last: -1 }]), RangeError, "a ends before it begins");
});
