import { assert, assertClose, assertEquals } from "../assert.ts";
import { padToFour, permute, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { accumulateReference, finishReference, gatherReference } from "../../kernels/operators/volume/reference.ts";
import { planAccumulate, planFinishPlanes, type RingGeometry } from "../../kernels/wgsl/volume/accumulate.ts";
import { planClear } from "../../kernels/wgsl/volume/clear.ts";
import { planGatherPatches } from "../../kernels/wgsl/volume/gather.ts";
import type { Placement } from "../../kernels/operators/volume/gather.ts";
import { noise, paddedNoise } from "./run_operator.ts";
import { activations, gpuPresent, halfPresent, runWgsl, segmented } from "./run_wgsl_operator.ts";

const MIRRORS: Placement["mirror"][] = [
  [false, false, false],
  [true, false, false],
  [false, true, false],
  [false, false, true],
  [true, true, true],
];
const AXES: Vec3[] = [[0, 1, 2], [1, 0, 2], [2, 0, 1], [2, 1, 0]];

function gpuTest(name: string, run: () => Promise<void>, needsHalf = false): void {
  Deno.test({ name, ignore: !gpuPresent || (needsHalf && !halfPresent), fn: run });
}

for (
  const [channels, oneHot, type, segment] of [
    [1, [], "f32", 0],
    [1, [], "f16", 0],
    [3, [3], "f32", 500],
    [5, [1, 2, -1, 5], "f32", 700],
    [25, [-2], "f16", 5000],
  ] as const
) {
  const segments = segment > 0 ? "several segments" : "one segment";
  gpuTest(
    `WGSL: patches of ${channels} channels and ${oneHot.length} labels are cut in ${type}, ${segments}`,
    async () => {
      const grid: Vec3 = [7, 9, 11];
      const patch: Vec3 = [5, 6, 7];
      const volume = Float32Array.from(Float16Array.from(noise(channels * voxelCount(grid), 4)));
      const labels = Int16Array.from(noise(voxelCount(grid), 5), (v) => Math.round(v * 5));
      const origins: Vec3[] = [[1, 2, 3], [-2, -3, -1], [4, 5, 8], [-2, 6, 2], [9, 0, 0]];
      const patches = MIRRORS.map((mirror, i) => ({ origin: origins[i], mirror }));
      const expected = gatherReference({
        volume,
        channels,
        grid,
        patch,
        patches,
        ...(oneHot.length > 0 && { labelMap: { labels, oneHot } }),
      });
      // One sample more than there are patches: it stays as it is.
      const padded = padToFour(channels + oneHot.length);
      const before = new Float32Array(expected.length + voxelCount(patch) * padded).fill(77);
      const input = activations("input", before, type, segment ? Math.floor(segment * 2.5) : undefined);
      const source = segmented("volume", volume, 4, segment || undefined);
      const words = new Int16Array(labels.length + labels.length % 2);
      words.set(labels);
      const labelMap = segmented("labels", words, 4, segment ? 300 : undefined);
      const operator = planGatherPatches({
        volume: source.layout,
        channels,
        grid,
        patches,
        patch,
        input: input.layout,
        ...(oneHot.length > 0 && { labelMap: { labels: labelMap.layout, oneHot } }),
      });
      await runWgsl(operator, { volume: source.data, labels: labelMap.data, input: input.data });
      const out = Float32Array.from(input.data.array);
      assertEquals(out.subarray(0, expected.length), expected);
      assert(out.subarray(expected.length).every((v) => v === 77), "the sample without a patch changed");
    },
    type === "f16",
  );
}

for (
  const [channels, type, segment] of [[1, "f32", 0], [3, "f32", 150], [5, "f16", 0], [25, "f32", 901]] as const
) {
  for (const axes of AXES) {
    const segments = segment > 0 ? ", several segments" : "";
    gpuTest(
      `WGSL: patches of ${channels} channels in ${type} add up in a ring along axes ${axes.join()}${segments}`,
      async () => {
        const grid: Vec3 = [13, 10, 12];
        const patch: Vec3 = [4, 6, 5];
        const [depth, rows, columns] = permute<number>(grid, axes);
        const planes = permute<number>(patch, axes)[0] + 1;
        const ring: RingGeometry = { channels, planes, rows, columns, axes, depth };
        const padded = padToFour(channels);
        const length = segment || undefined;
        const output = activations("o", paddedNoise(2 * voxelCount(patch), channels, 2), type, length);
        const importance = segmented("i", noise(voxelCount(patch), 3).map(Math.abs), 4, segment ? 70 : undefined);
        const logits = segmented("l", paddedNoise(planes * rows * columns, channels, 8), 16, length);
        const sums = segmented("w", noise(planes * rows * columns, 9).map(Math.abs), 4, segment ? 303 : undefined);
        const [expected, expectedSums] = [logits.data.array.slice(), sums.data.array.slice()] as Float32Array[];
        const origins: Vec3[] = [[8, 1, 2], [-2, -1, -3], [11, 8, 10], [3, 4, -2], [-4, 0, 0]];
        let dispatches = 0;
        for (const [i, mirror] of MIRRORS.entries()) {
          const call = {
            ring,
            patch,
            placement: { origin: origins[i], mirror },
            sample: i % 2,
            scale: 1 / 8,
            addWeight: i % 2 === 0,
          };
          accumulateReference({
            ...call,
            ring: { ...ring, channelStride: padded },
            logits: expected,
            weightSums: expectedSums,
            output: Float32Array.from(output.data.array),
            importance: Float32Array.from(importance.data.array),
          });
          const operator = planAccumulate({
            ...call,
            logits: logits.layout,
            weightSums: sums.layout,
            output: output.layout,
            importance: importance.layout,
          });
          assert(operator.dispatches.every(({ bindings }) => bindings.length <= 8));
          dispatches += operator.dispatches.length;
          await runWgsl(operator, { l: logits.data, w: sums.data, o: output.data, i: importance.data });
        }
        assert(dispatches > 4, "the last patch lies outside; others cross the ring's end");
        assertClose(Float32Array.from(logits.data.array), expected, 1e-6);
        assertClose(Float32Array.from(sums.data.array), expectedSums, 1e-6);
        assert(logits.data.array.every((v, i) => i % padded < channels || v === 0), "padding lanes stay zero");
      },
      type === "f16",
    );
  }
}

for (const [channels, segment] of [[1, 0], [3, 100], [5, 333], [25, 0]]) {
  gpuTest(`WGSL: planes of ${channels} channels are divided by their weights, across the end of the ring`, async () => {
    const ring: RingGeometry = { channels, planes: 4, rows: 7, columns: 9, axes: [1, 0, 2], depth: 30 };
    const voxels = ring.planes * ring.rows * ring.columns;
    const logits = segmented("l", paddedNoise(voxels, channels, 1), 16, segment || undefined);
    const weights = noise(voxels, 2).map((v) => Math.abs(v) + 1e-3);
    const sums = segmented("w", weights, 4, segment ? 57 : undefined);
    const before = Float32Array.from(logits.data.array);
    const expected = before.slice();
    finishReference({ ...ring, channelStride: padToFour(channels) }, expected, weights, 6, 9, 5);
    const operator = planFinishPlanes({
      ring,
      logits: logits.layout,
      weightSums: sums.layout,
      from: 6,
      to: 9,
      folds: 5,
    });
    await runWgsl(operator, { l: logits.data, w: sums.data });
    // Divided one by one: dividing by small weights makes numbers of very different sizes.
    const shares = Float32Array.from(
      logits.data.array,
      (v, i) => expected[i] === 0 ? 1 + Number(v) : Number(v) / expected[i],
    );
    assert(shares.every((share) => Math.abs(share - 1) < 1e-6), `up to ${Math.max(...shares)}`);
    const plane = ring.rows * ring.columns * padToFour(channels);
    assertEquals(Float32Array.from(logits.data.array).subarray(plane, 2 * plane), before.subarray(plane, 2 * plane));
  });
}

gpuTest("WGSL: clearing sets a byte range to zero and nothing beside it", async () => {
  for (const segment of [undefined, 301]) {
    for (const offset of [0, 1, 3, 2048]) {
      for (const bytes of [0, 1, 2, 3, 4, 7, 1200, 1999]) {
        const { layout, data } = segmented("data", new Uint8Array(4096).fill(7), 4, segment);
        await runWgsl(planClear({ words: layout, offset, bytes }), { data });
        const kept = Uint8Array.from({ length: 4096 }, (_, i) => i >= offset && i < offset + bytes ? 0 : 7);
        assertEquals(data.array, kept, `${bytes} bytes from ${offset} on`);
      }
    }
  }
});
