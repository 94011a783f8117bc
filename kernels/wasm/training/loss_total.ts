/** From an output's sums over voxels to its loss, and the coefficients of its gradient: kernels/operators/training/loss.ts. */
import { padToFour } from "../../../core/base/shape.ts";
import { distance } from "../elementwise/simd.ts";
import { type Expr, f32, f32x4, f64, i32, i64 } from "../emit/expression.ts";
import { kernelOf } from "../emit/module_builder.ts";
import type { KernelCall } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";
import type { LossSums } from "./loss.ts";

const LOSS_TOTAL_FIELDS = {
  parts: "address",
  coefficients: "address",
  result: "address",
  sums: "address",
  batch: "i32",
  itemsPerSample: "i32",
  channels: "i32",
  padded: "i32",
  /** First channel with a Dice. */
  firstChannel: "i32",
  batchDice: "i32",
  regions: "i32",
  ignores: "i32",
  smooth: "f32",
  diceWeight: "f32",
  crossEntropyWeight: "f32",
  outputWeight: "f32",
} as const satisfies ParamTypes;

/** `parts` are the items' sums, `sums` has room for the totals: f64 [3][padded channels]. */
export function lossTotal(
  spec: LossSums,
  itemsPerSample: number,
  slots: { readonly parts: string; readonly sums: string },
): KernelCall {
  const params = listParams(LOSS_TOTAL_FIELDS, {
    parts: { slot: slots.parts },
    coefficients: { slot: spec.coefficientsSlot },
    result: { slot: spec.resultSlot, offset: spec.resultOffset },
    sums: { slot: slots.sums },
    batch: spec.batch,
    itemsPerSample,
    channels: spec.channels,
    padded: padToFour(spec.channels),
    firstChannel: spec.regions ? 0 : 1,
    batchDice: spec.batchDice ? 1 : 0,
    regions: spec.regions ? 1 : 0,
    ignores: spec.ignores ? 1 : 0,
    smooth: spec.smooth,
    diceWeight: spec.diceWeight,
    // With TopK the cross-entropy is added to the Dice afterwards.
    crossEntropyWeight: spec.topK ? 0 : spec.crossEntropyWeight,
    outputWeight: spec.outputWeight,
  });
  return { kernel: "loss_total", params, items: 1, scratchBytes: 0 };
}

/** One item: everything. */
export const lossTotalKernel = kernelOf("loss_total", LOSS_TOTAL_FIELDS, (f, p) => {
  const voxelBytes = f.local("i64", distance(p.padded, 4));
  const [entropy, counted, dice, weight] = [
    f.local("f64", 0),
    f.local("f64", 0),
    f.local("f64", 0),
    f.local("f64"),
  ];
  const [from, to, source] = [f.local("i64", p.parts), f.local("i64"), f.local("i64")];
  const promoted = (value: Expr<"f32">) => f64.promote(value);
  const channels = f.local("i32", i32.sub(p.channels, p.firstChannel));
  const samples = i32.select(f.local("i32", 1), p.batch, p.batchDice);
  const share = f.local("f64", f64.div(1, f64.convertI32S(i32.mul(channels, samples))));
  const outputWeight = f.local("f64", promoted(p.outputWeight));
  f.set(weight, f64.mul(f64.mul(outputWeight, promoted(p.diceWeight)), share));
  const sumBytes = f.local("i64", i64.mul(voxelBytes, 6));
  f.zeroBytes(p.sums, sumBytes);
  f.zeroBytes(p.coefficients, distance(i32.shl(p.batch, 1), voxelBytes));
  const [nominator, sum, denominator, a, b] = f.locals("f64", 5);

  /** Dice of every channel from the sums, and its coefficients for samples from `first` to the current one. */
  const finishDice = (first: Expr<"i32">, end: Expr<"i32">) => {
    f.for(p.firstChannel, p.channels, 1, (c) => {
      f.set(source, i64.add(p.sums, distance(c, 8)));
      const total = (row: number) => f64.load(i64.add(source, i64.mul(i64.shl(voxelBytes, 1), row)));
      f.set(nominator, f64.add(f64.mul(2, total(0)), promoted(p.smooth)));
      f.set(sum, f64.add(f64.add(total(1), total(2)), promoted(p.smooth)));
      f.set(denominator, f64.max(sum, 1e-8));
      f.set(dice, f64.add(dice, f64.div(nominator, denominator)));
      f.set(a, f64.div(f64.mul(-2, weight), denominator));
      f.set(b, f64.div(f64.mul(weight, nominator), f64.mul(denominator, denominator)));
      // Where the denominator is clipped it does not depend on the prediction.
      f.if(f64.lt(sum, 1e-8), () => f.set(b, 0));
      f.for(first, end, 1, (sample) => {
        f.set(to, i64.add(i64.add(p.coefficients, distance(i32.shl(sample, 1), voxelBytes)), distance(c, 4)));
        f.storeF32(to, f32.demote(a));
        f.storeF32(i64.add(to, voxelBytes), f32.demote(b));
      });
    });
    f.zeroBytes(p.sums, sumBytes);
  };

  f.for(0, p.batch, 1, (sample) => {
    f.countdown(p.itemsPerSample, () => {
      f.set(to, p.sums);
      f.countdown(i32.mul(p.padded, 3), () => {
        f.storeF64(to, f64.add(f64.load(to), promoted(f32.load(from))));
        f.add(from, 4);
        f.add(to, 8);
      });
      f.set(entropy, f64.add(entropy, promoted(f32.load(from))));
      f.set(counted, f64.add(counted, promoted(f32.load(from, 4))));
      f.add(from, 16);
    });
    const next = f.local("i32", i32.add(sample, 1));
    f.if(i32.eqz(p.batchDice), () => finishDice(sample, next));
  });
  f.if(p.batchDice, () => finishDice(f.local("i32", 0), p.batch));

  // What the cross-entropy is divided by; 0 / 0 voxels give 0.
  f.if(p.regions, () => {
    f.if(
      p.ignores,
      () => f.set(counted, f64.max(counted, 1e-8)),
      () => f.set(counted, f64.mul(counted, f64.convertI32S(p.channels))),
    );
  });
  const perVoxel = f.local("f64", f64.mul(outputWeight, promoted(p.crossEntropyWeight)));
  f.if(f64.eq(counted, 0), () => f.set(perVoxel, 0), () => f.set(perVoxel, f64.div(perVoxel, counted)));
  const vector = i64.add(p.coefficients, distance(i32.shl(p.batch, 1), voxelBytes));
  f.storeV128(vector, f32x4.splat(f32.demote(perVoxel)));
  f.storeF64(p.result, f64.sub(f64.mul(perVoxel, entropy), f64.mul(weight, dice)));
});
