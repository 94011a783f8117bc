/** Which engine computes, and why: the only place that knows both engines. */
import { UserError } from "../core/base/errors.ts";
import type { Engine } from "../core/engine/engine.ts";

/** What `-device` may say. */
export type Device = "auto" | "gpu" | "cpu" | "cuda" | "mps";

export interface EngineWish {
  readonly device: Device;
  /** Take the CPU where the GPU asked for is not usable. */
  readonly allowCpu: boolean;
  /** Threads of the CPU engine; undefined: all cores. */
  readonly threads?: number;
}

export interface ChosenEngine {
  readonly engine: Engine;
  /** Why it is this one, a sentence for the user; empty where it is what was asked for. */
  readonly reason: string;
  /** True where a refusal was overridden (--allow_cpu). */
  readonly overridden: boolean;
}

/** What stands for and against a GPU, without starting an engine. */
export interface EngineDecision {
  readonly kind: "cpu";
  readonly reason: string;
  readonly overridden: boolean;
}

const NO_GPU_ENGINE = "this version computes on the CPU only";

/** @throws UserError if a GPU is asked for that cannot be used, without --allow_cpu */
export function decideEngine({ device, allowCpu }: Pick<EngineWish, "device" | "allowCpu">): EngineDecision {
  if (device === "cpu") return { kind: "cpu", reason: "", overridden: false };
  if (device === "auto") {
    return { kind: "cpu", reason: `-device auto: ${NO_GPU_ENGINE}`, overridden: false };
  }
  if (allowCpu) {
    return { kind: "cpu", reason: `-device ${device}: ${NO_GPU_ENGINE} (--allow_cpu)`, overridden: true };
  }
  throw new UserError({
    doing: `starting the engine for -device ${device}`,
    problem: NO_GPU_ENGINE,
    remedy: "leave -device out, say -device cpu, or add --allow_cpu to take the CPU where there is no GPU engine",
  });
}

/** Starts the engine; the caller disposes it. */
export async function selectEngine(wish: EngineWish): Promise<ChosenEngine> {
  const { reason, overridden } = decideEngine(wish);
  const { createCpuEngine } = await import("../cpu/engine.ts");
  const engine = await createCpuEngine({ threads: wish.threads });
  return { engine, reason, overridden };
}
