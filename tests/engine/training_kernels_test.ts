import { sgdReference } from "../../kernels/operators/training/optimizer.ts";
import { normBackwardReference, poolBackwardReference } from "../../kernels/operators/training/reference.ts";
import { assertClose, assertEquals, TOLERANCE } from "../assert.ts";
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { planLossGradient, planLossSums, planLossTarget } from "../../kernels/wasm/training/loss.ts";
import {
  coefficientBytes,
  type LossData,
  lossGradientReference,
  lossReference,
  membershipTable,
  nearestExact,
} from "../../kernels/operators/training/loss.ts";
import { TRAINING_WASM } from "../../cpu/kernel_set.ts";
import { OPTIMIZER_WASM } from "../../cpu/training/optimizers.ts";
import { planNormBackward } from "../../kernels/wasm/training/norm.ts";
import { planGradientNorm, planSgdUpdate } from "../../kernels/wasm/training/optimizer.ts";
import { planGradientPass, planPoolBackward } from "../../kernels/wasm/training/passes.ts";
import { noise, operatorRunner, paddedNoise } from "./run_operator.ts";

const run = operatorRunner([...TRAINING_WASM, ...OPTIMIZER_WASM]);

/** A tensor of `channels` between eight foreign channels on either side, and its range. */
function wide(slot: string, voxels: number, channels: number, values: Float32Array) {
  const padded = padToFour(channels);
  const channelStride = padded + 16;
  const tensor = noise(voxels * channelStride, 99);
  for (let v = 0; v < voxels; v++) {
    tensor.set(values.subarray(v * padded, (v + 1) * padded), v * channelStride + 8);
  }
  const read = () =>
    Float32Array.from({ length: voxels * padded }, (_, i) => {
      return tensor[Math.floor(i / padded) * channelStride + 8 + i % padded];
    });
  return { tensor, range: { slot, channelStride, channelOffset: 8, channels }, read };
}

for (const channels of [1, 6, 33]) {
  Deno.test(`Backward of a norm and its slope over ${channels} channels equals the formula in float64`, () => {
    const [batch, voxels, slope] = [2, 700, 0.2];
    const padded = padToFour(channels);
    const x = paddedNoise(batch * voxels, channels, 1).map((v) => v === 0 ? 0 : v * 3 + 5);
    const g = paddedNoise(batch * voxels, channels, 2);
    const [weight, bias] = [noise(padded, 3), noise(padded, 4)];
    const data = { batch, voxels, channels, stored: x, gradient: g, weight, bias, eps: 1e-5, slope };
    const expected = normBackwardReference(data);
    const [norm, unit] = [Float32Array.from(expected.norm), Float32Array.from(expected.unit)];
    const stored = wide("x", batch * voxels, channels, x);
    const gradient = wide("g", batch * voxels, channels, g);
    const operator = planNormBackward({
      batch,
      voxels,
      stored: stored.range,
      gradient: gradient.range,
      normSlot: "norm",
      unitNormSlot: "unit",
      channelOffset: 0,
      totalChannels: padded,
      weightGradientSlot: "dw",
      biasGradientSlot: "db",
    });
    const [weightGradient, biasGradient] = [new Float32Array(padded), new Float32Array(padded)];
    const foreign = gradient.tensor.filter((_, i) => i % (padded + 16) < 8 || i % (padded + 16) >= padded + 8);
    const slots = { x: stored.tensor, g: gradient.tensor, norm, unit, dw: weightGradient, db: biasGradient };
    run(operator, slots, { reversed: true });
    assertClose(gradient.read(), expected.inputGradient, TOLERANCE.f32, "gradient");
    assertClose(weightGradient, expected.weightGradient, TOLERANCE.f32, "weight gradient");
    assertClose(biasGradient, expected.biasGradient, TOLERANCE.f32, "bias gradient");
    assertEquals(gradient.tensor.filter((_, i) => i % (padded + 16) < 8 || i % (padded + 16) >= padded + 8), foreign);
  });
}

Deno.test("A gradient passes through a slope where the value is not positive, and is added where asked", () => {
  const [voxels, channels] = [300, 5];
  const [source, sign, before] = [1, 2, 3].map((seed) => paddedNoise(voxels, channels, seed));
  for (const accumulate of [false, true]) {
    const target = wide("target", voxels, channels, before);
    const from = wide("source", voxels, channels, source);
    const deciding = wide("sign", voxels, channels, sign);
    const passing = { batch: 1, voxels, source: from.range, target: target.range, sign: deciding.range, slope: 0.25 };
    const slots = { source: from.tensor, target: target.tensor, sign: deciding.tensor };
    run(planGradientPass({ ...passing, accumulate }), slots);
    const expected = source.map((v, i) => v * (sign[i] > 0 ? 1 : 0.25) + (accumulate ? before[i] : 0));
    assertClose(target.read(), expected, TOLERANCE.f32);
  }
});

Deno.test("An average pool's gradient is shared by its window; dropped rests get none", () => {
  const [batch, channels] = [2, 6];
  const [grid, stride]: [Vec3, Vec3] = [[5, 4, 7], [2, 1, 3]];
  const out: Vec3 = [2, 4, 2];
  const padded = padToFour(channels);
  const gradient = paddedNoise(batch * voxelCount(out), channels, 1);
  const before = paddedNoise(batch * voxelCount(grid), channels, 2);
  for (const accumulate of [false, true]) {
    const shared = poolBackwardReference(gradient, batch, grid, stride, padded);
    const expected = shared.map((v, i) => (accumulate ? before[i] : 0) + v);
    const output = wide("output", batch * voxelCount(out), channels, gradient);
    const input = wide("input", batch * voxelCount(grid), channels, before);
    const ranges = { outputGradient: output.range, inputGradient: input.range };
    const operator = planPoolBackward({ batch, grid, stride, ...ranges, accumulate });
    run(operator, { output: output.tensor, input: input.tensor });
    assertClose(input.read(), expected, TOLERANCE.f32);
  }
});

Deno.test("SGD clips by the norm of all gradients, decays weights and moves with or without Nesterov's look ahead", () => {
  const floats = 40_000;
  const [parameters, gradients, momentum] = [1, 2, 3].map((seed) => noise(floats, seed));
  const norm = Math.sqrt(gradients.reduce((sum, g) => sum + g * g, 0));
  const results = new Float64Array(2);
  const place = { resultSlot: "results", resultOffset: 8 };
  run(planGradientNorm({ gradientSlot: "g", floats, ...place }), { g: gradients, results });
  assertClose([Math.sqrt(results[1])], [norm], 1e-9);
  const options = { learningRate: 0.1, momentum: 0.9, weightDecay: 0.01 };
  for (const nesterov of [false, true]) {
    for (const clipNorm of [norm / 2, norm * 2]) {
      const step = { ...options, nesterov, clipNorm, squares: norm ** 2 };
      const after = Array.from(parameters, (p, i) => sgdReference([p, gradients[i], momentum[i]], step));
      const slots = { p: parameters.slice(), g: gradients, v: momentum.slice(), results };
      const ranges = { parameterSlot: "p", gradientSlot: "g", momentumSlot: "v", floats };
      const squares = { squaresSlot: "results", squaresOffset: 8 };
      run(planSgdUpdate({ ...ranges, ...squares, ...options, nesterov, clipNorm }), slots);
      assertClose(slots.p, after.map(({ parameter }) => parameter), TOLERANCE.f32, "parameters");
      assertClose(slots.v, after.map(({ momentum }) => momentum), TOLERANCE.f32, "momentum");
    }
  }
});

Deno.test("Target indices are torch's nearest-exact", () => {
  // torch.nn.functional.interpolate(torch.arange(n)[None, None].float(), [m], mode="nearest-exact")
  assertEquals(nearestExact(8, 4), [1, 3, 5, 7]);
  assertEquals(nearestExact(9, 3), [1, 4, 7]);
  assertEquals(nearestExact(7, 3), [1, 3, 5]);
  assertEquals(nearestExact(5, 5), [0, 1, 2, 3, 4]);
});

Deno.test("Where every voxel is ignored the loss is minus the Dice's weight and the gradient zero", () => {
  const [batch, channels, grid]: [number, number, Vec3] = [2, 3, [2, 3, 5]];
  const voxels = batch * voxelCount(grid);
  const shape = { batch, grid, channels, logitsSlot: "logits", targetSlot: "target", membershipSlot: "members" };
  const slots = {
    labels: new Int16Array(voxels).fill(9),
    target: new Int32Array(voxels),
    logits: paddedNoise(voxels, channels, 1),
    members: membershipTable([[0], [1], [2]], channels),
    coefficients: new Float32Array(coefficientBytes(batch, channels) / 4),
    result: new Float64Array(1),
    gradient: new Float32Array(voxels * 4).fill(NaN),
  };
  const { labels, target, logits, members, coefficients, result, gradient } = slots;
  const targets = { batch, labelGrid: grid, labelSlot: "labels", grid, targetSlot: "target", ignoreLabel: 9 };
  run(planLossTarget({ ...targets, labels: 3, paddedChannels: 4 }), { labels, target });
  const weights = { batchDice: false, smooth: 1e-5, diceWeight: 0.75, crossEntropyWeight: 2, outputWeight: 1 };
  const places = { resultSlot: "result", resultOffset: 0, coefficientsSlot: "coefficients" };
  const sums = planLossSums({ ...shape, regions: false, ignores: true, ...weights, ...places });
  run(sums, { logits, target, members, coefficients, result });
  assertClose(result, [-0.75], 1e-6);
  const backward = planLossGradient({
    ...shape,
    regions: false,
    coefficientsSlot: "coefficients",
    gradientSlot: "gradient",
  });
  run(backward, { logits, target, members, coefficients, gradient });
  assertEquals(gradient, new Float32Array(voxels * 4));
});

const LOSSES = {
  "softmax": {},
  "softmax, Dice of the batch": { batchDice: true },
  "softmax with ignored voxels": { ignores: true },
  "the largest cross-entropies of smoothed labels": { topK: { percent: 20, labelSmoothing: 0.1 } },
  "sigmoids of regions": { regions: true },
  "sigmoids of regions with ignored voxels": { regions: true, ignores: true, batchDice: true },
};

for (const [name, options] of Object.entries(LOSSES)) {
  Deno.test(`A loss and its gradient are those of the formula in float64: ${name}`, () => {
    const [batch, channels, grid]: [number, number, Vec3] = [2, 3, [2, 3, 4]];
    const voxels = batch * voxelCount(grid);
    const padded = padToFour(channels);
    const form = { batchDice: false, ignores: false, regions: false, topK: undefined, ...options };
    const weights = { batchDice: form.batchDice, smooth: 1e-5, diceWeight: 0.75, crossEntropyWeight: 2 };
    const members = form.regions ? [[], [0, 1], [1, 2], [2]] : [[0], [1], [2]];
    const ignoreLabel = form.ignores ? members.length : undefined;
    const labels = Int16Array.from(
      { length: voxels },
      (_, i) => (i * 7 + i % 5) % (members.length + (form.ignores ? 1 : 0)),
    );
    const logits = paddedNoise(voxels, channels, 1);
    const data: LossData = {
      ...weights,
      batch,
      voxels: voxelCount(grid),
      channels,
      logits: Float64Array.from(logits),
      labels: Array.from(labels, (label) => (label === ignoreLabel ? undefined : label)),
      members,
      regions: form.regions,
      ignores: form.ignores,
      topK: form.topK,
    };
    const shape = {
      batch,
      grid,
      channels,
      logitsSlot: "logits",
      targetSlot: "target",
      membershipSlot: "members",
      regions: form.regions,
      ...(form.topK && { topK: { ...form.topK, entropiesSlot: "entropies" } }),
    };
    const slots = {
      labels,
      target: new Int32Array(voxels),
      logits,
      members: membershipTable(members, channels),
      coefficients: new Float32Array(coefficientBytes(batch, channels) / 4),
      entropies: new Float32Array(voxels),
      result: new Float64Array(1),
      gradient: new Float32Array(voxels * padded).fill(NaN),
    };
    const target = { batch, labelGrid: grid, labelSlot: "labels", grid, targetSlot: "target", ignoreLabel };
    run(planLossTarget({ ...target, labels: members.length, paddedChannels: padded }), slots);
    const places = { resultSlot: "result", resultOffset: 0, coefficientsSlot: "coefficients" };
    run(planLossSums({ ...shape, ...weights, ignores: form.ignores, outputWeight: 1, ...places }), slots);
    assertClose([slots.result[0], 0], [lossReference(data), 0], TOLERANCE.f32);
    const { coefficientsSlot } = places;
    run(planLossGradient({ ...shape, coefficientsSlot, gradientSlot: "gradient" }), slots);
    assertClose(slots.gradient, lossGradientReference(data), TOLERANCE.f32LongSum);
  });
}
