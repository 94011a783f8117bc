/**
 * What belongs to a prediction run whatever computes it: its output folder, what is there already, cases that are shared with other
 * processes, and the summary.
 */
import { Interrupted, UserError, type UserErrorParts } from "../../base/errors.ts";
import { removeLeftovers } from "../../base/leftovers.ts";
import { dirname } from "../../base/path.ts";
import type { StepCost } from "../../engine/engine.ts";
import { isPredicted, writeRunFiles } from "./output_folder.ts";
import type {
  CaseRecord,
  CaseToPredict,
  FailedCase,
  PredictionHooks,
  PredictionOptions,
  PredictionRequest,
  PredictionSummary,
} from "./request.ts";
import { openShared, refuseOtherRun, withClaims } from "./shared_run.ts";

/** As upstream. */
export const DEFAULTS = {
  stepSize: 0.5,
  mirroring: true,
  saveProbabilities: false,
  continuePrediction: false,
  share: false,
  nonFinite: "refuse",
  overlap: true,
  checksums: false,
} as const;

export type Options = PredictionOptions & Required<Pick<PredictionOptions, keyof typeof DEFAULTS>>;

/** Gives the next case; undefined where there is none at this moment. */
export type Take = () => Promise<CaseToPredict | undefined>;

/** Where the cases of a run come from. */
export interface CaseSource {
  /** A case that is to be begun with; undefined once there is none left, and none may come back. */
  next(): Promise<CaseToPredict | undefined>;
  /** Another one; undefined where there is none at this moment. */
  take: Take;
  /** How many there are at least to come; Infinity where that is not known. */
  left(): number;
  /** The engine's forecast of one program run. */
  steps: readonly StepCost[];
}

/** A run without what computes it. */
export type RunRequest = Omit<PredictionRequest, "engine" | "renew" | "recover">;

/**
 * Does what belongs to a run whatever computes it: the output folder, what is there already, cases shared with other processes, summary.
 * @param work Predicts the cases of the source, and tells of each that is done or has failed
 * @throws as {@link predictCases}
 */
export async function predictWith(
  request: RunRequest,
  hooks: PredictionHooks,
  work: (source: CaseSource, told: PredictionHooks) => Promise<void>,
): Promise<PredictionSummary> {
  const started = performance.now();
  const options: Options = { ...DEFAULTS, ...request.options };
  const { model } = request;
  if (request.outputFolder !== undefined) {
    await refuseOtherRun(request, options);
    await writeRunFiles(request.outputFolder, model, request.arguments);
  } else for (const folder of new Set(request.cases.map(({ output }) => dirname(output)))) removeLeftovers(folder);
  const { todo, skipped } = await splitDone(request, options);
  using shared = openShared(request, options, todo);
  const done: CaseRecord[] = [];
  const failed: FailedCase[] = [];
  const { told, whileWritten } = untilUnwritten(
    collecting(shared ? withClaims(hooks, shared) : hooks, done, failed),
    shared !== null,
  );
  hooks.onEvent?.({ kind: "start", cases: todo.length, skipped: skipped.length });
  const listed = oneByOne(todo);
  const source: CaseSource = {
    next: whileWritten(shared ? () => shared.wait(hooks.signal) : listed.take),
    take: whileWritten(shared ? oneAtATime(shared.take) : listed.take),
    left: shared ? () => Infinity : listed.left,
    steps: [],
  };
  if (todo.length > 0) await work(source, told);
  if (hooks.signal?.aborted) throw new Interrupted("The prediction was stopped");
  const inOrder = new Map(request.cases.map(({ id }, index) => [id, index]));
  const byOrder = (a: { id: string }, b: { id: string }) => (inOrder.get(a.id) ?? 0) - (inOrder.get(b.id) ?? 0);
  return {
    done: done.sort(byOrder),
    skipped: [...skipped, ...(shared?.elsewhere ?? [])],
    failed: failed.sort(byOrder),
    seconds: (performance.now() - started) / 1000,
    steps: source.steps,
  };
}

/** Keeps what the events tell of cases that have ended. */
function collecting({ onEvent, signal }: PredictionHooks, done: CaseRecord[], failed: FailedCase[]): PredictionHooks {
  return {
    signal,
    onEvent(event) {
      if (event.kind === "done") done.push(event.record);
      if (event.kind === "failed") failed.push({ id: event.id, error: event.error, message: event.message });
      onEvent?.(event);
    },
  };
}

/** So many results in a row that the disk did not take end the run: a smaller one may find room, and some may be made meanwhile. */
const MOST_UNWRITTEN = 2;

/**
 * Begins no further case once results can't be written any more, as hours of work would be in vain: those that are left fail as the
 * last one did, or are left to other processes.
 */
function untilUnwritten(
  hooks: PredictionHooks,
  isShared: boolean,
): { readonly told: PredictionHooks; readonly whileWritten: (take: Take) => Take } {
  let unwritten = 0;
  let last: UserErrorParts | undefined;
  return {
    told: {
      signal: hooks.signal,
      onEvent(event) {
        if (event.kind === "done") unwritten = 0;
        if (event.kind === "failed" && event.error.endsRun) {
          unwritten++;
          last = event.error;
        }
        hooks.onEvent?.(event);
      },
    },
    whileWritten: (take) => async () => {
      for (;;) {
        if (isShared && unwritten >= MOST_UNWRITTEN) return undefined;
        const one = await take();
        const reason = unwritten >= MOST_UNWRITTEN ? last : undefined;
        if (!one || !reason) return one;
        const { parts, message } = new UserError({ ...reason, caseId: one.id, file: one.output });
        hooks.onEvent?.({ kind: "failed", id: one.id, error: parts, message });
      }
    },
  };
}

async function splitDone({ cases, model }: RunRequest, options: Options) {
  const todo: CaseToPredict[] = [];
  const skipped: string[] = [];
  for (const one of cases) {
    const there = (options.continuePrediction || options.share) &&
      await isPredicted(one, model.dataset.fileEnding, options.saveProbabilities);
    if (there) skipped.push(one.id);
    else todo.push(one);
  }
  return { todo, skipped };
}

/** Several threads ask for cases: each is looked at and claimed before the next one is asked for. */
function oneAtATime(take: Take): Take {
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const next = last.then(take);
    last = next.catch(() => {});
    return next;
  };
}

function oneByOne(cases: readonly CaseToPredict[]): Pick<CaseSource, "take" | "left"> {
  let at = 0;
  return { take: () => Promise.resolve(cases.at(at++)), left: () => Math.max(0, cases.length - at) };
}
