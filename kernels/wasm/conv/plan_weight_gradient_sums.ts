/** What both forms of a weight gradient plan alike: the sums of a pair of channel ranges, in groups of channels and chunks of voxels. */
import type { Vec3 } from "../../../core/base/shape.ts";
import { ceilDiv } from "../../operators/arithmetic.ts";
import type { KernelCall, Param } from "../kernel.ts";
import { at } from "../params.ts";
import type { WeightGradientProblem } from "./problem.ts";
import type { WeightGradientPair } from "./weight_gradient_sides.ts";
import { finishScratch, unitsOf, weightGradientFinish } from "./weight_gradient_sums.ts";
import { align64 } from "./winograd_block.ts";

/** Channels of an item, and in how many chunks the voxels are. */
export interface SumsChoice {
  readonly groupA: number;
  readonly groupB: number;
  readonly chunks: number;
}

/** The products of a pair, and how their sums become taps. */
export interface SumsShape {
  /** Channels of A in memory. */
  readonly channelsA: number;
  readonly rows: number;
  readonly columns: number;
  readonly transforms: 0 | 1;
  readonly scheme: Vec3;
  readonly weights: Vec3;
  readonly taps: Vec3;
}

/** The calls of a pair, and the bytes of the sums of its chunks. */
export interface PairCalls {
  readonly calls: readonly KernelCall[];
  readonly sumsBytes: number;
}

/** `scratchBytes` are taken before the regions; `sumsSlot` holds the sums of several chunks. */
export function planSums(
  problem: WeightGradientProblem,
  { a, b, allA }: WeightGradientPair,
  { groupA, groupB, chunks }: SumsChoice,
  shape: SumsShape,
  sumsSlot: string,
  scratchBytes: number,
) {
  const groups = ceilDiv(shape.channelsA, groupA) * ceilDiv(b.padded, groupB);
  const groupBytes = shape.rows * shape.columns * groupA * groupB * 4;
  const finish = finishScratch(shape.weights, shape.taps);
  const split = chunks > 1;
  let end = scratchBytes;
  return {
    params: {
      ...shape,
      sums: at(split ? sumsSlot : problem.weightGradientSlot),
      target: at(problem.weightGradientSlot),
      chunks,
      channelsB: b.padded,
      groupA,
      groupB,
      realA: a.channels,
      realB: b.channels,
      firstA: a.first,
      firstB: b.first,
      allA,
    },
    /** Where a region of scratch begins; regions follow each other as they are asked for. */
    region: (bytes: number) => {
      const start = end;
      end += align64(bytes);
      return start;
    },
    /** Bytes of an item's sums and of finishing them, where it does that. */
    itemBytes: split ? { sums: 0, finish: 0 } : { sums: groupBytes, finish },
    callsOf: (kernel: string, params: readonly Param[]): PairCalls => {
      const calls = [{ kernel, params, items: groups * chunks, scratchBytes: end }];
      const units = groups * unitsOf(groupA, groupB);
      if (split) calls.push({ kernel: weightGradientFinish.name, params, items: units, scratchBytes: finish });
      return { calls, sumsBytes: split ? chunks * groups * groupBytes : 0 };
    },
  };
}
