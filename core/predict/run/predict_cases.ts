/**
 * A whole prediction run: case after case through one loaded network, the next one being read and the previous one being written
 * beside it. A case that can't be done is reported and the others go on. Upstream: predict_from_files in
 * nnunetv2/inference/predict_from_raw_data.py.
 */
import { allocationError } from "../../base/allocation.ts";
import { Interrupted, UserError } from "../../base/errors.ts";
import { ensureFolder } from "../../base/files.ts";
import { removeLeftovers, scratchName, shortened } from "../../base/leftovers.ts";
import { type MemoryAllowance, roomOf } from "../../base/memory_allowance.ts";
import { dirname, join } from "../../base/path.ts";
import type { Engine, StepCost } from "../../engine/engine.ts";
import type { ExportJob, PreparedCase } from "./case_jobs.ts";
import { uploadCase, type UploadedCase } from "../stream/case_plan.ts";
import { type CasePool, createCasePool } from "./case_pool.ts";
import type { LoadedNetwork } from "../model/network.ts";
import { freeArray } from "../../base/free_array.ts";
import { isPredicted, probabilityPaths, writeRunFiles } from "./output_folder.ts";
import { allowReading, forecastReading, measureRuntime, writingBytes } from "./run_memory.ts";
import { planBeside, type Writing } from "./plan_beside.ts";
import { prepareJob } from "./prepare_job.ts";
import { predictCase } from "../stream/predict_case.ts";
import { createProbabilityFile, type ProbabilityFile } from "../stream/probability_file.ts";
import type { SharedCases } from "./shared_cases.ts";
import { openShared, refuseOtherRun, withClaims } from "./shared_run.ts";
import type {
  CaseRecord,
  CaseToPredict,
  FailedCase,
  PredictionHooks,
  PredictionOptions,
  PredictionRequest,
  PredictionSummary,
} from "./request.ts";
import { openSession, type Session } from "../model/session.ts";

const DEFAULTS = {
  stepSize: 0.5,
  mirroring: true,
  saveProbabilities: false,
  continuePrediction: false,
  share: false,
  nonFinite: "refuse",
  overlap: true,
  checksums: false,
} as const;

type Options = PredictionOptions & Required<Pick<PredictionOptions, keyof typeof DEFAULTS>>;

/** What a run keeps at hand. */
interface Run {
  readonly request: PredictionRequest;
  readonly options: Options;
  readonly hooks: PredictionHooks;
  readonly kept: Kept;
  readonly done: CaseRecord[];
  readonly failed: FailedCase[];
}

/** What is loaded, and stays so after a run. */
export interface Kept {
  readonly session: Session;
  readonly pool: CasePool;
  /** Of memory that is neither the session's network nor a case: the program itself, and other networks. */
  runtimeBytes(): number;
  /** True: cases have been read before, and the engine may hold memory of theirs. */
  readonly hasRun?: boolean;
  /** The first case, where it was read beside the network of an earlier run. */
  readonly prepared?: Promise<PreparedCase>;
  /** Gives back memory of other networks. @returns false if none has any */
  makeRoom?(): Promise<boolean>;
}

/** How reading a case ended. The case is taken out once the engine has its copy, so that its arrays can be freed. */
interface Prepared {
  case?: PreparedCase;
  readonly error?: unknown;
}

/** A case that has been through the network. */
interface Predicted {
  readonly one: CaseToPredict;
  readonly job: ExportJob;
  /** The raw probabilities, removed when the case is written or has failed. */
  readonly probabilities?: ProbabilityFile;
  /** All but what writing adds. */
  readonly record: Omit<CaseRecord, "labels" | "timings" | "checksums">;
  readonly timings: Omit<CaseRecord["timings"], "export">;
  readonly checksums: Readonly<Record<string, string>>;
}

/**
 * Predicts all cases of a request, in order.
 * @param resident What is loaded, of this request's model; undefined: all is loaded now, and given back in the end
 * @throws UserError for what concerns the whole run (output folder, model); what concerns one case is in the summary.
 * @throws Interrupted when the signal is aborted; whole files only are left then.
 */
export async function predictCases(
  request: PredictionRequest,
  hooks: PredictionHooks = {},
  resident?: Kept,
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
  const told = shared ? withClaims(hooks, shared) : hooks;
  hooks.onEvent?.({ kind: "start", cases: todo.length, skipped: skipped.length });
  const done: CaseRecord[] = [];
  const failed: FailedCase[] = [];
  let steps: readonly StepCost[] = [];
  if (todo.length > 0) {
    await using opened = resident ? undefined : openKept(request, options, hooks.signal);
    const kept = resident ?? opened?.kept;
    if (!kept) throw new Error("Predicting: nothing is loaded");
    const run: Run = { request, options, hooks: told, kept, done, failed };
    await (shared ? runShared(run, shared) : runCases(run, todo[0], oneByOne(todo.slice(1))));
    const batch = done.at(-1)?.batch;
    if (batch !== undefined) steps = kept.session.loaded?.forecast(batch).steps ?? [];
  }
  if (hooks.signal?.aborted) throw new Interrupted("The prediction was stopped");
  const inOrder = new Map(request.cases.map(({ id }, index) => [id, index]));
  const byOrder = (a: { id: string }, b: { id: string }) => (inOrder.get(a.id) ?? 0) - (inOrder.get(b.id) ?? 0);
  return {
    done: done.sort(byOrder),
    skipped: [...skipped, ...(shared?.elsewhere ?? [])],
    failed: failed.sort(byOrder),
    seconds: (performance.now() - started) / 1000,
    steps,
  };
}

/** What a run of its own loads. */
function openKept(request: PredictionRequest, { overlap }: Options, signal: AbortSignal | undefined) {
  const runtimeBytes = measureRuntime(request.engine);
  const session = openSession(request);
  const pool = createCasePool(overlap, signal);
  const kept: Kept = { session, pool, runtimeBytes: () => runtimeBytes };
  return {
    kept,
    async [Symbol.asyncDispose]() {
      await pool[Symbol.asyncDispose]();
      await session[Symbol.asyncDispose]();
    },
  };
}

async function splitDone({ cases, model }: PredictionRequest, options: Options) {
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

type Take = () => Promise<CaseToPredict | undefined>;

function oneByOne(cases: readonly CaseToPredict[]): Take {
  let at = 0;
  return () => Promise.resolve(cases.at(at++));
}

/** Cases as long as there are any that no other process is at, then those that another one leaves. */
async function runShared(run: Run, shared: SharedCases): Promise<void> {
  for (;;) {
    const first = await shared.wait(run.hooks.signal);
    if (!first) return;
    await runCases(run, first, shared.take);
  }
}

/** One case ahead is read, one behind is written: never more, as each holds an image. */
async function runCases(run: Run, first: CaseToPredict, take: Take): Promise<void> {
  const { hooks, options: { overlap } } = run;
  let one: CaseToPredict | undefined = first;
  let writing: Writing = { done: Promise.resolve(), bytes: 0 };
  let next = prepareFirst(run, first, writing);
  try {
    for (let index = 0; one && !hooks.signal?.aborted; index++) {
      const prepared: Prepared = await next;
      const following: CaseToPredict | undefined = await take();
      let isStarted = false;
      const start = (memory: MemoryAllowance | undefined) => {
        if (following && !isStarted) next = prepare(run, following, memory);
        isStarted = true;
      };
      try {
        // The next case is read while the network runs, once the engine has its copy of this one.
        const predicted = await predictWithRetries(run, one, prepared, {
          index,
          ...(overlap && following && { following }),
          writing,
          onUploaded: start,
        });
        await writing.done;
        const { labels, source } = predicted.job;
        writing = { done: write(run, predicted), bytes: writingBytes(labels.data, source !== undefined) };
        // It is awaited after the next case's network; until then its failure is not unhandled.
        writing.done.catch(() => {});
        if (!overlap) await writing.done;
      } catch (error) {
        fail(run, one, error);
      }
      if (following && !isStarted) start(await makeRoom(run, following, writing));
      one = following;
    }
  } finally {
    await next;
    await writing.done.catch(() => {});
  }
  await writing.done;
}

/** What was read before, if it could be: errors are those of reading it now. */
async function prepareFirst(run: Run, first: CaseToPredict, writing: Writing): Promise<Prepared> {
  const { options: { maxMemory }, kept: { prepared, hasRun } } = run;
  const ready = await prepared?.catch(() => undefined);
  if (ready) return { case: ready };
  return await prepare(run, first, hasRun ? await makeRoom(run, first, writing) : allowReading(maxMemory, true));
}

/** Under a limit, what the case that has just been done has taken is given back before the next one is read. */
async function makeRoom(run: Run, following: CaseToPredict, writing: Writing): Promise<MemoryAllowance | undefined> {
  const { request: { model }, options: { maxMemory }, kept: { session } } = run;
  if (maxMemory === undefined) return allowReading(maxMemory, false);
  await writing.done.catch(() => {});
  const allowance = allowReading(maxMemory, false);
  if (!allowance) return undefined;
  const bytes = await forecastReading(following, model.plans, model.configuration);
  if (bytes <= roomOf(allowance) || !(await session.renew())) return allowance;
  return allowReading(maxMemory, false);
}

function prepare(
  { request: { model }, options, kept: { pool } }: Run,
  one: CaseToPredict,
  memory: MemoryAllowance | undefined,
): Promise<Prepared> {
  return pool.prepare(prepareJob(model, options, one, memory)).then(
    (result) => ({ case: result }),
    (error: unknown) => ({ error }),
  );
}

interface Place {
  readonly index: number;
  /** The case that may be read while the network runs. */
  readonly following?: CaseToPredict;
  /** The case before. */
  readonly writing: Writing;
  /** Called once the case's own arrays are free, if the following one may be read. */
  readonly onUploaded: (memory: MemoryAllowance | undefined) => void;
}

/** A case whose engine fails is read again and goes on with the engine that takes its place, if there is one. */
async function predictWithRetries(run: Run, one: CaseToPredict, first: Prepared, place: Place): Promise<Predicted> {
  let prepared = first;
  for (let attempt = 1;; attempt++) {
    try {
      return await predictOne(run, one, prepared, place);
    } catch (error) {
      if (error instanceof Interrupted || !(await run.kept.session.recover(error, attempt))) throw error;
      if (!prepared.case) prepared = await prepare(run, one, allowReading(run.options.maxMemory, false));
    }
  }
}

async function predictOne(run: Run, one: CaseToPredict, prepared: Prepared, place: Place): Promise<Predicted> {
  const { request: { model, details }, options, hooks, kept: { session } } = run;
  if (!prepared.case) throw prepared.error;
  const network = await session.network(prepared.case.case, hooks.onEvent);
  const { engine } = session;
  const { plan, beside, about, reading } = await planOf(run, network, prepared, place);
  const { id, properties, warnings, replacedVoxels, grid } = about;
  for (const message of warnings) hooks.onEvent?.({ kind: "warning", id, message });
  const { stream } = plan;
  const { memory, tiles } = stream;
  session.planned(memory.total);
  const forecastSeconds = await session.forecast(stream.seconds);
  hooks.onEvent?.({ kind: "case", id, index: place.index, grid, tiles, memory, forecastSeconds });
  const scratchFolder = options.scratchFolder ?? dirname(one.output);
  await ensureFolder(dirname(one.output), "making the output folder");
  const probabilities = options.saveProbabilities
    ? await createProbabilityFile({
      caseId: id,
      path: join(scratchFolder, scratchName(`${shortened(id)}-`, "probabilities")),
      channels: model.outputChannels,
      geometry: plan.geometry,
      transposeBackward: model.plans.transposeBackward,
      grid: plan.outputGrid,
      nonlinearity: plan.nonlinearity,
    })
    : undefined;
  try {
    const started = performance.now();
    using uploaded = takeCase(engine, prepared);
    if (beside) place.onUploaded(beside.memory);
    const labels = await predictCase({
      engine,
      model,
      network,
      input: uploaded,
      plan,
      probabilities,
      scratchFolder,
      onProgress: (done, of) => hooks.onEvent?.({ kind: "progress", id, done, of }),
      signal: hooks.signal,
    });
    probabilities?.finish();
    const paths = probabilityPaths(one.output, model.dataset.fileEnding);
    return {
      one,
      job: {
        kind: "export",
        id,
        labels,
        properties,
        output: one.output,
        ...(one.outputs && { outputs: one.outputs }),
        ...(reading.source && { source: reading.source, details }),
        ...(probabilities && { probabilities: { ...paths, raw: probabilities.path, shape: probabilities.shape } }),
        labelNames: model.dataset.labels.names,
        checksums: options.checksums,
      },
      probabilities,
      record: {
        id,
        files: one.files,
        output: one.output,
        ...(one.outputs && { outputs: [...new Set([...one.outputs.map(({ file }) => file), one.output])] }),
        shape: properties.geometry.shape,
        spacing: properties.geometry.spacing,
        networkGrid: grid,
        tiles,
        networkRuns: stream.runs,
        batch: stream.batch,
        placement: stream.placement,
        memory,
        forecastSeconds,
        warnings,
        replacedVoxels,
      },
      timings: {
        read: reading.readSeconds,
        preprocess: reading.preprocessSeconds,
        network: (performance.now() - started) / 1000,
      },
      checksums: reading.checksums,
    };
  } catch (error) {
    probabilities?.[Symbol.dispose]();
    throw error;
  }
}

/** The plan of a case, what may go on beside its network, and what is kept of the case beside its arrays. */
async function planOf(run: Run, network: LoadedNetwork, prepared: Prepared, place: Place) {
  if (!prepared.case) throw prepared.error;
  const { case: input, ...reading } = prepared.case;
  const { data: _data, previousStage: _previousStage, ...about } = input;
  const { request: { model }, options, kept } = run;
  for (;;) {
    try {
      const planning = { model, options, aim: kept.session.aim, runtimeBytes: kept.runtimeBytes() };
      return { ...await planBeside(planning, network, input, place), about, reading };
    } catch (error) {
      if (!(error instanceof UserError) || !(await kept.makeRoom?.())) throw error;
    }
  }
}

function takeCase(engine: Engine, prepared: Prepared): UploadedCase {
  if (!prepared.case) throw prepared.error;
  const { data, previousStage } = prepared.case.case;
  const uploaded = uploadCase(engine, prepared.case.case);
  freeArray(data);
  freeArray(previousStage);
  prepared.case = undefined;
  return uploaded;
}

async function write(run: Run, predicted: Predicted): Promise<void> {
  const { one, job, record, timings, checksums } = predicted;
  using _raw = predicted.probabilities;
  try {
    const exported = await run.kept.pool.export(job);
    const done: CaseRecord = {
      ...record,
      labels: exported.labels,
      timings: { ...timings, export: exported.seconds },
      ...(run.options.checksums && { checksums: { ...checksums, ...exported.checksums } }),
    };
    run.done.push(done);
    run.hooks.onEvent?.({ kind: "done", record: done });
  } catch (error) {
    fail(run, one, error);
  }
}

/** Notes a case that can't be done; anything that is no UserError ends the run. */
function fail(run: Run, { id }: CaseToPredict, thrown: unknown): void {
  const error = allocationError(thrown, { doing: "predicting the case", caseId: id });
  if (!(error instanceof UserError)) throw error;
  const named = error.parts.caseId === undefined ? error.withCase(id) : error;
  run.failed.push({ id, error: named.parts, message: named.message });
  run.hooks.onEvent?.({ kind: "failed", id, error: named.parts, message: named.message });
}
