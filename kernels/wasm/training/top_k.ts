/** The largest values on the CPU: see kernels/operators/training/top_k.ts. */
import { TOP_BINS, TOP_SHIFTS, topKCost, type TopKProblem } from "../../operators/training/top_k.ts";
import { distance, walk } from "../elementwise/simd.ts";
import { f32, f64, i32, i64 } from "../emit/expression.ts";
import { type Kernel, kernelOf } from "../emit/module_builder.ts";
import type { KernelCall, Operator } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";

export interface TopK extends TopKProblem {
  /** Where in the result slot its f64 is, in bytes. */
  readonly resultOffset: number;
}

/** Values of an item. */
const ITEM_VALUES = 1 << 14;
const PARTS = "top values' parts";
const STATE = "top values' state";

const TOP_FIELDS = {
  values: "address",
  /** i32 [items][TOP_BINS]; then f64 [items]: sums of the values above the k-th. */
  parts: "address",
  /** i32: bits of the k-th largest value as far as known, how many of the values that have them count, how many do have them. */
  state: "address",
  result: "address",
  count: "i32",
  items: "i32",
  k: "i32",
  /** Of the byte a pass is about. */
  shift: "i32",
  /** Of each of the k values. */
  weight: "f32",
} as const satisfies ParamTypes;

export function planTopK(spec: TopK): Operator {
  const items = Math.ceil(spec.count / ITEM_VALUES);
  const call = (kernel: string, callItems: number, shift = 0): KernelCall => ({
    kernel,
    params: listParams(TOP_FIELDS, {
      values: { slot: spec.valuesSlot },
      parts: { slot: PARTS },
      state: { slot: STATE },
      result: { slot: spec.resultSlot, offset: spec.resultOffset },
      count: spec.count,
      items,
      k: spec.k,
      shift,
      weight: spec.weight / spec.k,
    }),
    items: callItems,
    scratchBytes: 0,
  });
  return {
    algorithm: "largest values by their bytes",
    calls: [
      ...TOP_SHIFTS.flatMap((shift) => [call("top_histogram", items, shift), call("top_choice", 1, shift)]),
      call("top_shares", items),
      call("top_total", 1),
    ],
    temporaries: { [PARTS]: items * TOP_BINS * 4, [STATE]: 16 },
    ...topKCost(spec.count),
    coreSeconds: spec.count * 8e-9,
  };
}

const histogramKernel = kernelOf("top_histogram", TOP_FIELDS, (f, p, item) => {
  const bins = f.local("i64", i64.add(p.parts, distance(item, TOP_BINS * 4)));
  const first = f.local("i32", i32.mul(item, ITEM_VALUES));
  const count = f.local("i32", i32.min(f.local("i32", i32.sub(p.count, first)), ITEM_VALUES));
  const from = f.local("i64", i64.add(p.values, distance(first, 4)));
  const above = f.local("i32", i32.shrU(i32.shrU(i32.load(p.state), p.shift), 8));
  const [bits, bin] = [f.local("i32"), f.local("i64")];
  f.zeroBytes(bins, i64.const(TOP_BINS * 4));
  // Nothing is known yet in the first pass.
  f.if(i32.eq(p.shift, TOP_SHIFTS[0]), () => f.set(above, 0));
  f.countdown(count, () => {
    f.set(bits, i32.shrU(i32.load(from), p.shift));
    f.if(i32.eq(i32.shrU(bits, 8), above), () => {
      f.set(bin, i64.add(bins, distance(i32.and(bits, TOP_BINS - 1), 4)));
      f.storeI32(bin, i32.add(i32.load(bin), 1));
    });
    f.add(from, 4);
  });
});

/** One item: the byte of the k-th largest value. */
const choiceKernel = kernelOf("top_choice", TOP_FIELDS, (f, p) => {
  const [known, left] = [f.local("i32", i32.load(p.state)), f.local("i32", i32.load(p.state, 4))];
  f.if(i32.eq(p.shift, TOP_SHIFTS[0]), () => {
    f.set(known, 0);
    f.set(left, p.k);
  });
  const [bin, there, from] = [f.local("i32", TOP_BINS), f.local("i32"), f.local("i64")];
  f.loop((again) => {
    f.add(bin, -1);
    f.set(there, 0);
    f.set(from, i64.add(p.parts, distance(bin, 4)));
    f.countdown(p.items, () => {
      f.set(there, i32.add(there, i32.load(from)));
      f.add(from, TOP_BINS * 4);
    });
    f.if(i32.ltS(there, left), () => {
      f.set(left, i32.sub(left, there));
      f.br(again);
    });
  });
  f.storeI32(p.state, i32.or(known, i32.shl(bin, p.shift)));
  f.storeI32(p.state, left, 4);
  f.storeI32(p.state, there, 8);
});

const sharesKernel = kernelOf("top_shares", TOP_FIELDS, (f, p, item) => {
  const first = f.local("i32", i32.mul(item, ITEM_VALUES));
  const count = f.local("i32", i32.min(f.local("i32", i32.sub(p.count, first)), ITEM_VALUES));
  const from = f.local("i64", i64.add(p.values, distance(first, 4)));
  const least = f.local("i32", i32.load(p.state));
  const fraction = f32.div(f32.convertI32S(i32.load(p.state, 4)), f32.convertI32S(i32.load(p.state, 8)));
  const tied = f.local("f32", f32.mul(p.weight, fraction));
  const bits = f.local("i32");
  const sum = f.local("f64", 0);
  const share = f.local("f32");
  f.countdown(count, () => {
    f.set(bits, i32.load(from));
    f.set(share, 0);
    f.if(i32.eq(bits, least), () => f.set(share, tied));
    f.if(i32.gtS(bits, least), () => {
      f.set(share, p.weight);
      f.set(sum, f64.add(sum, f64.promote(f32.reinterpretI32(bits))));
    });
    f.storeF32(from, share);
    f.add(from, 4);
  });
  f.storeF64(i64.add(p.parts, distance(item, 8)), sum);
});

/** One item: the mean. */
const totalKernel = kernelOf("top_total", TOP_FIELDS, (f, p) => {
  const least = f64.promote(f32.load(p.state));
  const sum = f.local("f64", f64.mul(least, f64.convertI32S(i32.load(p.state, 4))));
  const at = f.local("i64", 0);
  walk(f, at, distance(p.items, 8), 8, () => f.set(sum, f64.add(sum, f64.load(i64.add(p.parts, at)))));
  f.storeF64(p.result, f64.add(f64.load(p.result), f64.mul(sum, f64.promote(p.weight))));
});

export const TOP_K_KERNELS: readonly Kernel[] = [histogramKernel, choiceKernel, sharesKernel, totalKernel];
