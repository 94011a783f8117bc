/** SGD on the CPU, over all parameters at once: parameters, gradients and momentum lie in three ranges of one layout. */
import { gradientNormCost, type ParameterSlots, sgdCost } from "../../operators/training/optimizer.ts";
import { distance } from "../elementwise/simd.ts";
import { f32, f32x4, f64, f64x2, i32, i64, v128 } from "../emit/expression.ts";
import { type Kernel, kernelOf } from "../emit/module_builder.ts";
import type { Operator } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";

export interface GradientNorm {
  readonly gradientSlot: string;
  /** A multiple of four. */
  readonly floats: number;
  /** f64: the sum of their squares. */
  readonly resultSlot: string;
  readonly resultOffset: number;
}

export interface SgdUpdate extends ParameterSlots {
  /** A multiple of four. */
  readonly floats: number;
  /** f64: the sum of the gradients' squares. */
  readonly squaresSlot: string;
  readonly squaresOffset: number;
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly nesterov: boolean;
  readonly clipNorm: number;
}

/** Floats of an item. */
const ITEM_FLOATS = 1 << 14;

const NORM_FIELDS = {
  gradients: "address",
  parts: "address",
  result: "address",
  floats: "i32",
  itemFloats: "i32",
  items: "i32",
} as const satisfies ParamTypes;

const SGD_FIELDS = {
  parameters: "address",
  gradients: "address",
  momentum: "address",
  squares: "address",
  floats: "i32",
  itemFloats: "i32",
  nesterov: "i32",
  learningRate: "f32",
  momentumFactor: "f32",
  weightDecay: "f32",
  clipNorm: "f32",
} as const satisfies ParamTypes;

export function planGradientNorm(spec: GradientNorm): Operator {
  const items = Math.ceil(spec.floats / ITEM_FLOATS);
  const params = listParams(NORM_FIELDS, {
    gradients: { slot: spec.gradientSlot },
    parts: { slot: "gradient norm parts" },
    result: { slot: spec.resultSlot, offset: spec.resultOffset },
    floats: spec.floats,
    itemFloats: ITEM_FLOATS,
    items,
  });
  return {
    algorithm: "gradient norm",
    calls: [
      { kernel: "gradient_squares", params, items, scratchBytes: 0 },
      { kernel: "gradient_squares_total", params, items: 1, scratchBytes: 0 },
    ],
    temporaries: { "gradient norm parts": items * 8 },
    ...gradientNormCost(spec.floats),
    coreSeconds: spec.floats * 4 / 10e9,
  };
}

export function planSgdUpdate(spec: SgdUpdate): Operator {
  const params = listParams(SGD_FIELDS, {
    parameters: { slot: spec.parameterSlot },
    gradients: { slot: spec.gradientSlot },
    momentum: { slot: spec.momentumSlot },
    squares: { slot: spec.squaresSlot, offset: spec.squaresOffset },
    floats: spec.floats,
    itemFloats: ITEM_FLOATS,
    nesterov: spec.nesterov ? 1 : 0,
    learningRate: spec.learningRate,
    momentumFactor: spec.momentum,
    weightDecay: spec.weightDecay,
    clipNorm: spec.clipNorm,
  });
  return {
    algorithm: "SGD",
    calls: [{ kernel: "sgd_update", params, items: Math.ceil(spec.floats / ITEM_FLOATS), scratchBytes: 0 }],
    temporaries: {},
    ...sgdCost(spec.floats),
    coreSeconds: spec.floats * 20 / 10e9,
  };
}

const squaresKernel = kernelOf("gradient_squares", NORM_FIELDS, (f, p, item) => {
  const first = f.local("i32", i32.mul(item, p.itemFloats));
  const count = f.local("i32", i32.min(f.local("i32", i32.sub(p.floats, first)), p.itemFloats));
  const from = f.local("i64", i64.add(p.gradients, distance(first, 4)));
  const [low, high] = [f.local("v128", f64x2.splat(0)), f.local("v128", f64x2.splat(0))];
  const [values, half] = f.locals("v128", 2);
  f.countdown(i32.shrU(count, 2), () => {
    f.set(values, v128.load(from));
    f.set(half, f64x2.promoteLow(values));
    f.set(low, f64x2.add(low, f64x2.mul(half, half)));
    f.set(half, f64x2.promoteLow(v128.shuffle32(values, values, [2, 3, 2, 3])));
    f.set(high, f64x2.add(high, f64x2.mul(half, half)));
    f.add(from, 16);
  });
  f.set(low, f64x2.add(low, high));
  const sum = f64.add(f64x2.extract(low, 0), f64x2.extract(low, 1));
  f.storeF64(i64.add(p.parts, distance(item, 8)), sum);
});

const totalKernel = kernelOf("gradient_squares_total", NORM_FIELDS, (f, p) => {
  const sum = f.local("f64", 0);
  const from = f.local("i64", p.parts);
  f.countdown(p.items, () => {
    f.set(sum, f64.add(sum, f64.load(from)));
    f.add(from, 8);
  });
  f.storeF64(p.result, sum);
});

const sgdKernel = kernelOf("sgd_update", SGD_FIELDS, (f, p, item) => {
  const squares = f.local("f64", f64.load(p.squares));
  f.if(f64.eq(f64.sub(squares, squares), 0), () => {
    const norm = f64.add(f64.sqrt(squares), 1e-6);
    const clip = f32.demote(f64.min(1, f64.div(f64.promote(p.clipNorm), norm)));
    const factor = f.local("v128", f32x4.splat(clip));
    const rate = f.local("v128", f32x4.splat(p.learningRate));
    const momentum = f.local("v128", f32x4.splat(p.momentumFactor));
    const decay = f.local("v128", f32x4.splat(p.weightDecay));
    const first = f.local("i32", i32.mul(item, p.itemFloats));
    const count = f.local("i32", i32.min(f.local("i32", i32.sub(p.floats, first)), p.itemFloats));
    const at = f.local("i64", distance(first, 4));
    const [parameter, gradient, velocity] = f.locals("v128", 3);
    f.countdown(i32.shrU(count, 2), () => {
      f.set(parameter, v128.load(i64.add(p.parameters, at)));
      f.set(gradient, f32x4.mul(v128.load(i64.add(p.gradients, at)), factor));
      f.set(gradient, f32x4.madd(parameter, decay, gradient));
      f.set(velocity, f32x4.madd(v128.load(i64.add(p.momentum, at)), momentum, gradient));
      f.storeV128(i64.add(p.momentum, at), velocity);
      f.if(p.nesterov, () => f.set(velocity, f32x4.madd(velocity, momentum, gradient)));
      f.storeV128(i64.add(p.parameters, at), f32x4.nmadd(velocity, rate, parameter));
      f.add(at, 16);
    });
  });
});

export const TRAINING_OPTIMIZER_KERNELS: readonly Kernel[] = [squaresKernel, totalKernel, sgdKernel];
