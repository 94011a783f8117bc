/** Measures the segmentations of several cases on several threads, alone or shared with other processes. */
import { outOfMemory } from "../base/allocation.ts";
import { openClaims } from "../base/claims.ts";
import { Interrupted, UserError } from "../base/errors.ts";
import { type JobKind, runJobs } from "../base/job_threads.ts";
import { shareMemory } from "../base/memory_allowance.ts";
import { voxelCount } from "../base/shape.ts";
import { tryProbe } from "../dataset/case_size.ts";
import type { ReaderName } from "../formats/image/image.ts";
import type { CaseRecords } from "./case_records.ts";
import { intensityBytes } from "./intensities.ts";
import {
  bytesPerVoxel,
  type CaseMeasurement,
  measureCase,
  type MeasureJob,
  type MeasureOutcome,
  MEASURING,
} from "./measure_case.ts";
import type { MeasuredClass } from "./measured_classes.ts";
import type { MeshKind } from "./mesh/mesh_file.ts";

/** A case with its files. */
export interface CaseToMeasure {
  readonly id: string;
  readonly segmentation: string;
  /** The channels' files in channel order; none: intensities are not measured. */
  readonly images: readonly string[];
  /** Where its meshes go, if any are written. */
  readonly meshFolder: string;
}

export interface Measuring {
  readonly cases: readonly CaseToMeasure[];
  readonly reader: ReaderName;
  readonly classes: readonly MeasuredClass[];
  readonly mesh?: MeshKind;
  /** Where what is measured is kept, and taken from; absent: everything is measured. */
  readonly records?: CaseRecords;
  /** True: other processes measure the same cases into the same records; each case is measured by one of them. */
  readonly share: boolean;
  /** Threads; 1: in the calling thread. Default: one for each core. */
  readonly threads?: number;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  readonly signal?: AbortSignal;
  /** Cases that are done, here or before, of all. */
  readonly onCase?: (done: number, of: number) => void;
  readonly onMeasured?: (id: string, measurement: CaseMeasurement) => void;
  readonly onWarning?: (message: string) => void;
}

export interface FailedMeasurement {
  readonly id: string;
  readonly error: UserError;
}

export interface Measured {
  /** Ids of the cases that are measured, here or before; with records their numbers are there. */
  readonly done: ReadonlySet<string>;
  /** Without records: what was measured. */
  readonly kept: ReadonlyMap<string, CaseMeasurement>;
  /** Meshes of the cases that are done. */
  readonly surfaces: number;
  readonly failed: readonly FailedMeasurement[];
}

const INTERRUPTED = "stopped while measuring segmentations; no statistics were written";
const POLL_MS = 1000;

const KIND: JobKind<undefined, MeasureJob, MeasureOutcome> = {
  does: "measures segmentations",
  interrupted: INTERRUPTED,
  startWorker: () => new Worker(new URL("./measure_worker.ts", import.meta.url), { type: "module" }),
  setting: undefined,
  runHere: measureCase,
  bytesOf: bytesOfJob,
  beginsHere: true,
  finishesRunning: true,
  threadEnded: ({ caseId, segmentation }, detail) => ({
    error: outOfMemory({ doing: MEASURING, caseId, file: segmentation }, detail),
  }),
};

async function bytesOfJob({ reader, segmentation, images, classes }: MeasureJob): Promise<number> {
  const probe = await tryProbe(reader, segmentation);
  if (!probe) return 0;
  const [first] = images;
  const channels = first === undefined ? 1 : (await tryProbe(reader, first))?.channels ?? 1;
  return (bytesPerVoxel(classes) + 4 * (channels - 1)) * voxelCount(probe.geometry.shape) +
    intensityBytes(classes.length);
}

export function jobOf(
  { id, segmentation, images, meshFolder }: CaseToMeasure,
  { reader, classes, mesh }: Pick<Measuring, "reader" | "classes" | "mesh">,
): MeasureJob {
  return {
    caseId: id,
    reader,
    segmentation,
    images,
    classes,
    ...(mesh && { mesh: { kind: mesh, folder: meshFolder } }),
  };
}

/**
 * Each case by itself: one that fails is among the results.
 * @throws UserError if writing would fail for every case; Interrupted if the signal aborts, once the cases at work are done
 */
export async function measureCases(request: Measuring): Promise<Measured> {
  const { cases, records, signal, share } = request;
  const done = new Set<string>();
  const kept = new Map<string, CaseMeasurement>();
  let surfaces = 0;
  const failed: FailedMeasurement[] = [];
  const open = new Map<string, MeasureJob>();
  let elsewhere = 0;
  const tell = () => request.onCase?.(done.size + failed.length + elsewhere, cases.length);
  const note = (id: string, measurement: CaseMeasurement) => {
    done.add(id);
    // Of thousands of cases with a hundred classes they would fill the memory.
    if (!records) kept.set(id, measurement);
    surfaces += measurement.classes.filter(({ mesh }) => mesh).length;
  };
  /** Of records that did not count. */
  const stamps = new Map<string, string>();
  const takeKnown = async () => {
    for (const [id, job] of [...open]) {
      if (records) stamps.set(id, records.stamp(job));
      const known = await records?.read(job);
      if (!known) continue;
      note(id, known);
      open.delete(id);
      tell();
    }
  };
  for (const one of cases) open.set(one.id, jobOf(one, request));
  await takeKnown();
  using claims = share && records ? openClaims(records.folder) : undefined;
  let isKnown = false;
  const admit = (job: MeasureJob): MeasureJob | undefined => {
    const result = claims?.claim(job.caseId) ?? "ours";
    if (result === "ours" && claims && records?.stamp(job) !== stamps.get(job.caseId)) {
      // Another process has measured it since.
      claims.release(job.caseId);
      isKnown = true;
      return undefined;
    }
    if (result === "failed") elsewhere++;
    if (result !== "taken") open.delete(job.caseId);
    return result === "ours" ? job : undefined;
  };
  const take = async (outcome: MeasureOutcome, job: MeasureJob) => {
    const { caseId: id } = job;
    if ("error" in outcome) {
      const error = new UserError(outcome.error);
      if (error.parts.endsRun) throw error;
      failed.push({ id, error });
      claims?.fail(id);
    } else {
      await records?.write(job, outcome.measurement);
      claims?.release(id);
      note(id, outcome.measurement);
      for (const warning of outcome.warnings) request.onWarning?.(warning);
      request.onMeasured?.(id, outcome.measurement);
    }
    tell();
    // Not at once: a thread that is ended while it writes leaves its file behind.
    if (signal?.aborted) throw new Interrupted(INTERRUPTED);
  };
  while (open.size > 0) {
    if (signal?.aborted) throw new Interrupted(INTERRUPTED);
    // Threads are started only for what there is to do.
    isKnown = false;
    const first = open.values().find((job) => admit(job));
    if (first) {
      const { allowance, ...threads } = shareMemory(
        request.maxMemory,
        request.threads ?? navigator.hardwareConcurrency,
      );
      const jobs = [first, ...open.values()].map((job) => ({ ...job, ...(allowance && { memory: allowance }) }));
      await runJobs({ ...KIND, admit: (job) => job === jobs[0] ? job : admit(job) }, jobs, threads, take);
    } else if (!isKnown) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    await takeKnown();
  }
  return { done, kept, surfaces, failed };
}
