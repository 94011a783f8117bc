/** Ways to compute one thing: the first that the device can run, or all of them for an autotuner. */
import type { WgslOperator } from "../kernel.ts";
import type { ConvLimits } from "./problem.ts";
import { BindingLimitError } from "./touched.ts";

/** What there are ways for. */
interface WithWays {
  readonly name: string;
  readonly limits: Pick<ConvLimits, "refuses" | "avoids">;
}

/** A way that was not planned yet. */
export interface Way {
  /** The operator's algorithm: tells the ways of a problem apart, and stays the same from version to version. */
  readonly name: string;
  /** Forecast for the nominal GPU. */
  readonly seconds: number;
  readonly plan: () => WgslOperator;
}

/** A way and what was planned. */
export type Planned<W extends Way> = W & { readonly operator: ReturnType<W["plan"]> };

/** A way's name without what depends on the size of a layer. */
export const withoutChunk = (name: string) => name.replace(/ by \d+$/, "");

/** The wanted way first: the very one, else the one that differs in its chunk alone (another batch has others). */
export function preferring<W extends Way>(wanted: string | undefined, ways: readonly W[]): readonly W[] {
  if (wanted === undefined) return ways;
  const first = ways.find(({ name }) => name === wanted) ??
    ways.find(({ name }) => withoutChunk(name) === withoutChunk(wanted));
  return first ? [first, ...ways] : ways;
}

/** What can be planned, or why it cannot. */
function attempt<W extends Way>({ name, limits }: WithWays, way: W): Planned<W> | BindingLimitError {
  if (limits.avoids?.(way.name)) {
    return new BindingLimitError(`Describing the convolution ${name}: the device computes wrong by ${way.name}`);
  }
  try {
    const operator = way.plan() as ReturnType<W["plan"]>;
    const refused = limits.refuses && operator.dispatches.find(limits.refuses);
    if (!refused) return { ...way, operator };
    return new BindingLimitError(`Describing the convolution ${name}: the driver refuses the kernel ${refused.name}`);
  } catch (error) {
    if (error instanceof BindingLimitError) return error;
    throw error;
  }
}

/** The first way that the device can run. @throws BindingLimitError if there is none, with why the first cannot be. */
export function firstOf<W extends Way>(problem: WithWays, ways: readonly W[]): Planned<W> {
  let refused: BindingLimitError | undefined;
  for (const way of ways) {
    const planned = attempt(problem, way);
    if (!(planned instanceof BindingLimitError)) return planned;
    refused ??= planned;
  }
  throw refused ??
    new BindingLimitError(
      `Describing the convolution ${problem.name}: the device has too little workgroup memory for any way`,
    );
}

/** All that can be planned, each name once. @throws as {@link firstOf} */
export function allOf<W extends Way>(problem: WithWays, ways: readonly W[]): Planned<W>[] {
  const distinct = ways.filter((way, i) => ways.findIndex(({ name }) => name === way.name) === i);
  const planned = distinct.map((way) => attempt(problem, way)).flatMap((p) =>
    p instanceof BindingLimitError ? [] : [p]
  );
  if (planned.length === 0) firstOf(problem, ways);
  return planned;
}
