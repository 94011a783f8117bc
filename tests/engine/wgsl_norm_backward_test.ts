/** The way back through a norm on a GPU against the formula in float64: few samples and many, of which a workgroup takes some at a time. */
import { padToFour } from "../../core/base/shape.ts";
import { normBackwardReference } from "../../kernels/operators/training/reference.ts";
import { BASE_LIMITS } from "../../kernels/wgsl/conv/problem.ts";
import { planNormBackward } from "../../kernels/wgsl/training/norm.ts";
import { assertClose, assertEquals, TOLERANCE } from "../assert.ts";
import { ignore } from "../without_gpu.ts";
import { noise, paddedNoise } from "./run_operator.ts";
import { activations, runWgsl } from "./run_wgsl_operator.ts";

for (const [batch, voxels, channels] of [[2, 2500, 6], [3, 40, 77], [300, 24, 9]] as const) {
  const name = `the way back through a norm on a GPU equals the formula: ${channels} channels of ${batch} samples`;
  Deno.test({ name, ignore }, async () => {
    const padded = padToFour(channels);
    const x = paddedNoise(batch * voxels, channels, 1).map((v) => v === 0 ? 0 : v * 3 + 5);
    const g = paddedNoise(batch * voxels, channels, 2);
    const [weight, bias] = [noise(padded, 3), noise(padded, 4)];
    const data = { batch, voxels, channels, stored: x, gradient: g, weight, bias, eps: 1e-5, slope: 0.2 };
    const expected = normBackwardReference(data);
    const [stored, gradient] = [activations("x", x, "f32"), activations("g", g, "f32")];
    const place = { channelStride: padded, channelOffset: 0, channels };
    const operator = planNormBackward({
      batch,
      voxels,
      stored: { layout: stored.layout, ...place },
      gradient: { layout: gradient.layout, ...place },
      normSlot: "norm",
      unitNormSlot: "unit",
      channelOffset: 0,
      totalChannels: padded,
      weightGradientSlot: "dw",
      biasGradientSlot: "db",
      limits: BASE_LIMITS,
    });
    assertEquals(operator.dispatches.length, 3);
    // What is behind the channels belongs to others.
    const [weightGradient, biasGradient] = [new Float32Array(padded).fill(7), new Float32Array(padded).fill(7)];
    await runWgsl(operator, {
      x: stored.data,
      g: gradient.data,
      norm: { array: Float32Array.from(expected.norm) },
      unit: { array: Float32Array.from(expected.unit) },
      dw: { array: weightGradient },
      db: { array: biasGradient },
    });
    assertClose(gradient.data.array, expected.inputGradient, TOLERANCE.f32, "gradient");
    for (
      const [what, actual, wanted] of [
        ["weight", weightGradient, expected.weightGradient],
        ["bias", biasGradient, expected.biasGradient],
      ] as const
    ) {
      assertClose(actual.subarray(0, channels), wanted.subarray(0, channels), TOLERANCE.f32, `${what} gradient`);
      assertEquals(actual.subarray(channels), new Float32Array(padded - channels).fill(7), what);
    }
  });
}
