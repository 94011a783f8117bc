/** Cases that have arrived, from their claim to their images' last place: none is two watchers', none is lost. */
import { type Claims, openClaims } from "../../core/base/claims.ts";
import { UserError, type UserErrorParts } from "../../core/base/errors.ts";
import { removeIfThere } from "../../core/base/files.ts";
import { basename, dirname, resolve } from "../../core/base/path.ts";
import type { ExpectedInput } from "../../core/dataset/input_cases.ts";
import { isSeries, noSource, type ObjectDetails } from "../../core/predict/run/case_outputs.ts";
import { isPredicted, probabilityPaths } from "../../core/predict/run/output_folder.ts";
import type { CaseToPredict, PredictionEvent } from "../../core/predict/run/request.ts";
import type { ResidentRun } from "../../core/predict/run/resident_models.ts";
import type { CommandContext } from "../commands/command.ts";
import { sayFailedCase } from "../event_log.ts";
import { filesToWrite, type OutputNames } from "../output_files.ts";
import { withFiles } from "../run_prediction.ts";
import { type Arrived, arrivedCase } from "./arrived_case.ts";
import { type Arrival, type LookedAt, type Settling, stateOf } from "./arrivals.ts";
import type { CaseTexts } from "./case_texts.ts";
import { predictStages, type Stages } from "./predict_stages.ts";
import { hasFailedAsItIs, moveArrival, reasonFile, writeReason } from "./put_aside.ts";

/** Until a case is tried again whose result could not be written, as on a full disk. */
const RETRY_MS = 60_000;

export interface WatchFolders {
  readonly input: string;
  readonly output: string;
  readonly done?: string;
  readonly failed?: string;
}

export interface CaseWork {
  readonly folders: WatchFolders;
  readonly expected: ExpectedInput;
  readonly names: OutputNames;
  /** True: DICOM files are written that refer to the images. */
  readonly refersToSource: boolean;
  readonly details: ObjectDetails | undefined;
  readonly options: ResidentRun["options"];
  readonly stages: Stages;
  /** Cases that are claimed at once. */
  readonly most: number;
  readonly texts: CaseTexts;
  readonly settling: Settling;
  /** True: what can't be written ends the work. */
  readonly once: boolean;
  readonly show: (event: PredictionEvent) => void;
  readonly say: (line: string) => void;
  readonly context: CommandContext;
}

/** What a watcher has done so far. */
export interface Tally {
  done: number;
  failed: number;
}

export interface CaseWorker extends Disposable {
  readonly tally: Tally;
  /** True for a case that is done and stays where it is. */
  isLeft(arrival: Arrival): Promise<boolean>;
  /**
   * Does some of the arrivals that have settled.
   * @returns false if there was nothing to do
   * @throws UserError for what is no case's own failure; Interrupted
   */
  work(settled: readonly LookedAt[]): Promise<boolean>;
}

interface Taken extends LookedAt {
  readonly state: string;
  readonly one: CaseToPredict;
}

type Failed = Extract<PredictionEvent, { readonly kind: "failed" }>;
type Ended = Failed | Extract<PredictionEvent, { readonly kind: "done" }>;

export function createCaseWorker(work: CaseWork): CaseWorker {
  const { folders, stages, expected, names, options, texts, settling, context } = work;
  const { model, firstStage } = stages;
  const { signal, event, warn } = context;
  const ending = model.dataset.fileEnding;
  const claims = claimsOf(folders);
  const tally: Tally = { done: 0, failed: 0 };
  /** States of arrivals that were found to be parts of cases. */
  const parts = new Map<string, string>();
  /** States of images that could not be moved when their case had ended, which is left alone as without a folder for them. */
  const unmoved = new Map<string, string>();

  const caseOf = (id: string, files: readonly string[] = []): CaseToPredict => ({ id, files, ...names.of(id) });

  async function isDone({ id }: Arrival): Promise<boolean> {
    return id !== "" && await isPredicted(caseOf(id), ending, options.saveProbabilities ?? false) &&
      await texts.areThere(caseOf(id));
  }

  async function isLeft(arrival: Arrival): Promise<boolean> {
    return folders.done === undefined && await isDone(arrival);
  }

  async function isToDo({ arrival, state }: LookedAt): Promise<boolean> {
    if (state === null || await isLeft(arrival)) return false;
    if (unmoved.get(arrival.id) === state && await isDone(arrival)) return false;
    // With a folder for them they are elsewhere, but for those that could not be moved.
    if (folders.failed !== undefined && unmoved.get(arrival.id) !== state) return true;
    return !await hasFailedAsItIs(reasonFile(folders.output, arrival), state);
  }

  async function take(looked: LookedAt): Promise<Taken | "nothing" | "failed"> {
    const { id } = looked.arrival;
    let found: Awaited<ReturnType<typeof findOut>>;
    try {
      found = await findOut(looked);
    } catch (error) {
      // Of this case alone, as a text that may not be read, or of a disk that is away for a while.
      if (!(error instanceof UserError) || (work.once && isOfDisk(error.parts, folders.output))) throw error;
      claims.release(id);
      if (!work.once) {
        tryLater(id, error.message);
        return "nothing";
      }
      tally.failed++;
      sayFailedCase(failureOf(id, error.withCase(id)), context);
      settling.startAgain(id, RETRY_MS);
      return "failed";
    }
    if (found === "nothing" || !("error" in found)) return found;
    const { parts: error, message } = found.error;
    const failure = { kind: "failed", id, error, message } as const;
    await finish(found, failure, () => sayFailedCase(failure, context));
    return "failed";
  }

  /** Claims a case that is to be done; with what is wrong with its images, where something is. @throws UserError */
  async function findOut(looked: LookedAt): Promise<Taken | "nothing" | (Taken & { readonly error: UserError })> {
    const { arrival, state } = looked;
    const { id } = arrival;
    if (state === null || parts.get(id) === state || !await isToDo(looked) || !claims.claim(id)) return "nothing";
    // Whoever had it before may have ended it between the two questions.
    if (await stateOf(arrival) !== state || !await isToDo(looked)) {
      claims.release(id);
      return "nothing";
    }
    const arrived = withSource(await arrivedCase(folders.input, arrival, expected), id);
    if (arrived.kind === "part") {
      parts.set(id, state);
      claims.release(id);
      if (event) event("case_waits", { case: id, lacks: arrived.lacks });
      else work.say(`${id} waits for ${arrived.lacks}`);
      return "nothing";
    }
    parts.delete(id);
    if (arrived.kind === "case") {
      for (const message of arrived.warnings) warn(`${id}: ${message}`);
      return { arrival, state, one: caseOf(id, arrived.files) };
    }
    return { arrival, state, one: caseOf(id), error: arrived.error };
  }

  function withSource(arrived: Arrived, id: string): Arrived {
    if (arrived.kind !== "case" || !work.refersToSource || isSeries(arrived.files)) return arrived;
    return { kind: "failed", error: noSource(arrived.files[0]).withCase(id) };
  }

  async function finish({ arrival, state, one }: Taken, ended: Ended, say = () => work.show(ended)): Promise<void> {
    const { id } = arrival;
    try {
      if (await stateOf(arrival) !== state) {
        // Of a part of what has arrived by now.
        if (ended.kind === "done") await removeResults(one, ending);
        warn(`${id}: it has changed while it was predicted; it is taken again when it no longer does`);
        settling.startAgain(id);
      } else if (ended.kind === "done") await finishDone({ arrival, state, one }, ended, say);
      else await finishFailed({ arrival, state, one }, ended, say);
    } catch (error) {
      // No room for the reason either, or the images' disk is away.
      if (!(error instanceof UserError) || work.once || isOfModel(error.parts.file)) throw error;
      if (await knownState(arrival) === null) warn(error.message); // they have been moved
      else tryLater(id, error.message);
    }
    claims.release(id);
  }

  function tryLater(id: string, message: string): void {
    warn(`${message} It is tried again in ${RETRY_MS / 1000} s.`);
    settling.startAgain(id, RETRY_MS);
  }

  async function finishDone(taken: Taken, ended: Ended, say: () => void): Promise<void> {
    const { arrival, state } = taken;
    const unwritten = await report(taken, ended);
    if (unwritten) {
      const failure = failureOf(arrival.id, unwritten);
      return await putAside(taken, failure, () => work.show(failure));
    }
    tally.done++;
    say();
    try {
      // In the folder of what has failed it stays with the images that it is about.
      await removeIfThere(reasonFile(folders.output, arrival), "removing why the case failed before");
      if (folders.done === undefined) return;
      const to = await moveArrival(arrival, folders.done);
      event?.("case_moved", { case: arrival.id, to });
    } catch (error) {
      // Of images that are moved by now, or that can't be looked at, the caller tells.
      if (!(error instanceof UserError) || work.once || await knownState(arrival) !== state) throw error;
      unmoved.set(arrival.id, state);
      warn(
        `${error.message} ${arrival.id} is done; its images stay where they are, and are left alone until they change.`,
      );
    }
  }

  async function finishFailed(taken: Taken, ended: Failed, say: () => void): Promise<void> {
    if (isBeyondCase(ended.error)) {
      if (work.once || isOfModel(ended.error.file)) throw new UserError(ended.error);
      return tryLater(taken.arrival.id, ended.message);
    }
    await putAside(taken, ended, say, await report(taken, ended));
  }

  /** @returns why it could not be written @throws UserError if the model's files can't be read */
  async function report({ one }: Taken, ended: Ended): Promise<UserError | undefined> {
    try {
      await texts.report(one, ended);
      return undefined;
    } catch (error) {
      if (!(error instanceof UserError) || isOfModel(error.parts.file)) throw error;
      return error.withCase(one.id);
    }
  }

  /** @param unwritten Why its report could not be written either */
  async function putAside(
    { arrival, state }: Taken,
    ended: Failed,
    say: () => void,
    unwritten?: UserError,
  ): Promise<void> {
    tally.failed++;
    say();
    if (unwritten) warn(`${arrival.id}: ${unwritten.message}`);
    const to = await moveFailed(arrival, state);
    const reason = reasonFile(to ?? folders.output, arrival);
    const messages = [ended.message, ...(unwritten ? [unwritten.message] : [])];
    await writeReason(reason, arrival, messages.join("\n"), state);
    if (event) event("case_aside", { case: arrival.id, ...(to !== undefined && { to }), reason });
    else work.say(to === undefined ? `why: ${reason}` : `moved to ${to}, why: ${reason}`);
  }

  /** @returns where the images are; undefined where they stay @throws UserError if they are gone, or can't be looked at */
  async function moveFailed(arrival: Arrival, state: string): Promise<string | undefined> {
    if (folders.failed === undefined) return undefined;
    try {
      return await moveArrival(arrival, folders.failed);
    } catch (error) {
      if (!(error instanceof UserError) || work.once || await knownState(arrival) !== state) throw error;
      unmoved.set(arrival.id, state);
      warn(`${error.message} The images of ${arrival.id} stay where they are, and are left alone until they change.`);
      return undefined;
    }
  }

  /** Of the model, which ends the work, or of the disk that results go to. */
  function isBeyondCase(error: UserErrorParts): boolean {
    return isOfDisk(error, folders.output) || isOfModel(error.file);
  }

  function isOfModel(file: string | undefined): boolean {
    return [...model.folds, ...firstStage?.folds ?? []].some((fold) => fold.file === file);
  }

  /** A case that can't be measured has failed; its segmentation stays. One that has changed is not measured. */
  async function measureAndFinish(taken: Taken, ended: Ended): Promise<void> {
    const { arrival, state, one } = taken;
    const error = await knownState(arrival) === state ? await texts.measure(one) : undefined;
    if (!error) return await finish(taken, ended);
    await finish(taken, failureOf(one.id, error), () => {});
  }

  async function predict(taken: readonly Taken[]): Promise<void> {
    const byId = new Map(taken.map((one) => [one.arrival.id, one]));
    const filesOf = new Map(taken.map(({ one }) => [one.id, one.files]));
    let finishing = Promise.resolve();
    const predicted: (readonly [Taken, Ended])[] = [];
    const onEvent = (told: PredictionEvent) => {
      texts.note(told);
      if (told.kind !== "done" && told.kind !== "failed") return work.show(told);
      const ended = told.kind === "done" ? told : withFiles(told, filesOf);
      const one = byId.get(told.kind === "done" ? told.record.id : told.id);
      if (!one || (ended.kind !== "done" && ended.kind !== "failed")) return;
      // Measured are segmentations when the network has nothing to do, before images are moved.
      if (texts.measures && ended.kind === "done") return void predicted.push([one, ended]);
      finishing = finishing.then(() => finish(one, ended));
      // It is awaited after the run; until then its failure is not unhandled.
      finishing.catch(() => {});
    };
    const cases = taken.map(({ one }) => one);
    for (const { id } of cases) texts.begin(id);
    const { details } = work;
    try {
      await predictStages(stages, { cases, options, ...(details && { details }) }, { signal, onEvent });
    } finally {
      await finishing;
    }
    for (const [one, ended] of predicted) await measureAndFinish(one, ended);
  }

  return {
    tally,
    isLeft,
    async work(settled) {
      const taken: Taken[] = [];
      let hasWorked = false;
      for (const looked of settled) {
        if (taken.length === work.most || signal.aborted) break;
        const result = await take(looked);
        hasWorked ||= result !== "nothing";
        if (typeof result !== "string") taken.push(result);
      }
      if (taken.length > 0) await predict(taken);
      return hasWorked;
    },
    [Symbol.dispose]: () => claims[Symbol.dispose](),
  };
}

/** As {@link stateOf}; undefined where it can't be found out, as of a share that is away. */
async function knownState(arrival: Arrival): Promise<string | null | undefined> {
  try {
    return await stateOf(arrival);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/** Of the disk that results go to. @param output Their folder: scratch files are hidden ones in it, or could not be made */
export function isOfDisk({ file, endsRun }: UserErrorParts, output: string): boolean {
  if (endsRun || file === undefined) return endsRun === true;
  const isScratch = basename(file).startsWith(".") && resolve(dirname(file)) === resolve(output);
  return isScratch || resolve(file) === resolve(output);
}

/** Of what is written beside a segmentation: the case's own, whatever it is, as the segmentation itself was written. */
function failureOf(id: string, error: UserError): Failed {
  const { endsRun: _, ...parts } = error.parts;
  return { kind: "failed", id, error: parts, message: error.message };
}

async function removeResults(one: CaseToPredict, ending: string): Promise<void> {
  const { npz, pkl } = probabilityPaths(one.output, ending);
  for (const file of [...filesToWrite(one), npz, pkl]) await removeIfThere(file, "removing the result of a part");
}

/**
 * A case is claimed where its result goes and, if its images are moved, where they are: so neither two results are written, nor are
 * images moved that another watcher reads whose results go elsewhere.
 */
function claimsOf({ input, output, done, failed }: WatchFolders) {
  const moves = done !== undefined || failed !== undefined;
  const all: readonly Claims[] = (moves ? [output, input] : [output]).map((folder) => openClaims(folder));
  // Of a watcher that was killed when a case's images were moved, but not yet released.
  all.forEach((claims) => claims.releaseAbandoned());
  return {
    claim(id: string): boolean {
      const last = all.findIndex((claims) => claims.claim(id) !== "ours");
      if (last >= 0) all.slice(0, last).forEach((claims) => claims.release(id));
      return last < 0;
    },
    release: (id: string) => all.forEach((claims) => claims.release(id)),
    [Symbol.dispose]: () => all.forEach((claims) => claims[Symbol.dispose]()),
  };
}
