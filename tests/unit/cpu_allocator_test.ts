import { createAllocator } from "../../cpu/allocator.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { randomValues } from "../../core/cases/random_data.ts";

const open = () => createAllocator({ start: 64, reserve: () => {} });

Deno.test("Freed memory is used again before fresh memory, the smallest range that fits first", () => {
  const allocator = open();
  const [a, b, c, d] = [256, 64, 128, 64].map((bytes) => allocator.allocate(bytes));
  const { end } = allocator;
  allocator.free(a);
  allocator.free(c);
  assertEquals(allocator.allocate(100), c);
  assertEquals(allocator.allocate(200), a);
  assertEquals(allocator.end, end);
  assert(b < c && c < d);
});

Deno.test("Neighbouring freed ranges become one", () => {
  const allocator = open();
  const [a, b, c] = [64, 64, 64].map((bytes) => allocator.allocate(bytes));
  allocator.allocate(64);
  for (const address of [a, c, b]) allocator.free(address);
  assertEquals(allocator.allocate(192), a);
});

Deno.test("A range at the end grows instead of leaving a hole", () => {
  const allocator = open();
  allocator.allocate(64);
  const last = allocator.allocate(64);
  allocator.free(last);
  assertEquals(allocator.allocate(1024), last);
});

Deno.test("Ranges never overlap, are aligned, and all of them can be given back", () => {
  const allocator = open();
  const sizes = randomValues(2000, 3).map((v) => Math.floor((v + 1) * 5000));
  const live = new Map<number, number>();
  sizes.forEach((bytes, i) => {
    const address = allocator.allocate(bytes);
    assertEquals(address % 64, 0);
    for (const [other, length] of live) assert(address + bytes <= other || other + length <= address);
    live.set(address, bytes);
    const victim = [...live.keys()][Math.floor(i * 7919) % live.size];
    if (i % 3 !== 0) {
      allocator.free(victim);
      live.delete(victim);
    }
  });
  for (const address of live.keys()) allocator.free(address);
  assertEquals(allocator.used, 0);
  assertEquals(allocator.allocate(allocator.end - 64), 64);
});

Deno.test("Memory that cannot be reserved leaves the allocator as it was", async () => {
  const allocator = createAllocator({
    start: 64,
    reserve: (end) => {
      if (end > 1024) throw new RangeError("no more");
    },
  });
  const first = allocator.allocate(512);
  await assertFails(() => allocator.allocate(1024), RangeError, "no more");
  assertEquals(allocator.used, 512);
  allocator.free(first);
  await assertFails(() => allocator.allocate(4096), RangeError, "no more");
  assertEquals(allocator.allocate(960), first);
  await assertFails(() => allocator.free(128), RangeError, "nothing begins at 128");
});
