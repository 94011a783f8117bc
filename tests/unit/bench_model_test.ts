import { GPUS, modelledForward } from "../bench/model_bench.ts";
import { assert, assertEquals } from "../assert.ts";

const PASS = { edge: 128, features: [32, 64, 128, 256, 320, 320], batch: 1, dispatchSeconds: 1e-5 } as const;

Deno.test("a modelled pass counts what Winograd's form multiplies and moves, layer by layer", () => {
  const [gpu] = GPUS;
  const time = modelledForward(gpu, { ...PASS, precision: "f32" });
  const layer = time.steps.find(({ name }) => name.startsWith("conv encoder.stages.0.0.convs.1.conv "));
  assert(layer !== undefined && layer.algorithm.startsWith("winograd 4x4x4"), layer?.algorithm);
  // 32^3 tiles of 6^3 points, 32 channels in and out.
  assertEquals(layer.flops, 2 * 32 ** 3 * 6 ** 3 * 32 * 32);
  // V and M are written and read once; input and output too, and the weights of a chunk.
  const points = 32 ** 3 * 6 ** 3 * 32;
  const moved = layer.memoryBytes + layer.cacheBytes;
  const half = 2 * points * 2 + 2 * points * 2;
  const image = 2 * 128 ** 3 * 32 * 4;
  assert(moved > half + image && moved < 2 * half + 1.5 * image, `${moved}`);
  assertEquals(time.host, time.dispatches * 1e-5);
  assertEquals(time.dispatches, time.steps.reduce((sum, { dispatches }) => sum + dispatches, 0));
  assert(time.flops > 1e11 && time.flops < 3e11, `${time.flops}`);
});

Deno.test("a device of half the rates takes between once and twice as long", () => {
  const [gpu] = GPUS;
  const slow = { ...gpu, flops: gpu.flops / 2, memory: gpu.memory / 2, cache: gpu.cache / 2 };
  const [a, b] = [gpu, slow].map((one) => modelledForward(one, { ...PASS, precision: "f32" }).device);
  assert(b > a && b < 2 * a, `${a} ${b}`);
});
