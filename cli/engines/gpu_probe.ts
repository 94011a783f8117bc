/**
 * What WebGPU sees, and why it may see nothing. Deno gives a null adapter without a word where the Vulkan loader is missing or the
 * driver was mounted into the container without its graphics part, so the likely reasons are looked for in the file system.
 */

import { type AdapterChoice, type AdapterFacts, factsOf, requestAdapter } from "../../gpu/adapter.ts";

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
  /** Device files of GPUs: /dev/nvidia0, /dev/dri/renderD128. Null where the program may not look (Deno guards /dev). */
  readonly deviceFiles: readonly string[] | null;
  /** Path of libvulkan.so.1, if it was found. */
  readonly vulkanLoader?: string;
  /** Driver manifests the loader reads. */
  readonly vulkanDrivers: readonly string[];
  /** Manifests in places the loader does not look at by itself, as some container hosts mount them. */
  readonly unusedDrivers: readonly string[];
  /** The NVIDIA driver's libraries: for CUDA, and for Vulkan. */
  readonly nvidiaCompute?: string;
  readonly nvidiaGraphics?: string;
  /** NVIDIA_VISIBLE_DEVICES and NVIDIA_DRIVER_CAPABILITIES, which containers set. */
  readonly nvidiaDevices?: string;
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
    adapter: gpu ? await describeAdapter() : undefined,
    deviceFiles: linux ? await gpuDeviceFiles() : null,
    vulkanLoader: linux ? await findLibrary("libvulkan.so.1") : undefined,
    vulkanDrivers: linux ? await vulkanManifests() : [],
    unusedDrivers: linux ? await manifestsIn(UNUSUAL_DRIVER_FOLDERS) : [],
    nvidiaCompute: linux ? await findLibrary("libcuda.so.1") : undefined,
    nvidiaGraphics: linux ? await findLibrary("libGLX_nvidia.so.0") : undefined,
    nvidiaDevices: Deno.env.get("NVIDIA_VISIBLE_DEVICES"),
    nvidiaCapabilities: Deno.env.get("NVIDIA_DRIVER_CAPABILITIES"),
  };
}

async function describeAdapter(): Promise<GpuFacts["adapter"]> {
  const adapter = await askForAdapter();
  if (!adapter) return undefined;
  const { name, software, features } = factsOf(adapter);
  const limits = Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]]));
  return { description: name, software, limits, features };
}

/** The adapter the GPU engine would take. @throws UserError if the driver shows another one than the chosen one */
export async function findAdapter(choice?: AdapterChoice): Promise<AdapterFacts | undefined> {
  const adapter = await askForAdapter(choice);
  return adapter ? factsOf(adapter) : undefined;
}

/** As gpu/adapter.ts's, on a machine as it is. */
export async function askForAdapter(choice?: AdapterChoice): Promise<GPUAdapter | null> {
  // Mesa complains on stderr, in nobody's name, where a session has none; nothing is put there.
  if (Deno.build.os === "linux" && !Deno.env.has("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
  return await requestAdapter(choice);
}

/** NVIDIA's device files that this process may open: a container or a cgroup hides the others. Null where it may not look. */
export async function openableGpus(): Promise<string[] | null> {
  if (Deno.build.os !== "linux") return null;
  const files = (await gpuDeviceFiles())?.filter((file) => file.startsWith("/dev/nvidia"));
  if (!files || files.length === 0) return null;
  const openable: string[] = [];
  for (const file of files) {
    try {
      (await Deno.open(file)).close();
      openable.push(file);
    } catch {
      continue;
    }
  }
  return openable;
}

/** Why there is no GPU, in a clause. */
export function shortVerdict(facts: GpuFacts): string {
  const signs = facts.adapter || facts.os !== "linux" ? [] : signsOfGpu(facts);
  if (!facts.webgpu) return "this runtime has no WebGPU";
  if (signs.length === 0) return "there is no GPU that WebGPU could use";
  return `WebGPU finds no adapter, although there are signs of a GPU (${signs.join(", ")}): \`nnunet doctor\` says why`;
}

/** The verdict in lines for the user. */
export function describeGpu(facts: GpuFacts): string[] {
  const { adapter } = facts;
  if (adapter) {
    const limits = Object.entries(adapter.limits).map(([name, value]) => `${name} ${value}`).join(", ");
    const lines = [adapter.description, `limits: ${limits}`, `features: ${adapter.features.join(", ") || "none"}`];
    lines.push(...smallLimits(adapter.limits));
    if (adapter.software) {
      lines.push("This is a software adapter: it computes on the CPU, and slower than the CPU engine.");
    }
    return lines;
  }
  if (!facts.webgpu) return ["This runtime has no WebGPU: the program was started without it."];
  if (facts.os !== "linux") return ["No adapter: WebGPU finds no GPU here. Install the graphics driver of its maker."];
  const signs = signsOfGpu(facts);
  const lines = signs.length > 0
    ? [`WebGPU finds no adapter, although there are signs of a GPU: ${signs.join(", ")}.`]
    : ["WebGPU finds no adapter. If there is a GPU, this is what it needs:"];
  if (!facts.vulkanLoader) {
    lines.push(
      "The Vulkan loader (libvulkan.so.1) is missing: apt-get install libvulkan1, or dnf install vulkan-loader.",
    );
  }
  lines.push(...missingDriver(facts));
  if (signs.length === 0) {
    lines.push("In a container: start it with the GPU (docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=all ...).");
  } else if (lines.length === 1) {
    lines.push(
      `Vulkan loader (${facts.vulkanLoader}) and drivers (${
        facts.vulkanDrivers.join(", ")
      }) are there. May this user open ` +
        "/dev/dri/* and /dev/nvidia* (groups video, render)? Is the driver of the same version as the kernel module's " +
        "(nvidia-smi tells)?",
    );
  }
  return lines;
}

/** Limits below which arrays of a usual network have to be cut. */
const USUAL_BINDING = 512 * 2 ** 20;

/** What limits mean that are smaller than those of most GPUs. */
function smallLimits({ maxStorageBufferBindingSize: binding }: Readonly<Record<string, number>>): string[] {
  if (!(binding < USUAL_BINDING)) return [];
  const size = Math.floor(binding / 2 ** 20);
  return [
    `It binds ${size} MiB at a time, which is little: larger arrays are kept in pieces. That works, and costs time.`,
  ];
}

function signsOfGpu({ deviceFiles, nvidiaCompute, nvidiaDevices }: GpuFacts): string[] {
  const signs = [...deviceFiles ?? []];
  if (nvidiaCompute) signs.push(nvidiaCompute);
  if (nvidiaDevices && !/^(void|none)$/.test(nvidiaDevices)) signs.push(`NVIDIA_VISIBLE_DEVICES=${nvidiaDevices}`);
  return signs;
}

/** What of the driver is not there. */
function missingDriver(facts: GpuFacts): string[] {
  const nvidia = signsOfGpu(facts).some((sign) => /nvidia|libcuda/i.test(sign));
  const { nvidiaCapabilities: capabilities } = facts;
  if (nvidia && !facts.nvidiaGraphics) {
    const now = capabilities === undefined ? "" : ` (now NVIDIA_DRIVER_CAPABILITIES=${capabilities})`;
    return [
      "The NVIDIA driver is there without its graphics part (libGLX_nvidia.so.0), which Vulkan needs. In a container: start " +
      `it with -e NVIDIA_DRIVER_CAPABILITIES=all${now}. Otherwise: install libnvidia-gl of the driver's version.`,
    ];
  }
  if (facts.vulkanDrivers.length > 0) return [];
  if (facts.unusedDrivers.length > 0) {
    const [file] = facts.unusedDrivers;
    return [`A Vulkan driver lies where the loader does not look: export VK_DRIVER_FILES=${file}`];
  }
  return [
    "No Vulkan driver is registered (a *.json in /usr/share/vulkan/icd.d or /etc/vulkan/icd.d): for AMD and Intel apt-get " +
    "install mesa-vulkan-drivers, for NVIDIA the driver's graphics part (libnvidia-gl-*).",
  ];
}

/** The devices' files, or null where /dev may not be read. */
async function gpuDeviceFiles(): Promise<string[] | null> {
  const dev = await namesIn("/dev");
  if (dev === null) return null;
  const nvidia = dev.filter((name) => /^nvidia\d+$/.test(name)).map((name) => `/dev/${name}`);
  const dri = (await namesIn("/dev/dri") ?? []).filter((name) => name.startsWith("renderD"));
  return [...nvidia, ...dri.map((name) => `/dev/dri/${name}`)].sort();
}

/** Path of a shared library in the usual places, if it is there. */
export async function findLibrary(name: string): Promise<string | undefined> {
  const machine = Deno.build.arch === "aarch64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  const extra = (Deno.env.get("LD_LIBRARY_PATH") ?? "").split(":").filter(Boolean);
  const folders = [
    ...extra,
    `/usr/lib/${machine}`,
    `/lib/${machine}`,
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/nvidia/lib64",
  ];
  return await firstExisting(folders.map((folder) => `${folder}/${name}`));
}

const DRIVER_FOLDERS = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
const UNUSUAL_DRIVER_FOLDERS = ["/usr/local/nvidia/share/vulkan/icd.d", "/usr/local/nvidia/vulkan/icd.d"];

/** The Vulkan driver manifests that the loader reads. */
export async function vulkanManifests(): Promise<string[]> {
  const named = Deno.env.get("VK_DRIVER_FILES") ?? Deno.env.get("VK_ICD_FILENAMES");
  if (!named) return await manifestsIn(DRIVER_FOLDERS);
  const paths = await Promise.all(
    named.split(":").filter(Boolean).map(async (path) => {
      const within = await manifestsIn([path]);
      return within.length > 0 ? within : [path];
    }),
  );
  return paths.flat();
}

/** Paths of the driver manifests in these folders. */
export async function manifestsIn(folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    for (const name of await namesIn(folder) ?? []) if (name.endsWith(".json")) found.push(`${folder}/${name}`);
  }
  return found.sort();
}

/** Names in a folder; none if it is not there, null if it may not be read. */
async function namesIn(folder: string): Promise<string[] | null> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) names.push(name);
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? [] : null;
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
