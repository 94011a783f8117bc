/**
 * Statistics of an output, for the norm that follows: of every part (a workgroup's voxels) the voxel count, and per channel the mean and
 * the sum of squared distances from it (M2). Two passes over values that are still in registers: no cancellation, as sums of squares
 * would have. Parts are merged later in fixed order (Chan, Golub and LeVeque 1979).
 */
import { padToFour } from "../../../core/base/shape.ts";
import { type ArrayView, wholeView } from "../emit/views.ts";
import { unroll, wgsl } from "../emit/template.ts";
import type { WgslConvProblem } from "./problem.ts";

/** f32 of one part. */
const partLength = (channels: number) => 1 + 2 * padToFour(channels);

export function statisticsSize(problem: WgslConvProblem, parts: number) {
  if (!problem.statistics) return {};
  return { statistics: { parts, bytes: problem.batch * parts * partLength(problem.outputChannels) * 4 } };
}

export function statisticsViews(problem: WgslConvProblem): ArrayView[] {
  const slot = problem.output.statisticsSlot;
  return problem.statistics && slot !== undefined ? [wholeView("statistics", slot, "f32", "read_write")] : [];
}

/** One vec4 of channels, whose values are spread over threads. */
export interface SpreadChannels {
  /** Statements that add this thread's values, or (value - mean)^2, to a variable: `add` gives the statement for one value. */
  readonly values: (add: (value: string) => string) => string;
  /** Where in workgroup memory this thread's share is: "shared_m[lane]". */
  readonly mine: string;
  /** Where all the shares of these channels are, in the order they are added. */
  readonly shares: readonly string[];
  /** Block of four channels (an expression of u32). */
  readonly block: string;
}

/**
 * Statements that leave the moments of part `part` (an expression). All threads of the workgroup run them: they hold barriers.
 * `writer` is true for one thread of each block of channels.
 */
export function statisticsText(s: {
  readonly channels: number;
  readonly spread: readonly SpreadChannels[];
  readonly count: string;
  readonly part: string;
  readonly writer: string;
}): string {
  const padded = padToFour(s.channels);
  const addShares = (name: string, shares: readonly string[]) => [
    `var ${name} = vec4f(0.0);`,
    ...shares.map((share) => `${name} += ${share};`),
  ];
  return wgsl`
let count = ${s.count};
${
    s.spread.map(({ values, mine }, j) =>
      `var sum_${j} = vec4f(0.0);
${values((value) => `sum_${j} += ${value};`)}
${mine} = sum_${j};`
    )
  }
workgroupBarrier();
${s.spread.map(({ shares }, j) => [...addShares(`mean_${j}`, shares), `mean_${j} /= count;`].join("\n"))}
workgroupBarrier();
${
    s.spread.map(({ values, mine }, j) =>
      `var square_${j} = vec4f(0.0);
${values((value) => `{ let apart = ${value} - mean_${j}; square_${j} = fma(apart, apart, square_${j}); }`)}
${mine} = square_${j};`
    )
  }
workgroupBarrier();
if (${s.writer}) {
  let at = (${s.part}) * ${1 + 2 * padded}u;
  ${
    s.spread.map(({ shares, block }, j) =>
      `{
  let block = ${block};
  if (block == 0u) { store_statistics(at, count); }
  if (block < ${padded / 4}u) {
    ${addShares("m2", shares).join("\n    ")}
    ${
        unroll(4, (i) =>
          `store_statistics(at + ${1 + i}u + 4u * block, mean_${j}[${i}]); ` +
          `store_statistics(at + ${1 + padded + i}u + 4u * block, m2[${i}]);`).join("\n    ")
      }
  }
}`
    )
  }
}`;
}
