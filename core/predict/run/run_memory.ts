/**
 * The memory of a prediction run under --max-memory: what the program itself has, what reading the next case will take, and whether
 * that may go on beside the network.
 */
import { collectGarbage } from "../../base/collect_garbage.ts";
import { UserError } from "../../base/errors.ts";
import { allowMemory, type MemoryAllowance, residentBytes, roomOf } from "../../base/memory_allowance.ts";
import { voxelCount } from "../../base/shape.ts";
import type { Engine } from "../../engine/engine.ts";
import { probeCase } from "../../formats/image/read_image.ts";
import type { Configuration, Plans } from "../../plan/plans.ts";
import { isBeyondAnyMemory, largestGrids, preprocessingBytes, readingBytes } from "../../preprocess/case_memory.ts";
import { openPreprocessedCase } from "../../preprocess/training_case_reader.ts";
import type { CaseToPredict } from "./request.ts";

/** What comes to the program between the start of a run and its peak: compiled code, kernels, the worker's heap, garbage; as measured. */
const GROWTH_BYTES = 64 * 2 ** 20;
/** The same while a case is read, after the first one. */
const READING_GROWTH_BYTES = 24 * 2 ** 20;
/** What reading leaves to the collector, which beside a network does not come round in time; as measured. */
export const BESIDE_GROWTH_BYTES = 80 * 2 ** 20;
/** What writing a segmentation holds beside it. */
const WRITING_BYTES = 16 * 2 ** 20;
/** What DICOM objects take beside: frames, outlines and their texts; as measured with 104 classes in 300 slices of 512 x 512. */
const OBJECT_BYTES = 96 * 2 ** 20;
/** Where the system does not tell. */
const USUAL_RUNTIME_BYTES = 150 * 2 ** 20;

/** Bytes of the program itself, engine and model included, as they will be at a run's peak; to be measured before the first case. */
export function measureRuntime({ idleBytes = 0 }: Pick<Engine, "idleBytes">): number {
  const resident = residentBytes();
  // What the engine keeps idle is used by the cases to come, and counted with them.
  return resident === 0 ? USUAL_RUNTIME_BYTES : Math.max(0, resident - idleBytes) + GROWTH_BYTES;
}

/** A thread that predicts cases, or trains, beside others of its kind: what the process holds is not its alone. */
export interface ReadingLane {
  /** Bytes that the program has without any thread's cases, or trainings. */
  readonly runtimeBytes: number;
  /** How many threads there are. */
  readonly of: number;
}

/** What one of several may take of a limit on all of them: what is left beside the program itself, if anything is, is divided. */
export function shareOfLimit(maxMemory: number, { runtimeBytes, of }: ReadingLane): number {
  return Math.min(maxMemory, runtimeBytes + (maxMemory - runtimeBytes) / of);
}

/** What reading a case may take while nothing else is going on, in this thread. @param isFirst No case has been read yet */
export function allowReading(
  maxMemory: number | undefined,
  isFirst: boolean,
  lane?: ReadingLane,
): MemoryAllowance | undefined {
  if (maxMemory !== undefined) {
    collectGarbage();
    const growth = isFirst ? GROWTH_BYTES : READING_GROWTH_BYTES;
    return allowMemory(maxMemory, lane ? lane.runtimeBytes : residentBytes() + growth);
  }
  const allowance = allowMemory(maxMemory, residentBytes());
  if (!allowance || !lane) return allowance;
  return { ...allowance, limit: allowance.taken + roomOf(allowance) / lane.of };
}

/** What it may take beside a network that leaves it `bytes`. */
export function allowBeside(maxMemory: number, bytes: number): MemoryAllowance {
  return { limit: maxMemory, taken: maxMemory - bytes, isTheMachines: false };
}

/**
 * What reading a case of a run to come may take beside the present one's network, and while its result is written.
 * @param total Bytes of the whole program that the present case was forecast to take
 * @returns null where it has to wait
 */
export async function allowAhead(
  maxMemory: number | undefined,
  total: number,
  one: CaseToPredict,
  { plans, configuration }: { readonly plans: Plans; readonly configuration: Configuration },
): Promise<{ readonly memory: MemoryAllowance | undefined } | null> {
  if (maxMemory === undefined) return { memory: allowReading(maxMemory, false) };
  const bytes = await forecastReading(one, plans, configuration);
  if (total + bytes + BESIDE_GROWTH_BYTES + WRITING_BYTES + OBJECT_BYTES > maxMemory) return null;
  return { memory: allowBeside(maxMemory, bytes) };
}

/** What writing a case holds. @param writesObjects DICOM objects are written as well */
export function writingBytes(labels: ArrayBufferView, writesObjects: boolean): number {
  return labels.byteLength + WRITING_BYTES + (writesObjects ? OBJECT_BYTES : 0);
}

/** The most bytes that reading and preprocessing a case take; Infinity where its headers can't be read or its grid is absurd. */
export async function forecastReading(
  { id, files, stored, previousStageFile }: CaseToPredict,
  plans: Plans,
  configuration: Configuration,
): Promise<number> {
  try {
    if (stored) {
      using opened = await openPreprocessedCase(stored.folder, id);
      return (4 * opened.channels + 4) * voxelCount(opened.grid);
    }
    const headers = await probeCase(plans.reader, files);
    const grids = largestGrids(headers, plans, configuration);
    if (isBeyondAnyMemory(grids)) return Infinity;
    const labelled = previousStageFile !== undefined;
    const work = {
      labelled,
      masked: configuration.useMaskForNorm.some((one) => one),
      overwrites: true,
      inPlace: plans.transposeForward.every((axis, i) => axis === i),
      copies: false,
    };
    return Math.max(readingBytes(headers, labelled), preprocessingBytes(grids, work, configuration));
  } catch (error) {
    if (error instanceof UserError) return Infinity;
    throw error;
  }
}
