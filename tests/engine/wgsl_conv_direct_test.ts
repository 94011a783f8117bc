/** Direct and transposed convolutions in WGSL against the plain reference. */
import { directTiles, planDirect, planTransposed, transposedTiles } from "../../kernels/wgsl/conv/direct.ts";
import { tileName } from "../../kernels/wgsl/conv/gemm.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { makeData } from "./conv_harness.ts";
import { gpuPresent, halfPresent } from "./run_wgsl_operator.ts";
import { checkWgslConv, type WgslConvCase, wgslProblem } from "./wgsl_conv_harness.ts";

const CUBE = [3, 3, 3] as const;
const ONE = [1, 1, 1] as const;

const CASES: Record<string, WgslConvCase> = {
  "3x3x3 on odd sizes, two samples, with statistics": {
    batch: 2,
    grid: [5, 7, 9],
    parts: [5],
    outputs: 6,
    kernel: CUBE,
    stride: ONE,
    norm: true,
    statistics: true,
  },
  "3x3x3 of a concat within wider tensors": {
    batch: 2,
    grid: [3, 4, 5],
    parts: [3, 6],
    outputs: 13,
    kernel: CUBE,
    stride: ONE,
    norm: true,
    statistics: true,
    around: 8,
  },
  "3x3x3 of one channel": {
    batch: 2,
    grid: [4, 5, 6],
    parts: [1],
    outputs: 9,
    kernel: CUBE,
    stride: ONE,
    norm: true,
    statistics: true,
  },
  "3x3x3 of two channels without norm": {
    batch: 1,
    grid: [4, 5, 6],
    parts: [2],
    outputs: 4,
    kernel: CUBE,
    stride: ONE,
    norm: false,
  },
  "3x3x3 with stride 1x2x2": {
    batch: 2,
    grid: [3, 7, 8],
    parts: [6],
    outputs: 7,
    kernel: CUBE,
    stride: [1, 2, 2],
    norm: true,
    statistics: true,
  },
  "1x3x3 with stride 2": {
    batch: 1,
    grid: [5, 8, 7],
    parts: [4],
    outputs: 8,
    kernel: [1, 3, 3],
    stride: [2, 2, 2],
    norm: true,
  },
  "5x3x1": { batch: 1, grid: [6, 5, 4], parts: [7], outputs: 5, kernel: [5, 3, 1], stride: ONE, norm: true, around: 4 },
  "1x1x1 head of 25 classes": {
    batch: 2,
    grid: [3, 5, 7],
    parts: [9],
    outputs: 25,
    kernel: ONE,
    stride: ONE,
    norm: true,
  },
  "1x1x1 with stride 2 of 40 channels": {
    batch: 1,
    grid: [5, 4, 7],
    parts: [40],
    outputs: 70,
    kernel: ONE,
    stride: [2, 2, 2],
    norm: false,
    statistics: true,
  },
  "3x3x3 on a single voxel": {
    batch: 2,
    grid: ONE,
    parts: [7],
    outputs: 5,
    kernel: CUBE,
    stride: ONE,
    norm: true,
    statistics: true,
  },
};

for (const [name, c] of Object.entries(CASES)) {
  Deno.test({
    name: `WGSL direct convolution: ${name}`,
    ignore: !gpuPresent,
    fn: async () => {
      await checkWgslConv(c, planDirect);
    },
  });
}

const ODD = CASES["3x3x3 on odd sizes, two samples, with statistics"];

Deno.test({
  name: "WGSL direct convolution: every register tile computes the same",
  ignore: !gpuPresent,
  fn: async () => {
    const c = CASES["1x1x1 with stride 2 of 40 channels"];
    const tiles = directTiles(wgslProblem(c, makeData(c)).problem).map(({ tile }) => tile);
    for (const tile of tiles) await checkWgslConv(c, (problem) => planDirect(problem, tile));
    assert(new Set(tiles.map(tileName)).size >= 5);
  },
});

const TRANSPOSED: Record<string, WgslConvCase> = {
  "2x2x2 into a concat": {
    batch: 2,
    grid: [3, 4, 5],
    parts: [6],
    outputs: 5,
    kernel: [2, 2, 2],
    stride: [2, 2, 2],
    norm: true,
    around: 8,
    transposed: true,
  },
  "1x2x2 of two parts": {
    batch: 1,
    grid: [3, 5, 3],
    parts: [5, 3],
    outputs: 12,
    kernel: [1, 2, 2],
    stride: [1, 2, 2],
    norm: true,
    transposed: true,
  },
  "1x4x3 without norm": {
    batch: 2,
    grid: [1, 5, 7],
    parts: [4],
    outputs: 3,
    kernel: [1, 4, 3],
    stride: [1, 4, 3],
    norm: false,
    transposed: true,
  },
};

for (const [name, c] of Object.entries(TRANSPOSED)) {
  Deno.test({
    name: `WGSL transposed convolution: ${name}`,
    ignore: !gpuPresent,
    fn: async () => {
      for (const tile of transposedTiles(wgslProblem(c, makeData(c)).problem).slice(0, 3)) {
        await checkWgslConv(c, (problem) => planTransposed(problem, tile));
      }
    },
  });
}

Deno.test({
  name: "WGSL direct and transposed convolutions over tensors and weights in several bindings",
  ignore: !gpuPresent,
  fn: async () => {
    // 1386 voxels of two vec4 each, cut within a voxel.
    const direct = { ...ODD, grid: [7, 9, 11], segmentLength: 601 } as const;
    assert((await checkWgslConv(direct, planDirect)).dispatches.length > 1);
    const transposed = { ...TRANSPOSED["2x2x2 into a concat"], segmentLength: 721 };
    assert((await checkWgslConv(transposed, planTransposed)).dispatches.length > 1);
    const weights = { ...ODD, limits: { maxBindingBytes: 2048 } };
    const operator = await checkWgslConv(weights, planDirect);
    assertEquals(operator.weightSegmentBytes, 2048);
    assertEquals(operator.dispatches[0].bindings.filter(({ slot }) => slot === "weights").length, 4);
  },
});

Deno.test({
  name: "WGSL direct and transposed convolutions of tensors stored as f16",
  ignore: !gpuPresent || !halfPresent,
  fn: async () => {
    await checkWgslConv({ ...ODD, type: "f16" }, planDirect);
    await checkWgslConv({ ...CASES["3x3x3 of one channel"], type: "f16" }, planDirect);
    await checkWgslConv({ ...TRANSPOSED["1x2x2 of two parts"], type: "f16" }, planTransposed);
  },
});

Deno.test("a WGSL convolution that cannot be is refused, naming it", async () => {
  const { problem } = wgslProblem(ODD, makeData(ODD));
  await assertFails(() => planDirect({ ...problem, outputChannels: 7 }), RangeError, "test", "7 channels");
  await assertFails(() => planDirect({ ...problem, batch: 3 }), RangeError, "test", "input has");
  await assertFails(() => planDirect({ ...problem, kernel: [3, 17, 3], inputGrid: [5, 0, 9] }), RangeError, "0 x 9");
  const few = { ...problem, limits: { ...problem.limits, maxBindings: 4 } };
  await assertFails(() => planDirect(few), RangeError, "test", "binds 5 buffers", "allows 4");
});
