import { alignBlock, type BlockLifetime, planMemory } from "../../core/graph/memory_plan.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { randomValues } from "../../core/cases/random_data.ts";

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

Deno.test("Tied blocks lie at their distance and share memory with each other, never with the others", () => {
  for (let seed = 0; seed < 20; seed++) {
    const blocks = randomBlocks(40, seed).map((block, i): BlockLifetime => {
      // Chains of four, each member a little before or behind the one it is tied to.
      const distance = 64 * ((i % 7) - 3);
      return i % 4 === 0 ? block : { ...block, over: { block: `block ${i - 1}`, offset: distance } };
    });
    const { offsets, bytes, lowerBound } = planMemory(blocks);
    const start = (name: string) => offsets.get(name) ?? NaN;
    blocks.forEach((a, i) => {
      assert(start(a.name) >= 0 && start(a.name) + a.bytes <= bytes);
      if (a.over) assertEquals(start(a.name) - start(a.over.block), a.over.offset);
      blocks.forEach((b, j) => {
        if (Math.floor(i / 4) === Math.floor(j / 4) || !overlap(a, b)) return;
        const [from, to] = [start(a.name), start(b.name)];
        assert(from + alignBlock(a.bytes) <= to || to + alignBlock(b.bytes) <= from);
      });
    });
    assert(bytes >= lowerBound);
    assertEquals(planMemory(blocks.toReversed()), { offsets, bytes, lowerBound });
  }
});

Deno.test("What tied blocks share counts once", () => {
  const a = { name: "a", bytes: 1024, first: 0, last: 1 };
  const b = { name: "b", bytes: 1024, first: 1, last: 2, over: { block: "a", offset: -128 } };
  const plan = planMemory([a, b]);
  assertEquals([plan.bytes, plan.lowerBound], [1152, 1152]);
  assertEquals([plan.offsets.get("a"), plan.offsets.get("b")], [128, 0]);
});

Deno.test("A memory plan refuses blocks tied in a circle, to nothing, or off the alignment", async () => {
  const tied = (name: string, block: string, offset = 0) => ({
    name,
    bytes: 64,
    first: 0,
    last: 0,
    over: { block, offset },
  });
  await assertFails(() => planMemory([tied("a", "b"), tied("b", "a")]), RangeError, "a is tied in a circle");
  await assertFails(() => planMemory([tied("a", "b")]), RangeError, "a is tied to b, which is not there");
  const plain = { name: "b", bytes: 64, first: 0, last: 0 };
  await assertFails(() => planMemory([tied("a", "b", 4), plain]), RangeError, "a would not be aligned");
});
