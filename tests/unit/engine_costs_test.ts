/** What engines say that their work costs: the CPU's as measured, the GPU's by the bytes and arithmetic of its own kernels. */
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { CPU_COSTS } from "../../cpu/costs.ts";
import { DISPATCH_SECONDS, nominalSeconds } from "../../gpu/commands.ts";
import { gpuCosts } from "../../gpu/costs.ts";
import { planAccumulate, planFinishPlanes, type RingGeometry } from "../../kernels/wgsl/volume/accumulate.ts";
import { planGatherPatches } from "../../kernels/wgsl/volume/gather.ts";
import { assert, assertClose, assertEquals } from "../assert.ts";

const GRID: Vec3 = [40, 60, 70];
const PATCH: Vec3 = [16, 24, 32];
const VOXELS = voxelCount(PATCH);
const whole = (
  slot: string,
  length: number,
) => ({ slot, length, type: "f32", segments: 1, segmentLength: length } as const);
const mirror = [false, false, false] as const;

for (const channels of [1, 4, 25]) {
  const padded = padToFour(channels);
  const ring: RingGeometry = { channels, planes: 20, rows: 60, columns: 70, axes: [0, 1, 2], depth: 40 };
  const ringVoxels = 20 * 60 * 70;
  const [logits, weightSums] = [whole("l", ringVoxels * padded / 4), whole("w", ringVoxels)];
  const costs = gpuCosts(3);

  Deno.test(`a GPU's costs of ${channels} channels are what its kernels move and compute on the nominal GPU, times its slowness`, () => {
    const gather = planGatherPatches({
      volume: whole("v", channels * voxelCount(GRID)),
      channels,
      grid: GRID,
      patch: PATCH,
      patches: [{ origin: [0, 0, 0], mirror }, { origin: [8, 0, 0], mirror }],
      input: whole("i", 2 * VOXELS * padded / 4),
    });
    assertClose([costs.gather(2, VOXELS, channels)], [3 * nominalSeconds(gather)], 1e-12);
    const accumulate = planAccumulate({
      ring,
      patch: PATCH,
      placement: { origin: [0, 0, 0], mirror },
      sample: 0,
      scale: 1,
      addWeight: true,
      logits,
      weightSums,
      output: whole("o", VOXELS * padded / 4),
      importance: whole("m", VOXELS),
    });
    assertClose([costs.accumulate(1, VOXELS, channels)], [3 * nominalSeconds(accumulate) + DISPATCH_SECONDS], 1e-12);
    const finish = planFinishPlanes({ ring, from: 0, to: 20, folds: 1, logits, weightSums });
    assertClose([costs.finish(ringVoxels, channels)], [3 * nominalSeconds(finish)], 1e-12);
  });
}

Deno.test("a GPU is no CPU: its weights and spilled planes cross to the device, and its pace is not measured by a small network", () => {
  const gpu = gpuCosts(1);
  assert(gpu.transfer(1e9) > 0.05 && gpu.packWeights(1e9) > gpu.transfer(1e9 / 4));
  assertEquals([CPU_COSTS.transfer(1e9), gpu.measuredShare], [0, undefined]);
  for (const channels of [1, 60]) {
    assert(gpu.accumulate(10, VOXELS, channels) < CPU_COSTS.accumulate(10, VOXELS, channels));
    assert(gpu.resample(VOXELS, channels) < CPU_COSTS.resample(VOXELS, channels));
  }
});

Deno.test("a CPU's costs are those measured on two cores", () => {
  assertClose([CPU_COSTS.gather(2, 1e6, 3)], [1.8e-3], 1e-12);
  assertClose([CPU_COSTS.accumulate(2, 1e6, 25)], [2e6 * (2.5e-9 + 28 * 0.18e-9)], 1e-12);
  assertClose([CPU_COSTS.finish(1e6, 25)], [28e6 * 0.15e-9], 1e-12);
  assertClose([CPU_COSTS.resample(1e6, 25)], [1e6 * (6e-9 + 28 * 0.1e-9)], 1e-12);
  assertClose([CPU_COSTS.packWeights(3e8)], [1], 1e-12);
});
