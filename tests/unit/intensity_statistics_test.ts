/** The statistics of counted samples against a plain sort of all draws, in memory and through the scratch file. */
import { createRandomState } from "../../core/base/numpy_random.ts";
import { codeOf, sampleIntensities, valueOf } from "../../core/preprocess/intensity_samples.ts";
import { createIntensityCollector } from "../../core/preprocess/intensity_statistics.ts";
import { percentile } from "../../core/base/numeric.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";

Deno.test("codes order float32 values and give them back", () => {
  const values = [-Infinity, -3.4e38, -2.5, -1e-40, 0, 1e-45, 1, 1.5, 3e38, Infinity].map(Math.fround);
  const codes = values.map(codeOf);
  assertEquals(codes, codes.toSorted((a, b) => a - b));
  assertEquals(codes.map(valueOf), values);
  assertEquals(codeOf(-0), codeOf(0));
});

/** Upstream's way: every draw kept. */
function plainDraws(data: Float32Array, channels: number, foreground: Uint32Array, draws: number): number[][] {
  const random = createRandomState(1234);
  const voxels = data.length / channels;
  return Array.from({ length: channels }, (_, c) => {
    return Array.from({ length: draws }, () => data[c * voxels + foreground[random.randint(foreground.length)]]);
  });
}

const KINDS: readonly (readonly [string, (i: number) => number])[] = [
  ["whole numbers", (i) => ((i * 7919) % 613) - 300],
  ["floats of both signs", (i) => Math.sin(i * 1.7) * 10 ** ((i % 9) - 4)],
  ["whole numbers far apart", (i) => ((i * 104729) % 1000) * 1000],
];

for (const [kind, valueAt] of KINDS) {
  for (const entries of [1 << 22, 50]) {
    const where = entries < 1000 ? "through a scratch file" : "in memory";
    Deno.test(`statistics of ${kind} are those of all draws, ${where}`, async () => {
      await inTempFolder(async (folder) => {
        const all: number[][] = [[], []];
        {
          await using first = createIntensityCollector(folder, entries);
          await using second = createIntensityCollector(folder, entries);
          for (let one = 0; one < 5; one++) {
            const voxels = 400 + 100 * one;
            const data = Float32Array.from({ length: 2 * voxels }, (_, i) => valueAt(i + 31 * one));
            const foreground = Uint32Array.from({ length: voxels / 2 }, (_, i) => 2 * i + 1);
            const samples = sampleIntensities(data, 2, foreground, 777);
            await first.add(samples[0], one);
            await second.add(samples[1], one);
            plainDraws(data, 2, foreground, 777).forEach((drawn, c) => all[c].push(...drawn));
          }
          for (const [c, collector] of [first, second].entries()) {
            const found = await collector.statistics();
            assert(found);
            const mean = all[c].reduce((sum, value) => sum + value, 0) / all[c].length;
            const squares = all[c].reduce((sum, value) => sum + (value - mean) ** 2, 0);
            const scale = Math.sqrt(squares / all[c].length);
            assert(Math.abs(found.mean - mean) < 1e-9 * scale, `mean ${found.mean}, expected ${mean}`);
            assert(Math.abs(found.std - scale) < 1e-9 * scale, `std ${found.std}, expected ${scale}`);
            assertEquals([found.min, found.max], [Math.min(...all[c]), Math.max(...all[c])]);
            const percentiles = [found.percentile_00_5, found.median, found.percentile_99_5];
            [0.5, 50, 99.5].forEach((percent, i) => {
              // Neighbours are subtracted as float32, as numpy does.
              const expected = percentile(all[c], percent);
              assert(
                Math.abs(percentiles[i] - expected) <= 1e-7 * scale,
                `${percent} %: ${percentiles[i]}, not ${expected}`,
              );
            });
          }
          assertEquals((await namesIn(folder)).length > 0, entries < 1000, "scratch files");
        }
        assertEquals(await namesIn(folder), []);
      });
    });
  }
}

Deno.test("without any foreground there are no statistics", async () => {
  await inTempFolder(async (folder) => {
    await using collector = createIntensityCollector(folder);
    const [samples] = sampleIntensities(new Float32Array(8), 1, new Uint32Array(0), 100);
    await collector.add(samples, 0);
    assertEquals(await collector.statistics(), null);
  });
});

Deno.test("statistics are the same to the last bit in whatever order the cases come", async () => {
  await inTempFolder(async (folder) => {
    const cases = Array.from({ length: 7 }, (_, one) => {
      const data = Float32Array.from({ length: 300 + 40 * one }, (_, i) => Math.sin(i * 1.7 + one) * 10 ** (one % 3));
      return sampleIntensities(data, 1, Uint32Array.from(data, (_, i) => i), 500)[0];
    });
    const orders = [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [3, 0, 6, 2, 5, 1, 4]];
    const found = await Promise.all(orders.map(async (order) => {
      await using collector = createIntensityCollector(folder);
      for (const index of order) await collector.add(cases[index], index);
      return await collector.statistics();
    }));
    for (const other of found.slice(1)) assertEquals(other, found[0]);
  });
});
