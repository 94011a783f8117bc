/** Winograd convolutions in WGSL against the plain reference. */
import { BLOCKS, type TileStorage, WHOLE } from "../../kernels/wgsl/conv/tile_storage.ts";
import {
  planWinograd,
  schemeName,
  winogradChoices,
  withChunk,
  withStorages,
} from "../../kernels/wgsl/conv/winograd.ts";
import { assert, assertEquals } from "../assert.ts";
import { makeData } from "./conv_harness.ts";
import { gpuPresent, halfPresent } from "./run_wgsl_operator.ts";
import { checkWgslConv, type WgslConvCase, wgslProblem } from "./wgsl_conv_harness.ts";

const CUBE = [3, 3, 3] as const;
const ONE = [1, 1, 1] as const;

/** Of F(4x4x4) with few channels, whose errors do not average out. */
const BLOCKS_TOLERANCE = 2e-2;

/** Schemes as their choice is called, and what they compute. */
const CASES: Record<string, readonly [scheme: string, c: WgslConvCase]> = {
  "F(4) on odd sizes, two samples, with statistics": ["4x4x4", {
    batch: 2,
    grid: [5, 7, 9],
    parts: [5],
    outputs: 6,
    kernel: CUBE,
    stride: ONE,
    norm: true,
    statistics: true,
  }],
  "F(2) on odd sizes, two samples, with statistics": ["2x2x2", {
    batch: 2,
    grid: [5, 3, 7],
    parts: [5],
    outputs: 6,
    kernel: CUBE,
    stride: ONE,
    norm: true,
    statistics: true,
  }],
  "F(4) of a concat within wider tensors": ["4x4x4", {
    batch: 2,
    grid: [3, 4, 5],
    parts: [3, 6],
    outputs: 13,
    kernel: CUBE,
    stride: ONE,
    norm: true,
    around: 8,
    statistics: true,
  }],
  "F(2), F(4), F(4) without norm": ["2x4x4", {
    batch: 1,
    grid: [4, 9, 6],
    parts: [17],
    outputs: 20,
    kernel: CUBE,
    stride: ONE,
    norm: false,
  }],
  "1x3x3": ["1x4x4", {
    batch: 2,
    grid: [3, 9, 7],
    parts: [7],
    outputs: 5,
    kernel: [1, 3, 3],
    stride: ONE,
    norm: true,
    statistics: true,
  }],
  "3x3 of 2D slices with many channels": ["1x2x4", {
    batch: 3,
    grid: [1, 7, 10],
    parts: [36],
    outputs: 33,
    kernel: [1, 3, 3],
    stride: ONE,
    norm: true,
    statistics: true,
  }],
  "1x1x3: one axis": ["1x1x4", {
    batch: 2,
    grid: [2, 3, 11],
    parts: [4],
    outputs: 8,
    kernel: [1, 1, 3],
    stride: ONE,
    norm: true,
    statistics: true,
  }],
  "stride 2": ["2/2x2/2x2/2", {
    batch: 2,
    grid: [5, 8, 7],
    parts: [5],
    outputs: 6,
    kernel: CUBE,
    stride: [2, 2, 2],
    norm: true,
    statistics: true,
  }],
  "stride 1x2x2": ["2x2/2x4/2", {
    batch: 2,
    grid: [3, 7, 9],
    parts: [6],
    outputs: 4,
    kernel: CUBE,
    stride: [1, 2, 2],
    norm: true,
    statistics: true,
  }],
  "F(4) on a single voxel": ["4x4x4", {
    batch: 2,
    grid: ONE,
    parts: [7],
    outputs: 5,
    kernel: CUBE,
    stride: ONE,
    norm: true,
    statistics: true,
  }],
};

function planned(scheme: string, chunk?: number, storage: TileStorage = WHOLE) {
  return (problem: Parameters<typeof winogradChoices>[0]) => {
    const best = winogradChoices(problem).find(({ shape }) => schemeName(shape.schemes) === scheme);
    const choice = best && [best, ...withStorages(problem, best)].find((one) => one.storage === storage);
    if (!choice) throw new RangeError(`no ${scheme}`);
    return planWinograd(problem, chunk === undefined ? choice : withChunk(problem, choice, chunk));
  };
}

for (const [name, [scheme, c]] of Object.entries(CASES)) {
  Deno.test({
    name: `WGSL Winograd convolution: ${name}`,
    ignore: !gpuPresent,
    fn: async () => {
      await checkWgslConv(c, planned(scheme));
    },
  });
}

const [, ODD] = CASES["F(4) on odd sizes, two samples, with statistics"];

Deno.test({
  name: "WGSL Winograd convolution in chunks that end within samples",
  ignore: !gpuPresent,
  fn: async () => {
    // 12 tiles a sample, so the second chunk holds tiles of both.
    const operator = await checkWgslConv(ODD, planned("4x4x4", 10));
    assertEquals(operator.dispatches.length, 9);
    const [, slices] = CASES["1x3x3"];
    assert((await checkWgslConv(slices, planned("1x4x4", 8))).dispatches.length > 3);
  },
});

Deno.test({
  name: "WGSL Winograd convolution over tensors and weights in several bindings",
  ignore: !gpuPresent,
  fn: async () => {
    const c = { ...ODD, segmentLength: 191, limits: { maxBindingBytes: 20000 } };
    const operator = await checkWgslConv(c, planned("4x4x4"));
    assert(operator.weightBytes > 2 * operator.weightSegmentBytes);
    assert(operator.dispatches.some(({ bindings }) => bindings.some(({ segment }) => segment > 1)));
  },
});

Deno.test({
  name: "WGSL Winograd convolution of tensors stored as f16",
  ignore: !gpuPresent || !halfPresent,
  fn: async () => {
    await checkWgslConv({ ...ODD, type: "f16" }, planned("4x4x4"));
    await checkWgslConv({ ...CASES["1x3x3"][1], type: "f16" }, planned("1x2x4"));
  },
});

Deno.test({
  name: "WGSL Winograd convolution whose transformed tiles are stored in 16 bits",
  ignore: !gpuPresent || !halfPresent,
  fn: async () => {
    for (const [scheme, c] of Object.values(CASES)) {
      const whole = planned(scheme)(wgslProblem({ ...c, type: "f16" }, makeData(c)).problem);
      const plan = planned(scheme, undefined, BLOCKS);
      const { algorithm, temporaries } = await checkWgslConv({ ...c, type: "f16" }, plan, BLOCKS_TOLERANCE);
      assert(algorithm.includes(" in 16 bits by "), algorithm);
      assertEquals(Object.values(temporaries), Object.values(whole.temporaries).map((bytes) => bytes / 2));
    }
    await checkWgslConv({ ...ODD, type: "f16" }, planned("4x4x4", 10, BLOCKS), BLOCKS_TOLERANCE);
    const several = { ...ODD, type: "f16", segmentLength: 191, limits: { maxBindingBytes: 20000 } } as const;
    await checkWgslConv(several, planned("4x4x4", undefined, BLOCKS), BLOCKS_TOLERANCE);
  },
});

Deno.test("Transformed tiles are stored in 32 bits where activations are", () => {
  const choices = winogradChoices(wgslProblem(ODD, makeData(ODD)).problem);
  assert(choices.length > 0 && choices.every(({ storage }) => storage === WHOLE));
});

Deno.test("Winograd schemes on a device with the least limits: F(4) in 3D, and phases of stride 2", () => {
  const schemes = (c: WgslConvCase) =>
    winogradChoices(wgslProblem(c, makeData(c)).problem).map(({ shape }) => schemeName(shape.schemes));
  assert(schemes(ODD).includes("4x4x4"));
  assertEquals(schemes(ODD).length, 8);
  assert(schemes(CASES["stride 2"][1]).includes("2/2x2/2x2/2"));
  assertEquals(schemes({ ...ODD, kernel: [5, 3, 1] }), []);
});
