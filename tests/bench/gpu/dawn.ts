/**
 * Dawn, Chromium's WebGPU, in the place of Deno's: `--webgpu dawn` or `--webgpu dawn:TOGGLE,TOGGLE`. It finds out what another compiler of
 * WGSL makes of the kernels on the same card. The npm package holds native code, so whatever loads it runs with {@link DAWN_FLAGS};
 * the program itself never does. It asks more of a Vulkan driver than Deno's WebGPU: of Mesa's lavapipe it takes 25.0, but not 22.3, which
 * lacks what it needs of dynamic indexing of uniform buffers.
 */
import { z } from "zod";
import { messageOf, UserError } from "../../../core/base/errors.ts";
import type { WebGpu } from "../../../gpu/webgpu.ts";

/** The version that tests/engine/tint.lock holds; the program's own lock has none. */
const DAWN = "npm:webgpu@0.6.2";

/** For a program that loads Dawn, in place of the program's lock: native code runs. */
export const DAWN_FLAGS = ["--no-lock", "--allow-ffi"];

/** What `--webgpu` asks for: "deno", or Dawn with some of its toggles on ("disable_robustness", "disable_workgroup_init"). */
export const webGpuSchema = z.object({ kind: z.enum(["deno", "dawn"]), toggles: z.array(z.string()) });
export type WebGpuWish = z.infer<typeof webGpuSchema>;

/** @throws UserError for anything else */
export function parseWebGpu(text: string, doing: string): WebGpuWish {
  if (text === "deno") return { kind: "deno", toggles: [] };
  const dawn = /^dawn(?::([a-z0-9_]+(?:,[a-z0-9_]+)*))?$/.exec(text);
  if (dawn) return { kind: "dawn", toggles: dawn[1]?.split(",") ?? [] };
  throw new UserError({ doing, problem: `--webgpu ${text}`, remedy: "deno, dawn, or dawn:TOGGLE,TOGGLE" });
}

/**
 * Loads it; undefined: Deno's own is meant.
 * @param adapter a part of the name of the adapter to take, as Deno has it: Dawn orders adapters in its own way
 * @throws UserError where it cannot be loaded, or does not take the adapter
 */
export async function loadWebGpu({ kind, toggles }: WebGpuWish, adapter: string): Promise<WebGpu | undefined> {
  if (kind === "deno") return undefined;
  const doing = "starting Dawn";
  // A literal would be fetched with the program's own packages.
  const name = DAWN;
  const { create }: { create(options: readonly string[]): GPU } = await import(name).catch((error) => {
    throw new UserError({ doing, problem: `${name} is not there (${messageOf(error).split("\n")[0]})` }, {
      cause: error,
    });
  });
  const dawn = create([
    `adapter=${adapter}`,
    ...(toggles.length === 0 ? [] : [`enable-dawn-features=${toggles.join(",")}`]),
  ]);
  held.push(dawn);
  // It throws where it has no adapter of that name.
  const found = await dawn.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!found) {
    throw new UserError({
      doing,
      problem: `it does not take ${adapter} (it asks more of a Vulkan driver than Deno's does)`,
    });
  }
  return dawn;
}

/** What is collected takes its devices with it. */
const held: GPU[] = [];
