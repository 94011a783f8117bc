/** Numbers that describe a metric of one target over cases. */
import { plainMean } from "./summary.ts";

export interface CaseValue {
  readonly caseId: string;
  readonly value: number;
}

export interface Statistics {
  /** Cases whose value is a number. */
  readonly count: number;
  /** Those whose value is infinite, as a distance to what is not there is: they are the worst, and in none of the means. */
  readonly infinite: number;
  /** Of the finite values; NaN where there is none. */
  readonly mean: number;
  /** As numpy.std: of the values themselves, not of what they are drawn from. */
  readonly std: number;
  readonly median: number;
  readonly quartiles: readonly [lower: number, upper: number];
  /** The first of the cases with the worst value; undefined where there is no value. */
  readonly worst?: CaseValue;
}

/** @param worse Whether small values are the worst, as of Dice, or large ones, as of distances */
export function describeValues(all: readonly CaseValue[], worse: "small" | "large"): Statistics {
  const known = all.filter(({ value }) => !Number.isNaN(value));
  const finite = known.map(({ value }) => value).filter(Number.isFinite).sort((a, b) => a - b);
  const mean = plainMean(finite);
  const isWorse = (a: number, b: number) => worse === "small" ? a < b : a > b;
  const worst = known.reduce<CaseValue | undefined>((w, one) => w && !isWorse(one.value, w.value) ? w : one, undefined);
  return {
    count: known.length,
    infinite: known.length - finite.length,
    mean,
    std: Math.sqrt(plainMean(finite.map((value) => (value - mean) ** 2))),
    median: quantile(finite, 0.5),
    quartiles: [quantile(finite, 0.25), quantile(finite, 0.75)],
    ...(worst && { worst }),
  };
}

/** As numpy.quantile, of sorted values: between the two next to it, linearly; NaN of none. */
function quantile(sorted: readonly number[], share: number): number {
  const rank = share * (sorted.length - 1);
  const below = Math.floor(rank);
  if (sorted.length === 0) return NaN;
  const next = sorted[Math.min(below + 1, sorted.length - 1)];
  return sorted[below] + (rank - below) * (next - sorted[below]);
}
