/** Tile positions, importance maps and mirrorings against those of the real nnU-Net (predict_tiles/make_tiles.py). */
import { importanceMap } from "../../core/predict/stream/importance.ts";
import { mirrorings } from "../../core/predict/stream/mirrors.ts";
import { tileCount, tileGrid, tilePositions } from "../../core/predict/stream/tiles.ts";
import { assertEquals, assertFails } from "../assert.ts";

interface Golden {
  tiles: { image: number; patch: number; step: number; origins: number[] }[];
  importance: {
    patch: [number, number, number];
    sha256_of_float32: string;
    indices: number[];
    values: number[];
    smallest: number;
    count_of_smallest: number;
  }[];
  mirrors: { axes: number[] | null; subsets: number[][] }[];
}

const golden: Golden = JSON.parse(await Deno.readTextFile(new URL("predict_tiles/tiles.json", import.meta.url)));

Deno.test("tiles lie where upstream puts them, padding below included", () => {
  for (const { image, patch, step, origins } of golden.tiles) {
    assertEquals(tilePositions(image, patch, step), origins, `image ${image}, patch ${patch}, step ${step}`);
  }
});

Deno.test("a 2-D patch has tiles at every slice", () => {
  const tiles = tileGrid([3, 110, 20], [1, 64, 32], 0.5, 2);
  assertEquals(tiles, [[0, 1, 2], [0, 23, 46], [-6]]);
  assertEquals(tileCount(tiles), 9);
});

Deno.test("a step size outside (0, 1] is refused", async () => {
  for (const step of [0, -0.5, 1.01, NaN]) {
    await assertFails(() => tilePositions(100, 50, step), RangeError, "step size");
  }
});

Deno.test("importance maps equal upstream's bit for bit", async () => {
  for (const wanted of golden.importance) {
    const map = importanceMap(wanted.patch);
    const name = `patch ${wanted.patch.join("x")}`;
    assertEquals(wanted.indices.map((i) => map[i]), wanted.values, name);
    assertEquals(map.reduce((n, value) => n + Number(value === wanted.smallest), 0), wanted.count_of_smallest, name);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", map));
    assertEquals(digest.toHex(), wanted.sha256_of_float32, name);
  }
});

Deno.test("mirrorings come in upstream's order, the identity first", () => {
  for (const { axes, subsets } of golden.mirrors) {
    const flips = [[], ...subsets].map((subset) => [0, 1, 2].map((axis) => subset.includes(axis)));
    assertEquals(mirrorings(axes, 3).map((m) => [...m]), flips);
  }
});

Deno.test("axes of a 2-D network are those of the slice", async () => {
  assertEquals(mirrorings([0, 1], 2), [
    [false, false, false],
    [false, true, false],
    [false, false, true],
    [false, true, true],
  ]);
  await assertFails(() => mirrorings([2], 2), RangeError, "no axis 2");
});
