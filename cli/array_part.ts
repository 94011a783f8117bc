/**
 * Which part of the work a process has that a scheduler started as one of many: an element of a SLURM array, a pod of a Kubernetes
 * indexed job. Sources: "Job Array Environment Variables" of SLURM's sbatch, "Indexed completion mode" of Kubernetes' Jobs.
 */
import { UsageError, UserError } from "../core/base/errors.ts";

type Get = (name: string) => string | undefined;

/** A process's place among those that were started with it. */
export interface ArrayPlace {
  /** "SLURM's array" or "Kubernetes' indexed job". */
  readonly scheduler: string;
  /** The variable that has the index. */
  readonly variable: string;
  readonly index: number;
  /** Smallest and largest index, and how many there are, where the scheduler tells. */
  readonly min?: number;
  readonly max?: number;
  readonly count?: number;
  /** SLURM's step from one index to the next; of a list of indices it says nothing. */
  readonly step?: number;
}

/** One of `parts` equal shares, counted from 0. */
export interface Part {
  readonly parts: number;
  readonly part: number;
  /** Where it is from, to be told; undefined where the command line says it. */
  readonly from?: string;
}

/** What Kubernetes does not tell its pods, and a manifest can set. */
export const COMPLETIONS = "JOB_COMPLETIONS";
const DOING = "taking this process's part of the work";
const WAY_OUT = "give the part with -num_parts N -part_id K, K being 0 to N-1; -num_parts 1 does all of it";

/** Undefined where no scheduler has numbered this process. @throws UserError for a variable that is no whole number */
export function readArrayPlace(get: Get): ArrayPlace | undefined {
  const variable = ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"].find((name) => get(name));
  if (variable === undefined) return undefined;
  const index = wholeNumber(get, variable) ?? 0;
  if (variable === "JOB_COMPLETION_INDEX") {
    const count = wholeNumber(get, COMPLETIONS);
    return { scheduler: "Kubernetes' indexed job", variable, index, min: 0, count };
  }
  const of = (name: string) => wholeNumber(get, `SLURM_ARRAY_TASK_${name}`);
  return {
    scheduler: "SLURM's array",
    variable,
    index,
    min: of("MIN"),
    max: of("MAX"),
    count: of("COUNT"),
    step: of("STEP"),
  };
}

function wholeNumber(get: Get, name: string): number | undefined {
  const text = get(name);
  if (!text) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UserError({
    doing: DOING,
    problem: `the variable ${name} is '${text}', and a whole number from 0 on is needed`,
    remedy: `unset it, or ${WAY_OUT}`,
  });
}

/**
 * The part that the flags say, else the scheduler's. `-num_parts N` without `-part_id` takes the scheduler's index as it is.
 * @param place Undefined where no scheduler is to be asked
 * @throws UsageError for a part beyond the flags' number; UserError where the scheduler's variables don't tell
 */
export function choosePart(
  { parts, part }: { readonly parts?: number; readonly part?: number },
  place: ArrayPlace | undefined,
): Part {
  if (part !== undefined || parts === 1 || place === undefined) {
    checkPart(parts ?? 1, part ?? 0);
    return { parts: parts ?? 1, part: part ?? 0 };
  }
  const { scheduler, variable, index } = place;
  const from = `${scheduler}, ${variable}=${index}; -num_parts 1 does all of it`;
  if (parts === undefined) return { ...rankOf(place), from };
  const largest = Math.max(index, place.max ?? 0);
  if (largest < parts) return { parts, part: index, from };
  // Said by every process, as with one part missing the work would look done.
  throw new UsageError(
    `argument -num_parts: it is ${parts}, and ${scheduler} goes to ${largest} (${variable}=${index}): with -num_parts the ` +
      `index is the part, 0 to ${parts - 1}; number the array from 0, or leave -num_parts out`,
  );
}

/** @throws UsageError for a part beyond the number of parts */
export function checkPart(parts: number, part: number): void {
  if (part < parts) return;
  throw new UsageError(
    `argument -part_id: it is ${part} of -num_parts ${parts}; ` +
      `${parts === 1 ? "0 is the only part" : `a number from 0 to ${parts - 1} is needed`}`,
  );
}

/** True where an array's variables don't tell an element's rank: of more than three indices with uneven gaps. */
export function hasNoRank(place: ArrayPlace): boolean {
  const { index, min = 0, max = 0, count = 0 } = place;
  return count > 3 && max - min + 1 > count && index >= min && index <= max && !isEven(place);
}

function isEven({ index, min = 0, max = 0, count = 0, step = 0 }: ArrayPlace): boolean {
  return step > 0 && min + (count - 1) * step === max && (index - min) % step === 0;
}

/** The index's rank among those of the array. @throws UserError where the variables don't tell it */
function rankOf(place: ArrayPlace): Part {
  const { scheduler, variable, index, min, max, count, step } = place;
  const refuse = (problem: string, remedy: string) => new UserError({ doing: DOING, problem, remedy });
  const here = `this process is ${index} of ${scheduler} (${variable})`;
  if (count === undefined || count === 0) {
    const name = scheduler.startsWith("SLURM") ? "SLURM_ARRAY_TASK_COUNT" : COMPLETIONS;
    throw refuse(`${here}, and how many there are is not said`, `set ${name} to their number, or ${WAY_OUT}`);
  }
  const first = min ?? 0;
  const last = max ?? first + count - 1;
  if (index < first || index > last) {
    throw refuse(`${here}, and the ${count} indices are ${first} to ${last}`, `mend the variables, or ${WAY_OUT}`);
  }
  if (last - first + 1 === count) return { parts: count, part: index - first };
  if (count === 1 || last - first + 1 < count) {
    throw refuse(`${here}, and no ${count} indices go from ${first} to ${last}`, `mend the variables, or ${WAY_OUT}`);
  }
  // Of up to three indices the ends are known, so that the one between is.
  if (count <= 3) return { parts: count, part: index === first ? 0 : index === last ? count - 1 : 1 };
  if (step !== undefined && isEven(place)) return { parts: count, part: (index - first) / step };
  throw refuse(
    `${here}, whose ${count} indices between ${first} and ${last} are not evenly spaced: SLURM does not tell which they are`,
    `number the array without gaps (--array=0-${count - 1}); or ${WAY_OUT}; or let the processes share the cases`,
  );
}

/** For a training whose fold is `array`: the index as it is. @throws UserError outside an array */
export function requireArrayPlace(get: Get): ArrayPlace {
  const place = readArrayPlace(get);
  if (place) return place;
  throw new UserError({
    doing: "choosing the fold",
    problem: "the fold is 'array', and neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set",
    remedy: "start it as an array (sbatch --array=0-4) or an indexed job, or name the fold",
  });
}
