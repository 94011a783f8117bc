import { assert, assertEquals } from "../assert.ts";
import { padToFour, permute, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { ACCUMULATE_KERNELS, planAccumulate, planFinishPlanes } from "../../kernels/wasm/volume/accumulate.ts";
import type { RingGeometry } from "../../kernels/operators/volume/accumulate.ts";
import { CLEAR_KERNELS, planClear } from "../../kernels/wasm/volume/clear.ts";
import { GATHER_KERNELS, planGatherPatches } from "../../kernels/wasm/volume/gather.ts";
import type { Placement } from "../../kernels/operators/volume/gather.ts";
import { accumulateReference, finishReference, gatherReference } from "../../kernels/operators/volume/reference.ts";
import { noise, operatorRunner, paddedNoise } from "./run_operator.ts";

const run = operatorRunner([...GATHER_KERNELS, ...ACCUMULATE_KERNELS, ...CLEAR_KERNELS]);
const CHANNELS = [1, 2, 3, 5, 25, 61];
const MIRRORS: Placement["mirror"][] = [
  [false, false, false],
  [true, false, false],
  [false, true, false],
  [false, false, true],
  [true, true, true],
];
const AXES: Vec3[] = [[0, 1, 2], [1, 0, 2], [2, 0, 1], [2, 1, 0]];

for (const channels of CHANNELS) {
  for (const oneHot of [[], [3], [1, 2, -1, 5]]) {
    Deno.test(`Patches of ${channels} channels and ${oneHot.length} labels are cut, flipped and zero outside`, () => {
      const grid: Vec3 = [7, 9, 11];
      const patch: Vec3 = [5, 6, 7];
      const volume = noise(channels * voxelCount(grid), 4);
      const labels = Int16Array.from(noise(voxelCount(grid), 5), (v) => Math.round(v * 5));
      const origins: Vec3[] = [[1, 2, 3], [-2, -3, -1], [4, 5, 8], [-2, 6, 2], [9, 0, 0]];
      const patches = MIRRORS.map((mirror, i) => ({ origin: origins[i], mirror }));
      const labelMap = oneHot.length > 0 ? { slot: "labels", oneHot } : undefined;
      const expected = gatherReference({
        volume,
        channels,
        grid,
        patch,
        patches,
        labelMap: labelMap && { labels, oneHot },
      });
      // One sample more than there are patches: it stays as it is.
      const extra = noise(voxelCount(patch) * padToFour(channels + oneHot.length), 6);
      const input = new Float32Array(expected.length + extra.length).fill(NaN);
      input.set(extra, expected.length);
      const operator = planGatherPatches({
        volumeSlot: "volume",
        channels,
        grid,
        labelMap,
        patches,
        patch,
        inputSlot: "input",
      });
      for (const reversed of [false, true]) {
        const out = input.slice();
        run(operator, { volume, labels, input: out }, { reversed });
        assertEquals(out.subarray(0, expected.length), expected);
        assertEquals(out.subarray(expected.length), extra);
      }
    });
  }
}

Deno.test("A patch larger than one item's rows is cut whole", () => {
  const grid: Vec3 = [3, 40, 300];
  const patch: Vec3 = [2, 41, 310];
  const volume = noise(2 * voxelCount(grid), 4);
  const patches: Placement[] = [{ origin: [0, -1, -5], mirror: [false, true, true] }];
  const input = new Float32Array(voxelCount(patch) * 4);
  const operator = planGatherPatches({ volumeSlot: "volume", channels: 2, grid, patches, patch, inputSlot: "input" });
  assert(operator.calls[0].items > 3);
  run(operator, { volume, input }, { reversed: true });
  assertEquals(input, gatherReference({ volume, channels: 2, grid, patches, patch }));
});

/** A test of rings whose voxels are padded to blocks of four, and one of rings without padding. */
function eachStride(channels: number, name: string, test: (channelStride: number) => void): void {
  Deno.test(name, () => test(padToFour(channels)));
  if (channels % 4) Deno.test(`${name}, without padding`, () => test(channels));
}

for (const channels of CHANNELS) {
  for (const axes of AXES) {
    const name =
      `Patches of ${channels} channels add up in a ring along axes ${axes.join()}, flipped, wrapped and clipped`;
    eachStride(channels, name, (channelStride) => {
      const grid: Vec3 = [13, 10, 12];
      const patch: Vec3 = [4, 6, 5];
      const [depth, rows, columns] = permute<number>(grid, axes);
      const planes = permute<number>(patch, axes)[0] + 1;
      const ring: RingGeometry = { channels, channelStride, planes, rows, columns, axes, depth };
      const output = paddedNoise(2 * voxelCount(patch), channels, 2);
      const importance = noise(voxelCount(patch), 3).map(Math.abs);
      const start = paddedNoise(planes * rows * columns, channels, 8, channelStride);
      const [logits, expected] = [start.slice(), start.slice()];
      const weightSums = noise(planes * rows * columns, 9).map(Math.abs);
      const expectedWeights = weightSums.slice();
      const origins: Vec3[] = [[8, 1, 2], [-2, -1, -3], [11, 8, 10], [3, 4, -2], [-4, 0, 0]];
      MIRRORS.forEach((mirror, i) => {
        const call = {
          ring,
          patch,
          placement: { origin: origins[i], mirror },
          sample: i % 2,
          scale: 1 / 8,
          addWeight: i % 2 === 0,
        };
        accumulateReference({ ...call, logits: expected, weightSums: expectedWeights, output, importance });
        const slots = { logitsSlot: "l", weightSumsSlot: "w", outputSlot: "o", importanceSlot: "i" };
        const arrays = { l: logits, w: weightSums, o: output, i: importance };
        run(planAccumulate({ ...call, ...slots }), arrays, { reversed: i > 2 });
      });
      assertEquals(logits, expected);
      assertEquals(weightSums, expectedWeights);
      assert(logits.every((v, i) => i % channelStride < channels || v === 0), "padding lanes stay zero");
    });
  }
}

Deno.test("A patch of many planes along x adds up in groups of neighbours, across the end of the ring", () => {
  const patch: Vec3 = [3, 4, 21];
  const ring: RingGeometry = {
    channels: 5,
    channelStride: 5,
    planes: 23,
    rows: 6,
    columns: 5,
    axes: [2, 0, 1],
    depth: 60,
  };
  const output = paddedNoise(voxelCount(patch), 5, 2);
  const importance = noise(voxelCount(patch), 3);
  const logits = paddedNoise(ring.planes * ring.rows * ring.columns, 5, 4, 5);
  const weightSums = noise(ring.planes * ring.rows * ring.columns, 5);
  const [expected, expectedWeights] = [logits.slice(), weightSums.slice()];
  for (const mirror of MIRRORS) {
    const placement: Placement = { origin: [2, -1, 13], mirror };
    const call = { ring, patch, placement, sample: 0, scale: 0.125, addWeight: true };
    accumulateReference({ ...call, logits: expected, weightSums: expectedWeights, output, importance });
    const slots = { logitsSlot: "l", weightSumsSlot: "w", outputSlot: "o", importanceSlot: "i" };
    const operator = planAccumulate({ ...call, ...slots });
    assertEquals(operator.calls.length, 2);
    run(operator, { l: logits, w: weightSums, o: output, i: importance }, { reversed: true });
  }
  assertEquals(logits, expected);
  assertEquals(weightSums, expectedWeights);
});

Deno.test("A patch with many items to a plane adds up like a small one", () => {
  const size = { planes: 2, rows: 20, columns: 40, depth: 2 };
  const ring: RingGeometry = { channels: 61, channelStride: 61, ...size, axes: [0, 1, 2] };
  const patch: Vec3 = [2, 20, 40];
  const output = paddedNoise(voxelCount(patch), 61, 2);
  const importance = noise(voxelCount(patch), 3);
  const logits = paddedNoise(voxelCount(patch), 61, 4, 61);
  const expected = logits.slice();
  const weightSums = new Float32Array(voxelCount(patch));
  const call = {
    ring,
    patch,
    placement: { origin: [0, 0, 0], mirror: [false, true, false] } as Placement,
    sample: 0,
    scale: 0.5,
    addWeight: false,
  };
  const operator = planAccumulate({
    ...call,
    logitsSlot: "l",
    weightSumsSlot: "w",
    outputSlot: "o",
    importanceSlot: "i",
  });
  assert(operator.calls[0].items > 4);
  accumulateReference({ ...call, logits: expected, weightSums, output, importance });
  run(operator, { l: logits, w: weightSums, o: output, i: importance }, { reversed: true });
  assertEquals(logits, expected);
  assertEquals(weightSums, new Float32Array(weightSums.length));
});

for (const channels of CHANNELS) {
  const name = `Planes of ${channels} channels are divided by their weights, across the end of the ring`;
  eachStride(channels, name, (channelStride) => {
    const ring: RingGeometry = { channels, channelStride, planes: 4, rows: 7, columns: 9, axes: [1, 0, 2], depth: 30 };
    const voxels = ring.planes * ring.rows * ring.columns;
    const logits = paddedNoise(voxels, channels, 1, channelStride);
    const weightSums = noise(voxels, 2).map((v) => Math.abs(v) + 1e-3);
    const expected = logits.slice();
    finishReference(ring, expected, weightSums, 6, 9, 5);
    const operator = planFinishPlanes({ ring, logitsSlot: "l", weightSumsSlot: "w", from: 6, to: 9, folds: 5 });
    run(operator, { l: logits, w: weightSums }, { reversed: true });
    assertEquals(logits, expected);
  });
}

Deno.test("Clearing sets a byte range to zero and nothing beside it", () => {
  for (const bytes of [0, 5, 4096, (1 << 20) * 2, (1 << 20) * 2 + 24]) {
    const data = new Uint8Array((1 << 20) * 2 + 100).fill(7);
    const operator = planClear({ slot: "data", offset: 3, bytes });
    run(operator, { data }, { reversed: true });
    assert(data.every((v, i) => v === (i >= 3 && i < 3 + bytes ? 0 : 7)), `${bytes} bytes`);
  }
});
