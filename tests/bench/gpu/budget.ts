/**
 * A bench's time shared out: parts one after the other, each with a share of the whole budget, cut or left out by name where time runs
 * out. Pure: the clock is given.
 */
import { messageOf } from "../../../core/base/errors.ts";

/** Milliseconds, whatever their origin. */
export type Clock = () => number;

/** What a part is told of its time. */
export interface Limit {
  /** Milliseconds left; never below 0. */
  left(): number;
  /** True if there is time for a piece that is expected to take so many milliseconds; where there is not, the piece is noted as cut. */
  allows(piece: string, milliseconds?: number): boolean;
}

export function createLimit(clock: Clock, milliseconds: number, onCut: (piece: string) => void): Limit {
  const end = clock() + milliseconds;
  const left = () => Math.max(0, end - clock());
  return {
    left,
    allows(piece, expected = 0) {
      if (left() > expected) return true;
      onCut(piece);
      return false;
    },
  };
}

/** How a repeated piece is named, how often it is done, and whether the first times count. */
export interface Repetition {
  readonly piece: string;
  readonly runs: number;
  /** Runs before those that count. */
  readonly warmUps?: number;
}

/**
 * Milliseconds of a piece's runs. While time is left for one more, as long as the last one took; none where there is time for none.
 * Cut short it still counts its last warm-up, if no other run was done.
 */
export async function repeat(
  clock: Clock,
  limit: Limit,
  { piece, runs, warmUps = 2 }: Repetition,
  once: () => Promise<unknown>,
): Promise<number[]> {
  const times: number[] = [];
  let last = 0;
  for (let run = 0; run < runs + warmUps; run++) {
    const what = run === 0 ? piece : `${piece} after ${run} of ${runs + warmUps} runs`;
    if (!limit.allows(what, last)) break;
    const start = clock();
    await once();
    last = clock() - start;
    times.push(last);
  }
  return times.length > warmUps ? times.slice(warmUps) : times.slice(-1);
}

/** A part of a bench. */
export interface Part {
  readonly name: string;
  /** Of the budget, against those of the others. */
  readonly share: number;
  /** Seconds below which it is not begun. */
  readonly least: number;
  /**
   * @param limit Milliseconds it may take
   * @returns how it went; what it throws is taken for a failure
   */
  run(limit: number): Promise<PartEnd>;
}

/** How a part ended; `why` is for people, where there is something to say. */
export interface PartEnd {
  readonly state: "done" | "cut" | "skipped" | "failed";
  readonly why?: string;
}

export interface PartReport extends PartEnd {
  readonly seconds: number;
}

/** Milliseconds for the first of these parts: its share of what is left, so that what one leaves goes to all that follow. */
function allowanceOf([first, ...others]: readonly Pick<Part, "share">[], left: number): number {
  const all = others.reduce((sum, { share }) => sum + share, first.share);
  return Math.max(0, left * first.share / all);
}

/**
 * Runs the parts within the budget.
 * @param report Awaited after each part
 */
export async function runParts(
  parts: readonly Part[],
  budgetSeconds: number,
  clock: Clock,
  report: (name: string, end: PartReport) => Promise<void>,
): Promise<void> {
  const end = clock() + 1000 * budgetSeconds;
  for (const [i, part] of parts.entries()) {
    const start = clock();
    const allowance = allowanceOf(parts.slice(i), end - start);
    const ended = await runPart(part, allowance);
    await report(part.name, { ...ended, seconds: (clock() - start) / 1000 });
  }
}

async function runPart({ least, run }: Part, allowance: number): Promise<PartEnd> {
  if (allowance < 1000 * least) {
    return { state: "skipped", why: `${(allowance / 1000).toFixed(1)} s are left for it, it takes ${least}` };
  }
  try {
    return await run(allowance);
  } catch (error) {
    return { state: "failed", why: messageOf(error) };
  }
}
