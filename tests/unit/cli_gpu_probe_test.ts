import { describeGpu, type GpuFacts } from "../../cli/engines/gpu_probe.ts";
import { assert, assertEquals } from "../assert.ts";

const NOTHING: GpuFacts = { os: "linux", webgpu: true, deviceFiles: null, vulkanDrivers: [], unusedDrivers: [] };
const LOADER = { vulkanLoader: "/usr/lib/libvulkan.so.1" };
const NVIDIA = { nvidiaCompute: "/usr/lib/libcuda.so.1", nvidiaDevices: "all" };

Deno.test("a container with the compute part of the NVIDIA driver alone is told to ask for all capabilities", () => {
  const text = describeGpu({ ...NOTHING, ...LOADER, ...NVIDIA, nvidiaCapabilities: "compute,utility" }).join("\n");
  assert(text.includes("although there are signs of a GPU"));
  assert(text.includes("-e NVIDIA_DRIVER_CAPABILITIES=all (now NVIDIA_DRIVER_CAPABILITIES=compute,utility)"));
  assert(!text.includes("loader (libvulkan.so.1) is missing"));
});

Deno.test("a missing Vulkan loader is named with the package that brings it", () => {
  const facts = {
    ...NOTHING,
    ...NVIDIA,
    nvidiaGraphics: "/usr/lib/libGLX_nvidia.so.0",
    vulkanDrivers: ["nvidia_icd.json"],
  };
  const text = describeGpu(facts).join("\n");
  assert(text.includes("apt-get install libvulkan1"));
  assert(!text.includes("graphics part"));
});

Deno.test("a GPU of another maker without a driver is told the driver's package", () => {
  const text = describeGpu({ ...NOTHING, ...LOADER, deviceFiles: ["/dev/dri/renderD128"] }).join("\n");
  assert(text.includes("/dev/dri/renderD128"));
  assert(text.includes("mesa-vulkan-drivers"));
});

Deno.test("with loader and driver there, permissions and versions are asked about", () => {
  const facts = { ...NOTHING, ...LOADER, deviceFiles: ["/dev/dri/renderD128"], vulkanDrivers: ["radeon_icd.json"] };
  const text = describeGpu(facts).join("\n");
  assert(text.includes("groups video, render"));
});

Deno.test("a software adapter is called one", () => {
  const adapter = { description: "llvmpipe (LLVM 15)", software: true, limits: { maxBufferSize: 1 }, features: [] };
  const lines = describeGpu({ ...NOTHING, adapter });
  assertEquals(lines[0], "llvmpipe (LLVM 15)");
  assert(lines.at(-1)?.includes("software adapter"));
});

Deno.test("a devices variable that says none is no sign of a GPU", () => {
  const text = describeGpu({ ...NOTHING, ...LOADER, nvidiaDevices: "void" }).join("\n");
  assert(!text.includes("signs of a GPU"));
});

Deno.test("a driver that lies where the loader does not look is answered with the variable that names it", () => {
  const unusedDrivers = ["/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json"];
  const facts = {
    ...NOTHING,
    ...LOADER,
    ...NVIDIA,
    nvidiaGraphics: "/usr/local/nvidia/lib64/libGLX_nvidia.so.0",
    unusedDrivers,
  };
  assert(describeGpu(facts).join("\n").includes(`export VK_DRIVER_FILES=${unusedDrivers[0]}`));
});

Deno.test("an adapter that binds little at a time is said to, a large one is not", () => {
  const describe = (maxStorageBufferBindingSize: number) =>
    describeGpu({
      ...NOTHING,
      adapter: { description: "Made GPU", software: false, features: [], limits: { maxStorageBufferBindingSize } },
    }).join("\n");
  assert(describe(128 * 2 ** 20).includes("It binds 128 MiB at a time"));
  assert(!describe(2 ** 31 - 4).includes("It binds"));
});
