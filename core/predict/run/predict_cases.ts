/**
 * A whole prediction run: case after case through one loaded network, the next one being read and the previous one being written
 * beside it. A case that can't be done is reported and the others go on. Upstream: predict_from_files in
 * nnunetv2/inference/predict_from_raw_data.py.
 */
import { allocationError } from "../../base/allocation.ts";
import { Interrupted, UserError } from "../../base/errors.ts";
import { ensureFolder } from "../../base/files.ts";
import { type MemoryAllowance, roomOf } from "../../base/memory_allowance.ts";
import { dirname } from "../../base/path.ts";
import type { Engine, StepCost } from "../../engine/engine.ts";
import type { ExportJob, PreparedCase } from "./case_jobs.ts";
import { uploadCase, type UploadedCase } from "../stream/case_plan.ts";
import { type CasePool, createCasePool } from "./case_pool.ts";
import type { LoadedNetwork } from "../model/network.ts";
import { freeArray } from "../../base/free_array.ts";
import { probabilityPaths } from "./output_folder.ts";
import { allowReading, forecastReading, measureRuntime, type ReadingLane, writingBytes } from "./run_memory.ts";
import { planBeside, type Writing } from "./plan_beside.ts";
import { prepareJob } from "./prepare_job.ts";
import { predictCase } from "../stream/predict_case.ts";
import { createProbabilityFile, type ProbabilityFile } from "../stream/probability_file.ts";
import { DEFAULTS, type Options, predictWith, type Take } from "./predict_with.ts";
import type { CaseRecord, CaseToPredict, PredictionHooks, PredictionRequest, PredictionSummary } from "./request.ts";
import { openSession, type Session } from "../model/session.ts";

/** What a run keeps at hand. */
interface Run {
  readonly request: Pick<PredictionRequest, "model" | "details">;
  readonly options: Options;
  readonly hooks: PredictionHooks;
  readonly kept: Kept;
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
  /** Present where other threads predict beside this one: what reading a case may take. */
  readonly lane?: ReadingLane;
  /** True: the engine is gone, and cases that are not done go back to whoever gave them. */
  isLost?(): boolean;
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
  return await predictWith(request, hooks, async (source, told) => {
    await using opened = resident ? undefined : openKept(request, { ...DEFAULTS, ...request.options }, hooks.signal);
    const kept = resident ?? opened?.kept;
    if (!kept) throw new Error("Predicting: nothing is loaded");
    for (let first = await source.next(); first && !hooks.signal?.aborted; first = await source.next()) {
      const { steps } = await predictTaken({ request, hooks: told, kept }, first, source.take);
      if (steps.length > 0) source.steps = steps;
    }
  });
}

/**
 * Predicts a case and those that `take` gives after it, one after the other, and tells of each by `hooks`.
 * @throws what is no one case's fault
 */
export async function predictTaken(
  { request, hooks, kept }: {
    readonly request: Pick<PredictionRequest, "model" | "details" | "options">;
    readonly hooks: PredictionHooks;
    readonly kept: Kept;
  },
  first: CaseToPredict,
  take: Take,
): Promise<{ readonly steps: readonly StepCost[] }> {
  let batch: number | undefined;
  const { signal, onEvent } = hooks;
  const told: PredictionHooks = {
    signal,
    onEvent(event) {
      if (event.kind === "done") batch = event.record.batch;
      onEvent?.(event);
    },
  };
  await runCases({ request, options: { ...DEFAULTS, ...request.options }, hooks: told, kept }, first, take);
  return { steps: batch === undefined ? [] : kept.session.loaded?.forecast(batch).steps ?? [] };
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

/** One case ahead is read, one behind is written: never more, as each holds an image. */
async function runCases(run: Run, first: CaseToPredict, take: Take): Promise<void> {
  const { hooks, kept, options: { overlap } } = run;
  let one: CaseToPredict | undefined = first;
  let writing: Writing = { done: Promise.resolve(), bytes: 0 };
  let next = prepareFirst(run, first, writing);
  try {
    await warmUp(run);
    for (let index = 0; one && !hooks.signal?.aborted && !kept.isLost?.(); index++) {
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

/** While the first case is read in another thread, this one prepares the network for it. */
async function warmUp({ request: { model }, hooks, kept: { session }, options: { mirroring } }: Run): Promise<void> {
  await session.warmUp(mirroring ? 2 ** (model.mirrorAxes?.length ?? 0) : 1, hooks.signal);
}

/** What was read before, if it could be: errors are those of reading it now. */
async function prepareFirst(run: Run, first: CaseToPredict, writing: Writing): Promise<Prepared> {
  const { options: { maxMemory }, kept: { prepared, hasRun, lane } } = run;
  const ready = await prepared?.catch(() => undefined);
  if (ready) return { case: ready };
  return await prepare(run, first, hasRun ? await makeRoom(run, first, writing) : allowReading(maxMemory, true, lane));
}

/** Under a limit, what the case that has just been done has taken is given back before the next one is read. */
async function makeRoom(run: Run, following: CaseToPredict, writing: Writing): Promise<MemoryAllowance | undefined> {
  const { request: { model }, options: { maxMemory }, kept: { session, lane } } = run;
  if (maxMemory === undefined) return allowReading(maxMemory, false, lane);
  await writing.done.catch(() => {});
  const allowance = allowReading(maxMemory, false, lane);
  if (!allowance) return undefined;
  const bytes = await forecastReading(following, model.plans, model.configuration);
  if (bytes <= roomOf(allowance) || !(await session.renew())) return allowance;
  return allowReading(maxMemory, false, lane);
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
      if (!prepared.case) prepared = await prepare(run, one, allowReading(run.options.maxMemory, false, run.kept.lane));
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
    ? createProbabilityFile({
      caseId: id,
      folder: scratchFolder,
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
      const { session: { aim }, lane } = kept;
      const planning = { model, options, aim, runtimeBytes: kept.runtimeBytes(), lane };
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
    run.hooks.onEvent?.({ kind: "done", record: done });
  } catch (error) {
    fail(run, one, error);
  }
}

/** Notes a case that can't be done; anything that is no UserError ends the run. */
function fail(run: Run, { id }: CaseToPredict, thrown: unknown): void {
  if (run.kept.isLost?.()) return;
  const error = allocationError(thrown, { doing: "predicting the case", caseId: id });
  if (!(error instanceof UserError)) throw error;
  const named = error.parts.caseId === undefined ? error.withCase(id) : error;
  run.hooks.onEvent?.({ kind: "failed", id, error: named.parts, message: named.message });
}
