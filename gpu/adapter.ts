/** The adapter WebGPU offers: what it is called, whether it is a real GPU, and what it allows. */
import { UserError } from "../core/base/errors.ts";
import { ownWebGpu, type WebGpu } from "./webgpu.ts";

export interface AdapterFacts {
  /** One line for the user: "NVIDIA H200", "llvmpipe (LLVM 15.0.6, 256 bits)". */
  readonly name: string;
  /** True for one that computes on the CPU (lavapipe, SwiftShader, WARP). */
  readonly software: boolean;
  readonly features: readonly string[];
}

const SOFTWARE = /llvmpipe|lavapipe|swiftshader|softpipe|basic render|software/i;

/** What WebGPU is asked for by name: where no driver of these is there, OpenGL would take their place without a word. */
const BACKENDS = "vulkan,metal,dx12";

/** One of several adapters. Plain data, so that threads can be told; WebGPU itself asks for strong or sparing ones only. */
export interface AdapterChoice {
  /** As it is chosen: its index, "1", or its address. */
  readonly name: string;
  /** For messages: "GPU 1, NVIDIA T4 (0000:81:00.0)". */
  readonly label: string;
  /** Variables that the drivers' loader and its layers read whenever devices are listed; a process has one set of them. */
  readonly environment: Readonly<Record<string, string>>;
  /** Undefined: the first of the list, whose order the variables decide. */
  readonly powerPreference?: GPUPowerPreference;
  /** What it must turn out to be, as far as that is known. */
  readonly vendor?: number;
  readonly device?: number;
  /** True: it is named by an address that the program may not look at; see cli/engines/verify_address.ts. */
  readonly isUnchecked?: true;
  /** One number that all threads of the process share: 1 while one of them asks, its variables being set. */
  readonly turn: Int32Array<SharedArrayBuffer>;
}

/**
 * The adapter that a device would be made from: without a choice the strongest, where the system has several. Null where there is none.
 * @param webgpu another implementation than Deno's
 * @throws UserError if the driver shows another one than the chosen one
 */
export async function requestAdapter(choice?: AdapterChoice, webgpu?: WebGpu): Promise<GPUAdapter | null> {
  // Deno reads it when the first adapter of the process is asked for.
  if (!Deno.env.get("DENO_WEBGPU_BACKEND")) Deno.env.set("DENO_WEBGPU_BACKEND", BACKENDS);
  if (!choice) return await ask("high-performance", webgpu);
  const adapter = await inTurn(choice.turn, () => {
    showFirst(choice);
    return ask(choice.powerPreference, webgpu);
  });
  if (adapter && !isChosen(adapter, choice)) {
    throw new UserError({
      doing: `opening ${choice.label}`,
      problem: `the driver shows ${factsOf(adapter).name} in its place`,
      remedy: "see `nnunet doctor` for the GPUs that can be chosen",
    });
  }
  return adapter;
}

/** Has the driver show a GPU first, from the next listing of devices on. */
export function showFirst({ environment }: AdapterChoice): void {
  for (const [name, value] of Object.entries(environment)) Deno.env.set(name, value);
}

async function ask(
  powerPreference: GPUPowerPreference | undefined,
  webgpu: WebGpu | undefined = ownWebGpu(),
): Promise<GPUAdapter | null> {
  return await webgpu?.requestAdapter(powerPreference && { powerPreference }) ?? null;
}

async function inTurn<T>(turn: Int32Array<SharedArrayBuffer>, act: () => Promise<T>): Promise<T> {
  while (Atomics.compareExchange(turn, 0, 0, 1) !== 0) Atomics.wait(turn, 0, 1);
  try {
    return await act();
  } finally {
    Atomics.store(turn, 0, 0);
    Atomics.notify(turn, 0);
  }
}

function isChosen(adapter: GPUAdapter, { vendor, device }: AdapterChoice): boolean {
  const ids = idsOf(adapter);
  return (vendor === undefined || ids.vendor === vendor) && (device === undefined || ids.device === device);
}

/** Numbers of PCI, where the GPU has them; NaN where WebGPU tells names. */
export function idsOf({ info }: GPUAdapter): { readonly vendor: number; readonly device: number } {
  const numberOf = (text: string) => text === "" ? NaN : Number(text);
  return { vendor: numberOf(info.vendor), device: numberOf(info.device) };
}

/** Those of a choice. */
export function knownIds({ vendor, device }: { readonly vendor: number; readonly device: number }) {
  return { ...(!Number.isNaN(vendor) && { vendor }), ...(!Number.isNaN(device) && { device }) };
}

export function factsOf({ info, features }: GPUAdapter): AdapterFacts {
  const { vendor, architecture, device, description } = info;
  const name = [description, device !== "0" && device, architecture].filter(Boolean).join(", ") ||
    `adapter of vendor ${vendor || "unknown"}`;
  return { name, software: info.isFallbackAdapter === true || SOFTWARE.test(name), features: [...features].sort() };
}

/** Limits asked for up to what the adapter has; all others keep WebGPU's defaults. */
export const RAISED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "maxBindingsPerBindGroup",
] as const;

/** Asks for a device with all that kernels can use. */
export async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const requiredLimits = Object.fromEntries(RAISED_LIMITS.map((name) => [name, adapter.limits[name]]));
  const requiredFeatures = (["shader-f16", "timestamp-query"] as const).filter((name) => adapter.features.has(name));
  return await adapter.requestDevice({ requiredFeatures, requiredLimits });
}
