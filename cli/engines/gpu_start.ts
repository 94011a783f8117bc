/** Starting the GPU engine with what is known of the GPU; one that was never tested is tested before its first prediction. */
import { messageOf, UserError } from "../../core/base/errors.ts";
import type { PrecisionCache } from "../../core/predict/model/precision.ts";
import type { AdapterChoice, AdapterFacts } from "../../gpu/adapter.ts";
import type { GpuEngine, GpuEngineOptions, Tuning } from "../../gpu/engine.ts";
import { nameOfWay } from "../../gpu/refused.ts";
import { describeDriver } from "./gpu_driver.ts";
import { findAdapter } from "./gpu_probe.ts";
import { type GpuIdentity, type GpuRecord, openGpuRecord } from "./gpu_record.ts";
import { selfTest, type SelfTestReport } from "./self_test.ts";
import { findWrongWay } from "./wrong_way.ts";

export interface StartedGpu {
  readonly engine: GpuEngine;
  readonly record: GpuRecord;
}

export interface GpuStart {
  readonly allowSoftware?: boolean;
  /** Undefined: the strongest. */
  readonly choice?: AdapterChoice;
  /** Kernels as forecasts choose them, whatever was measured: results don't depend on the tuning then. */
  readonly deterministic?: boolean;
  /** The device was lost: kernels are tried one by one; keys of those at which that happened. */
  readonly suspects?: ReadonlySet<string>;
  /** Lines for the user. */
  readonly say?: (line: string) => void;
  readonly warn?: (line: string) => void;
}

/** The record of the GPU that would be used. */
export async function recordOf(adapter: AdapterFacts): Promise<GpuRecord> {
  const { kernelChecksum } = await import("../../gpu/kernel_checksum.ts");
  const identity: GpuIdentity = {
    adapter: adapter.name,
    driver: `${await describeDriver()}; Deno ${Deno.version.deno}`,
    kernels: await kernelChecksum(),
  };
  return await openGpuRecord(identity);
}

/** Kernels that a driver may refuse, one after the other, before the GPU is given up. */
const MOST_REFUSALS = 16;
/** A device that is lost at more kernels than these is not lost by them. */
export const MOST_SUSPECTS = 4;

/**
 * Opens the GPU; where its driver refuses a kernel, once more without that one.
 * @throws UserError if there is none, it gives no device, it computes wrong results, or its driver refuses what cannot be done otherwise
 */
export async function startGpu(start: GpuStart): Promise<StartedGpu> {
  const adapter = await findAdapter(start.choice);
  if (!adapter) {
    const { createGpuEngine } = await import("../../gpu/engine.ts");
    const engine = await createGpuEngine({ choice: start.choice }); // Says what is missing.
    await engine[Symbol.asyncDispose]();
    throw new Error("Starting the GPU engine: there was no adapter a moment ago");
  }
  const record = await recordOf(adapter);
  if (record.ignored !== undefined) start.warn?.(record.ignored);
  const tuning = start.deterministic ? undefined : tuningOf(record);
  const opening = { ...start, tuning };
  const { engine, value: isOutdated } = await openWithoutRefused(record, opening, async (engine) => {
    const avoids = record.findings.selfTest?.passed !== true && await testFirst(engine, record, opening);
    const cuts = start.deterministic !== true && await measureCacheOnce(engine, record);
    return avoids || cuts;
  });
  if (!isOutdated) return { engine, record };
  const { ownMemory } = engine;
  await engine[Symbol.asyncDispose]();
  const again = { ...opening, ownMemory };
  return { engine: (await openWithoutRefused(record, again, () => Promise.resolve())).engine, record };
}

/**
 * Measures how much of a convolution is best done at a time, if that is not known yet, and keeps it.
 * @returns true if an engine that is opened now would do another than this one
 */
export async function measureCacheOnce(engine: GpuEngine, record: GpuRecord): Promise<boolean> {
  if (record.findings.cache !== undefined || engine.adapter.software) return false;
  const cache = await engine.measureCache();
  if (cache) await record.add({ cache });
  return cache !== undefined && cache.milliseconds !== cache.usualMilliseconds;
}

type Opening = GpuStart & Pick<GpuEngineOptions, "tuning" | "ownMemory">;

/**
 * Opens the engine for `use`; where the driver refuses a kernel meanwhile, `use` is begun again on an engine that does without it. Where
 * the device is lost, it is begun again on one that looks for the kernel that it was lost by.
 * @returns the engine, which is the caller's, and what `use` returned
 */
export async function openWithoutRefused<T>(
  record: GpuRecord,
  { allowSoftware, choice, deterministic, tuning, ownMemory, suspects, warn }: Opening,
  use: (engine: GpuEngine) => Promise<T>,
): Promise<{ readonly engine: GpuEngine; readonly value: T }> {
  const { createGpuEngine } = await import("../../gpu/engine.ts");
  let looking = suspects;
  for (let refusals = 0;; refusals++) {
    const refused = new Set(Object.keys(record.findings.refused));
    const cacheBytes = deterministic ? undefined : record.findings.cache?.bytes;
    const own = { allowSoftware, choice, tuning, ownMemory, cacheBytes, suspects: looking, refused };
    const engine = await createGpuEngine(own);
    try {
      return { engine, value: await use(engine) };
    } catch (error) {
      await engine[Symbol.asyncDispose]();
      if (refusals >= MOST_REFUSALS) throw error;
      const keep = lessonOf(engine, record);
      const next = keep ? looking : nextSuspects(engine, looking);
      if (!keep && !next) throw error;
      await keep?.();
      looking = next;
      warn?.(`${messageOf(error)} It is tried ${keep ? "without that kernel" : "again, kernel by kernel"}.`);
    }
  }
}

/** After a device was lost: the kernels that the next one looks at last; undefined where that has been in vain, or is none of theirs. */
function nextSuspects(
  { lost, suspect }: Pick<GpuEngine, "lost" | "suspect">,
  suspects: ReadonlySet<string> | undefined,
): ReadonlySet<string> | undefined {
  if (suspect) {
    return suspects && suspects.size >= MOST_SUSPECTS ? undefined : new Set([...suspects ?? [], suspect.key]);
  }
  return lost && !suspects ? new Set() : undefined;
}

/** Notes a kernel that the driver would not compile; nothing if there is none that was not known before. */
export function lessonOf({ refused }: GpuEngine, record: GpuRecord): (() => Promise<void>) | undefined {
  if (!refused || refused.key in record.findings.refused) return undefined;
  return async () => void await record.add({ refused: { [refused.key]: { name: refused.name, why: refused.why } } });
}

/** @returns true if the engine is right but for a way to compute layers, without which the next one is */
async function testFirst(engine: GpuEngine, record: GpuRecord, opening: Opening): Promise<boolean> {
  const { say, warn } = opening;
  const { name } = engine.adapter;
  say?.(`testing ${name} against the CPU, once`);
  const { report, isRight, avoided, notKept } = await testAgainstCpu(engine, record, opening);
  if (notKept !== undefined) warn?.(`what is found out about the GPU is not kept: ${notKept}`);
  if (avoided !== undefined) warn?.(`${name} computes wrong by "${avoided}"; layers are computed another way`);
  if (isRight) return avoided !== undefined;
  throw new UserError({
    doing: `testing ${name} before its first use`,
    problem: `it computes wrong results and is not used: ${report.failures.join("; ")}`,
    remedy: "update or change the graphics driver (`nnunet doctor` tests it again), or compute with -device cpu",
  });
}

export interface CpuComparison {
  readonly report: SelfTestReport;
  /** The GPU computes right, if need be without the way that is avoided. */
  readonly isRight: boolean;
  /** The way to compute layers that the GPU is wrong by, and right without, where it failed: kept among what is refused. */
  readonly avoided?: string;
  readonly notKept?: string;
}

/** The self-test with a CPU engine of its own; how it went is kept, or why that is not possible is told. */
export async function testAgainstCpu(
  engine: GpuEngine,
  record: GpuRecord,
  { allowSoftware, choice, tuning }: Opening,
  onCase?: (done: number, of: number) => void,
): Promise<CpuComparison> {
  const { createCpuEngine } = await import("../../cpu/engine.ts");
  const { createGpuEngine } = await import("../../gpu/engine.ts");
  await using cpu = await createCpuEngine();
  const report = await selfTest(engine, cpu, undefined, onCase);
  const { failures, halfFailures } = report;
  const way = await findWrongWay(report, cpu, (way) => {
    const refused = new Set([...Object.keys(record.findings.refused), way]);
    return createGpuEngine({ allowSoftware, choice, tuning, refused });
  });
  const avoided = way === undefined ? undefined : nameOfWay(way);
  const isRight = failures.length === 0 || avoided !== undefined;
  const selfTestFinding = {
    passed: isRight,
    when: new Date().toISOString(),
    ...(halfFailures.length > 0 && { halvesFailed: halfFailures.join("; ") }),
  };
  const notKept = await record.add({
    selfTest: selfTestFinding,
    ...(way !== undefined && avoided !== undefined && { refused: { [way]: { name: avoided, why: failures[0] } } }),
  });
  return { report, isRight, avoided, notKept };
}

function tuningOf({ findings: { convolutions } }: GpuRecord): Tuning | undefined {
  const entries = Object.entries(convolutions).map(([key, { candidate }]) => [key, candidate] as const);
  return entries.length > 0 ? new Map(entries) : undefined;
}

/**
 * What `--precision auto` and comparing models with the CPU found before, and where they keep what they find.
 * @param threads Of the CPU engine that is compared with
 */
export function precisionCacheOf(record: GpuRecord, threads: number | undefined): PrecisionCache {
  return {
    get: (key) => record.findings.precision[key],
    async set(key, choice) {
      await record.add({ precision: { [key]: choice } });
    },
    checks: {
      get: (key) => record.findings.models[key],
      async set(key, finding) {
        await record.add({ models: { [key]: finding } });
      },
      async openReference() {
        const { createCpuEngine } = await import("../../cpu/engine.ts");
        return await createCpuEngine({ threads });
      },
    },
  };
}
