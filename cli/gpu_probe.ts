/**
 * What WebGPU sees, and why it may see nothing. Deno gives a null adapter without a word where the Vulkan loader is missing or the
 * driver was mounted into the container without its graphics part, so the likely reasons are looked for in the file system.
 */

/** The facts a GPU verdict is made from. */
export interface GpuFacts {
  readonly os: string;
  /** True where the runtime has WebGPU at all. */
  readonly webgpu: boolean;
  readonly adapter?: {
    readonly description: string;
    readonly software: boolean;
    readonly limits: Readonly<Record<string, number>>;
    readonly features: readonly string[];
  };
  /** Device files of GPUs that are there: /dev/nvidia0, /dev/dri/renderD128. */
  readonly deviceFiles: readonly string[];
  /** Path of libvulkan.so.1, if it was found. */
  readonly vulkanLoader?: string;
  /** Driver manifests the loader reads. */
  readonly vulkanDrivers: readonly string[];
  /** NVIDIA_DRIVER_CAPABILITIES, where set. */
  readonly nvidiaCapabilities?: string;
}

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
] as const;

/** Asks the runtime and looks around. */
export async function probeGpu(): Promise<GpuFacts> {
  const gpu: GPU | undefined = navigator.gpu;
  const linux = Deno.build.os === "linux";
  return {
    os: Deno.build.os,
    webgpu: gpu !== undefined,
    adapter: gpu ? await describeAdapter(gpu) : undefined,
    deviceFiles: linux ? await gpuDeviceFiles() : [],
    vulkanLoader: linux ? await firstExisting(vulkanLoaderPaths()) : undefined,
    vulkanDrivers: linux ? await vulkanManifests() : [],
    nvidiaCapabilities: Deno.env.get("NVIDIA_DRIVER_CAPABILITIES"),
  };
}

async function describeAdapter(gpu: GPU): Promise<GpuFacts["adapter"]> {
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return undefined;
  const { vendor, architecture, device, description } = adapter.info;
  const text = [description, device, architecture, vendor].filter(Boolean).join(", ") || "unnamed adapter";
  return {
    description: text,
    software: /llvmpipe|lavapipe|swiftshader|softpipe|software/i.test(text),
    limits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
    features: [...adapter.features],
  };
}

/** The verdict in lines for the user. */
export function describeGpu(facts: GpuFacts): string[] {
  const { adapter, deviceFiles } = facts;
  if (adapter) {
    const limits = Object.entries(adapter.limits).map(([name, value]) => `${name} ${value}`).join(", ");
    const lines = [adapter.description, `limits: ${limits}`, `features: ${adapter.features.join(", ") || "none"}`];
    if (adapter.software) {
      lines.push("This is a software adapter: it computes on the CPU, and slower than the CPU engine.");
    }
    return lines;
  }
  if (!facts.webgpu) return ["This runtime has no WebGPU: the program was started without it."];
  if (facts.os !== "linux") return ["No adapter: WebGPU finds no GPU here. Install the graphics driver of its maker."];
  if (deviceFiles.length === 0) {
    return [
      "No GPU: there is neither /dev/nvidia* nor /dev/dri. In a container: start it with the GPU (docker run --gpus all).",
    ];
  }
  const lines = [
    `${deviceFiles.join(", ")} ${deviceFiles.length > 1 ? "are" : "is"} there, but WebGPU finds no adapter.`,
  ];
  if (!facts.vulkanLoader) {
    lines.push(
      "The Vulkan loader (libvulkan.so.1) is missing: apt-get install libvulkan1, or dnf install vulkan-loader.",
    );
  }
  const nvidia = deviceFiles.some((file) => file.startsWith("/dev/nvidia"));
  const capabilities = facts.nvidiaCapabilities;
  if (nvidia && capabilities !== undefined && !/\b(all|graphics)\b/.test(capabilities)) {
    lines.push(
      `NVIDIA_DRIVER_CAPABILITIES=${capabilities} leaves out the driver's Vulkan part: start the container with ` +
        "-e NVIDIA_DRIVER_CAPABILITIES=all (or compute,utility,graphics).",
    );
  } else if (facts.vulkanDrivers.length === 0) {
    lines.push(
      nvidia
        ? "No Vulkan driver is registered (no *.json in /usr/share/vulkan/icd.d or /etc/vulkan/icd.d): install the driver's " +
          "graphics part (libnvidia-gl-*), or in a container set NVIDIA_DRIVER_CAPABILITIES=all."
        : "No Vulkan driver is registered (no *.json in /usr/share/vulkan/icd.d): apt-get install mesa-vulkan-drivers.",
    );
  } else if (facts.vulkanLoader) {
    lines.push(
      `Loader (${facts.vulkanLoader}) and drivers (${
        facts.vulkanDrivers.join(", ")
      }) are there: is the user allowed to open ` +
        "the device files (groups video, render), and does the driver's version fit the kernel's?",
    );
  }
  return lines;
}

async function gpuDeviceFiles(): Promise<string[]> {
  const nvidia = (await namesIn("/dev")).filter((name) => /^nvidia\d+$/.test(name)).map((name) => `/dev/${name}`);
  const dri = (await namesIn("/dev/dri")).filter((name) => name.startsWith("renderD")).map((name) =>
    `/dev/dri/${name}`
  );
  return [...nvidia, ...dri].sort();
}

function vulkanLoaderPaths(): string[] {
  const machine = Deno.build.arch === "aarch64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  const extra = (Deno.env.get("LD_LIBRARY_PATH") ?? "").split(":").filter(Boolean);
  return [...extra, `/usr/lib/${machine}`, `/lib/${machine}`, "/usr/lib64", "/usr/lib", "/usr/local/lib"]
    .map((folder) => `${folder}/libvulkan.so.1`);
}

async function vulkanManifests(): Promise<string[]> {
  const named = Deno.env.get("VK_DRIVER_FILES") ?? Deno.env.get("VK_ICD_FILENAMES");
  if (named) return named.split(":").filter(Boolean);
  const found: string[] = [];
  for (const folder of ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"]) {
    for (const name of await namesIn(folder)) if (name.endsWith(".json")) found.push(name);
  }
  return [...new Set(found)].sort();
}

async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) names.push(name);
  } catch {
    return [];
  }
  return names;
}

async function firstExisting(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    try {
      await Deno.stat(path);
      return path;
    } catch {
      continue;
    }
  }
  return undefined;
}
