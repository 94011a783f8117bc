/** The adapter WebGPU offers: what it is called, whether it is a real GPU, and what it allows. */

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

/** The adapter that a device would be made from: the strongest, where the system has several. Null where there is none. */
export async function requestAdapter(): Promise<GPUAdapter | null> {
  // Deno reads it when the first adapter of the process is asked for.
  if (!Deno.env.get("DENO_WEBGPU_BACKEND")) Deno.env.set("DENO_WEBGPU_BACKEND", BACKENDS);
  const gpu: GPU | undefined = navigator.gpu;
  return await gpu?.requestAdapter({ powerPreference: "high-performance" }) ?? null;
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

/** Asks for a device with all that kernels can use; features an adapter does not list (subgroups) are tried. */
export async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const requiredLimits = Object.fromEntries(RAISED_LIMITS.map((name) => [name, adapter.limits[name]]));
  const listed = (["shader-f16", "timestamp-query"] as const).filter((name) => adapter.features.has(name));
  try {
    return await adapter.requestDevice({ requiredFeatures: [...listed, "subgroups"], requiredLimits });
  } catch {
    return await adapter.requestDevice({ requiredFeatures: listed, requiredLimits });
  }
}
