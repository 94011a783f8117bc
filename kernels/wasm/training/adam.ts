/** Adam on the CPU: see kernels/operators/training/optimizer.ts. */
import type { AdamOptions } from "../../../core/graph/optimizer.ts";
import { adamCost, type AdamSlots } from "../../operators/training/optimizer.ts";
import { distance } from "../elementwise/simd.ts";
import { f32, f32x4, f64, i32, i64, v128 } from "../emit/expression.ts";
import { type Kernel, kernelOf } from "../emit/module_builder.ts";
import type { Operator } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";
import type { SgdUpdate } from "./optimizer.ts";

export interface AdamUpdate
  extends Omit<SgdUpdate, "momentum" | "nesterov">, AdamSlots, Omit<AdamOptions, "kind" | "amsgrad"> {
  /** f64 [4]: steps so far; the others are overwritten. */
  readonly stateSlot: string;
}

/** Floats of an item. */
const ITEM_FLOATS = 1 << 14;

const ADAM_FIELDS = {
  parameters: "address",
  gradients: "address",
  momentum: "address",
  averages: "address",
  largest: "address",
  squares: "address",
  /** Steps, factor of the gradients, step size over the momentum's correction, 1 / root of the averages' correction. */
  state: "address",
  floats: "i32",
  decoupled: "i32",
  amsgrad: "i32",
  learningRate: "f32",
  weightDecay: "f32",
  clipNorm: "f32",
  /** 1 - beta: of beta itself f32 would leave few digits of it. */
  newGradient: "f32",
  newSquare: "f32",
  eps: "f32",
} as const satisfies ParamTypes;

/** One call for what all parameters share, one for the parameters. */
export function planAdamUpdate(spec: AdamUpdate): Operator {
  const params = listParams(ADAM_FIELDS, {
    parameters: { slot: spec.parameterSlot },
    gradients: { slot: spec.gradientSlot },
    momentum: { slot: spec.momentumSlot },
    averages: { slot: spec.averagesSlot },
    largest: { slot: spec.largestSlot ?? spec.averagesSlot },
    squares: { slot: spec.squaresSlot, offset: spec.squaresOffset },
    state: { slot: spec.stateSlot },
    floats: spec.floats,
    decoupled: spec.decoupled ? 1 : 0,
    amsgrad: spec.largestSlot === undefined ? 0 : 1,
    learningRate: spec.learningRate,
    weightDecay: spec.weightDecay,
    clipNorm: spec.clipNorm,
    newGradient: 1 - spec.betas[0],
    newSquare: 1 - spec.betas[1],
    eps: spec.eps,
  });
  return {
    algorithm: "Adam",
    calls: [
      { kernel: "adam_factors", params, items: 1, scratchBytes: 0 },
      { kernel: "adam_update", params, items: Math.ceil(spec.floats / ITEM_FLOATS), scratchBytes: 0 },
    ],
    temporaries: {},
    ...adamCost(spec.floats),
    coreSeconds: spec.floats * 36 / 10e9,
  };
}

/** One item. */
const factorsKernel = kernelOf("adam_factors", ADAM_FIELDS, (f, p) => {
  const squares = f.local("f64", f64.load(p.squares));
  f.if(f64.eq(f64.sub(squares, squares), 0), () => {
    const steps = f.local("f64", f64.add(f64.load(p.state), 1));
    const [power, base, left] = [f.local("f64"), f.local("f64"), f.local("i32")];
    /** 1 - beta^steps. */
    const setCorrection = (change: typeof p.newGradient) => {
      f.set(power, 1);
      f.set(base, f64.sub(1, f64.promote(change)));
      f.set(left, i32.truncF64S(steps));
      f.loop((again) => {
        f.if(i32.and(left, 1), () => f.set(power, f64.mul(power, base)));
        f.set(base, f64.mul(base, base));
        f.set(left, i32.shrU(left, 1));
        f.brIf(again, left);
      });
      f.set(power, f64.sub(1, power));
    };
    f.storeF64(p.state, steps);
    const norm = f64.add(f64.sqrt(squares), 1e-6);
    f.storeF64(p.state, f64.min(1, f64.div(f64.promote(p.clipNorm), norm)), 8);
    setCorrection(p.newGradient);
    f.storeF64(p.state, f64.div(f64.promote(p.learningRate), power), 16);
    setCorrection(p.newSquare);
    f.storeF64(p.state, f64.div(1, f64.sqrt(power)), 24);
  });
});

const updateKernel = kernelOf("adam_update", ADAM_FIELDS, (f, p, item) => {
  const squares = f.local("f64", f64.load(p.squares));
  f.if(f64.eq(f64.sub(squares, squares), 0), () => {
    const shared = (offset: number) => f.local("v128", f32x4.splat(f32.demote(f64.load(p.state, offset))));
    const [clip, rate, correction] = [shared(8), shared(16), shared(24)];
    const decay = f.local("v128", f32x4.splat(p.weightDecay));
    const kept = f.local("v128", f32x4.splat(f32.sub(1, f32.mul(p.learningRate, p.weightDecay))));
    const newGradient = f.local("v128", f32x4.splat(p.newGradient));
    const newSquare = f.local("v128", f32x4.splat(p.newSquare));
    const eps = f.local("v128", f32x4.splat(p.eps));
    const first = f.local("i32", i32.mul(item, ITEM_FLOATS));
    const count = f.local("i32", i32.min(f.local("i32", i32.sub(p.floats, first)), ITEM_FLOATS));
    const at = f.local("i64", distance(first, 4));
    const [parameter, gradient, momentum, average] = f.locals("v128", 4);
    f.countdown(i32.shrU(count, 2), () => {
      f.set(parameter, v128.load(i64.add(p.parameters, at)));
      f.set(gradient, f32x4.mul(v128.load(i64.add(p.gradients, at)), clip));
      f.if(
        p.decoupled,
        () => f.set(parameter, f32x4.mul(parameter, kept)),
        () => f.set(gradient, f32x4.madd(parameter, decay, gradient)),
      );
      f.set(momentum, v128.load(i64.add(p.momentum, at)));
      f.set(momentum, f32x4.madd(f32x4.sub(gradient, momentum), newGradient, momentum));
      f.storeV128(i64.add(p.momentum, at), momentum);
      f.set(average, v128.load(i64.add(p.averages, at)));
      f.set(
        average,
        f32x4.madd(f32x4.sub(f32x4.mul(gradient, gradient), average), newSquare, average),
      );
      f.storeV128(i64.add(p.averages, at), average);
      f.if(p.amsgrad, () => {
        f.set(average, f32x4.pmax(average, v128.load(i64.add(p.largest, at))));
        f.storeV128(i64.add(p.largest, at), average);
      });
      const denominator = f32x4.madd(f32x4.sqrt(average), correction, eps);
      f.set(momentum, f32x4.div(momentum, denominator));
      f.storeV128(i64.add(p.parameters, at), f32x4.nmadd(momentum, rate, parameter));
      f.add(at, 16);
    });
  });
});

export const ADAM_KERNELS: readonly Kernel[] = [factorsKernel, updateKernel];
