/** Which engine computes, and why: the only place that knows both engines. */
import { UserError } from "../../core/base/errors.ts";
import type { Engine, Precision } from "../../core/engine/engine.ts";
import type { TrainingEngine } from "../../core/engine/training.ts";
import type { PrecisionCache } from "../../core/predict/model/precision.ts";
import type { AdapterChoice, AdapterFacts } from "../../gpu/adapter.ts";
import type { PredictValues } from "../flags/predict_flags.ts";
import { findAdapter, openableGpus, probeGpu, shortVerdict } from "./gpu_probe.ts";
import { lessonOf, precisionCacheOf, startGpu } from "./gpu_start.ts";
import { judgeGpuVariables } from "./gpu_variables.ts";

/** What `-device` may say. */
export type Device = "auto" | "gpu" | "cpu" | "cuda" | "mps";

export interface EngineWish {
  readonly device: Device;
  /** Take the CPU where the GPU asked for is not usable. */
  readonly allowCpu: boolean;
  /** Take an adapter that computes on the CPU. */
  readonly allowSoftwareGpu?: boolean;
  /** Which of several GPUs (choose_gpus.ts); undefined: the strongest. */
  readonly gpu?: AdapterChoice;
  /** Threads of the CPU engine; undefined: all cores. */
  readonly threads?: number;
  /** What programs will be compiled with. Default f32. */
  readonly precision?: Precision | "auto";
  /** Results must not depend on what was measured on the GPU. */
  readonly deterministic?: boolean;
}

/** What the flags of the machine ask for. */
export function engineWish(
  values: Pick<
    PredictValues,
    "device" | "allowCpu" | "allowSoftwareGpu" | "threads" | "deterministic" | "precision"
  >,
): EngineWish {
  const { device, allowCpu, allowSoftwareGpu, threads, deterministic } = values;
  // Bit-equal results cannot depend on a trial.
  const precision = deterministic && values.precision === "auto" ? "f32" : values.precision;
  return { device, allowCpu, allowSoftwareGpu, threads, deterministic, precision };
}

/** True where the CPU may take the place of a GPU that has failed. */
export function mayUseCpu({ device, allowCpu, precision }: EngineWish): boolean {
  return (allowCpu || device === "auto") && precision !== "f16";
}

/** Where lines about the start go. */
export interface StartHooks {
  readonly say?: (line: string) => void;
  readonly warn?: (line: string) => void;
}

export interface ChosenEngine {
  readonly engine: Engine & TrainingEngine;
  /** Why it is this one, a sentence for the user; empty where it is what was asked for. */
  readonly reason: string;
  /** True where a warning has said the reason already. */
  readonly reasonSaid?: true;
  /** True where a refusal was overridden (--allow_cpu). */
  readonly overridden: boolean;
  /** "auto" where the engine can do both. */
  readonly precision: Precision | "auto";
  /** Where "auto" keeps what it finds. */
  readonly precisionCache?: PrecisionCache;
  /** What the engine could not get over: a lost device, memory it did not get. */
  lastFailure(): Error | undefined;
  /** True if the device is gone, and it is not known by what. */
  wasLost(): boolean;
  /** True if the device is gone, or does not do what cannot be done otherwise. */
  isUseless(): boolean;
  /** The key of a kernel that it may have been lost by. */
  suspect(): string | undefined;
  /** Present if the next engine on the same GPU need not fail as this one did: keeps what that takes. */
  lesson(): (() => Promise<void>) | undefined;
}

/** What stands for and against a GPU, without starting an engine. */
export interface EngineDecision {
  readonly kind: "cpu" | "gpu";
  readonly reason: string;
  readonly overridden: boolean;
}

/** @throws UserError if a GPU is asked for that cannot be used, without --allow_cpu */
export async function decideEngine(wish: EngineWish): Promise<EngineDecision> {
  const { device, allowCpu } = wish;
  if (device === "cpu") return { kind: "cpu", reason: "", overridden: false };
  const { usable, why, error } = await judgeGpu(wish);
  if (usable) return { kind: "gpu", reason: why, overridden: false };
  if (device === "auto") return { kind: "cpu", reason: `-device auto: ${why}`, overridden: false };
  if (allowCpu) return { kind: "cpu", reason: `-device ${device}: ${why} (--allow_cpu)`, overridden: true };
  throw error;
}

interface GpuVerdict {
  readonly usable: boolean;
  /** Why not; or a remark. */
  readonly why: string;
  readonly error?: UserError;
}

async function judgeGpu({ device, allowSoftwareGpu, gpu }: EngineWish): Promise<GpuVerdict> {
  const doing = `starting the GPU engine for -device ${device}`;
  const otherwise = "or say -device cpu, or add --allow_cpu to take the CPU where no GPU can be used";
  const variables = judgeGpuVariables((name) => Deno.env.get(name), await openableGpus());
  if (variables.kind === "none") {
    const remedy = `unset the variable, ${otherwise}`;
    return { usable: false, why: variables.note, error: new UserError({ doing, problem: variables.note, remedy }) };
  }
  const adapter = await findAdapter(gpu);
  if (!adapter) {
    const problem = shortVerdict(await probeGpu());
    const remedy = `see \`nnunet doctor\` for what is missing, ${otherwise}`;
    return { usable: false, why: problem, error: new UserError({ doing, problem, remedy }) };
  }
  if (adapter.software && !allowSoftwareGpu) return refuseSoftware(adapter, doing, otherwise);
  if (variables.kind === "refused" && !gpu) {
    const error = new UserError(variables.error);
    return { usable: false, why: error.message, error };
  }
  if (adapter.software) return { usable: true, why: "--allow_software_gpu" };
  return { usable: true, why: variables.kind === "first" ? variables.note : gpu?.label ?? "" };
}

function refuseSoftware({ name }: AdapterFacts, doing: string, otherwise: string): GpuVerdict {
  const problem = `the only adapter is ${name}, which computes on the CPU, and slower than the CPU engine`;
  const remedy = `install the GPU's driver (\`nnunet doctor\` says more), ${otherwise}`;
  return { usable: false, why: problem, error: new UserError({ doing, problem, remedy }) };
}

/**
 * Starts the engine; the caller disposes it.
 * @param suspects as of {@link openGpu}
 * @throws as {@link decideEngine}, and if the engine lacks the precision, or the GPU fails its self-test
 */
export async function selectEngine(
  wish: EngineWish,
  hooks: StartHooks = {},
  suspects?: ReadonlySet<string>,
): Promise<ChosenEngine> {
  const decision = await decideEngine(wish);
  if (decision.kind === "cpu") {
    if (wish.precision === "f16") throw noHalves("the CPU engine computes in f32 only", decision.reason);
    return await startCpu(wish, decision.reason, decision.overridden);
  }
  try {
    return await openGpu(wish, decision.reason, hooks, suspects);
  } catch (error) {
    if (!(error instanceof UserError) || !mayUseCpu(wish)) throw error;
    const reason = `-device ${wish.device}: ${error.message}`;
    const chosen = await startCpu(wish, reason, wish.allowCpu);
    if (!hooks.warn) return chosen;
    hooks.warn(`the GPU is not used: ${error.message}`);
    return { ...chosen, reasonSaid: true };
  }
}

/**
 * Opens the GPU, for the first time or after a failure.
 * @param suspects the device was lost: kernels are tried one by one; keys of those at which that happened
 * @throws UserError
 */
export async function openGpu(
  wish: EngineWish,
  reason: string,
  hooks: StartHooks = {},
  suspects?: ReadonlySet<string>,
): Promise<ChosenEngine> {
  const { precision = "f32", allowSoftwareGpu, deterministic } = wish;
  const { engine, record } = await startGpu({
    allowSoftware: allowSoftwareGpu,
    choice: wish.gpu,
    deterministic,
    suspects,
    ...hooks,
  });
  const { halvesFailed } = record.findings.selfTest ?? {};
  const halves = engine.supports("f16") && halvesFailed === undefined;
  if (precision === "f16" && !halves) {
    await engine[Symbol.asyncDispose]();
    const { name } = engine.adapter;
    throw noHalves(
      halvesFailed ? `${name} computes wrong with them (${halvesFailed})` : `${name} has no 16-bit floats`,
      "",
    );
  }
  return {
    engine,
    reason,
    overridden: false,
    precision: precision === "auto" && !halves ? "f32" : precision,
    precisionCache: precisionCacheOf(record, wish.threads),
    lastFailure: () => engine.lastFailure,
    wasLost: () => engine.lost,
    isUseless: () => engine.lost || engine.suspect !== undefined || engine.refused !== undefined,
    suspect: () => engine.suspect?.key,
    lesson: () => lessonOf(engine, record),
  };
}

function noHalves(problem: string, reason: string): UserError {
  return new UserError({
    doing: "starting an engine for --precision f16",
    problem: problem + (reason ? ` (${reason})` : ""),
    remedy: "leave --precision out",
  });
}

/** Starts the CPU engine. */
export async function startCpu(
  { threads }: Pick<EngineWish, "threads">,
  reason: string,
  overridden: boolean,
): Promise<ChosenEngine> {
  const { createCpuEngine } = await import("../../cpu/engine.ts");
  const engine = await createCpuEngine({ threads });
  return {
    engine,
    reason,
    overridden,
    precision: "f32",
    lastFailure: () => undefined,
    wasLost: () => false,
    isUseless: () => false,
    suspect: () => undefined,
    lesson: () => undefined,
  };
}
