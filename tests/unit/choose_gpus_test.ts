import { chooseGpus, gpuLines } from "../../cli/engines/choose_gpus.ts";
import { variablesFor } from "../../cli/engines/device_select.ts";
import { firstGpus } from "../../cli/engines/training_gpus.ts";
import { UsageError } from "../../core/base/errors.ts";
import type { GpuList, ListedGpu } from "../../cli/engines/list_gpus.ts";
import { fullAddress, pciGpus } from "../../cli/engines/pci_gpus.ts";
import { assert, assertEquals } from "../assert.ts";

const turn = new Int32Array(new SharedArrayBuffer(4));

function gpu(index: number, name: string, address?: string): ListedGpu {
  const choice = { name: `${index}`, label: `GPU ${index}`, environment: {}, turn };
  return { index, name, vendor: 0x10de, device: 0x2204, backend: "Vulkan", software: false, address, choice };
}

const LIST: GpuList = {
  gpus: [
    gpu(0, "NVIDIA GeForce RTX 3090", "0000:01:00.0"),
    gpu(1, "NVIDIA GeForce RTX 3090", "0000:41:00.0"),
    gpu(2, "Tesla T4", "0000:81:00.0"),
  ],
  alike: [],
  isWhole: true,
  selecting: "address",
  turn,
};

function assertThrows(act: () => unknown, part = ""): Error {
  try {
    act();
  } catch (error) {
    assert(error instanceof Error && error.message.includes(part), String(error));
    return error;
  }
  throw new Error("nothing was thrown");
}

const labels = (text: string, list = LIST) => chooseGpus(text, list).map(({ label }) => label);

Deno.test("GPUs are chosen by index, address and name, in the order they are named in, one twice if it is named twice", () => {
  assertEquals(labels("0, 2"), ["GPU 0", "GPU 2"]);
  assertEquals(labels("0,0"), ["GPU 0", "GPU 0"]);
  assertEquals(labels("81:00.0,0000:01:00.0"), ["GPU 2", "GPU 0"]);
  assertEquals(labels("00000000:41:00.0"), ["GPU 1"]);
  assertEquals(labels("t4,3090"), ["GPU 2", "GPU 0", "GPU 1"]);
  assertEquals(labels("all"), ["GPU 0", "GPU 1", "GPU 2"]);
});

Deno.test("a training takes the first GPUs, a software adapter in the place of all of them where it is allowed to", () => {
  const taken = (count: number, list: GpuList, allowSoftware: boolean) =>
    firstGpus(count, list, allowSoftware).map(({ label }) => label);
  assertEquals(taken(2, LIST, false), ["GPU 0", "GPU 1"]);
  const four = assertThrows(() => taken(4, LIST, true), "4 GPUs are asked for, and 3 can be used");
  assert(four instanceof UsageError && four.message.includes("2: Tesla T4"), four.message);
  const software: GpuList = { ...LIST, gpus: [{ ...gpu(0, "llvmpipe"), software: true }] };
  assertEquals(taken(3, software, true), ["GPU 0", "GPU 0", "GPU 0"]);
  assertThrows(() => taken(2, software, false), "there is none that can be used");
  const alike = { ...LIST, alike: [{ address: "0000:c1:00.0", vendor: 0x10de, device: 0x2204 }] };
  assertThrows(() => taken(4, alike, false), "device-select");
});

Deno.test("what is not there is refused with what is", () => {
  for (const word of ["3", "99:00.0", "A100", "", "0,", "-1"]) {
    const error = assertThrows(() => labels(word));
    assert(error.message.includes("0: NVIDIA GeForce RTX 3090 at 0000:01:00.0"), error.message);
  }
});

Deno.test("an address is taken as it is where the program may not look at the bus, if the driver's loader can be told of it", () => {
  const blind: GpuList = { ...LIST, gpus: [gpu(0, "Tesla T4")], isWhole: false };
  const [choice] = chooseGpus("c1:00.0", blind);
  assertEquals(choice.environment.DRI_PRIME, "pci-0000_c1_00_0");
  assertThrows(() => chooseGpus("c1:00.0", { ...blind, selecting: "model" }), "cannot be told apart");
  assert(gpuLines(blind).at(-1)?.includes("lspci -D"));
});

Deno.test("GPUs that cannot be told from another one are not chosen in its place", () => {
  const twin: GpuList = {
    ...LIST,
    gpus: [gpu(0, "Tesla T4", "0000:01:00.0")],
    alike: [{ address: "0000:02:00.0", vendor: 0x10de, device: 0x2204 }],
    selecting: "model",
  };
  assertEquals(labels("0", twin), ["GPU 0"]);
  for (const word of ["all", "02:00.0"]) assertThrows(() => labels(word, twin), "0000:02:00.0 cannot be told");
  assert(gpuLines(twin).join("\n").includes("mesa-vulkan-drivers"));
});

Deno.test("a software adapter is among all GPUs only if it is asked for", () => {
  const soft: GpuList = { ...LIST, gpus: [{ ...gpu(0, "llvmpipe"), software: true }] };
  assertThrows(() => chooseGpus("all", soft), "there is no GPU");
  assertEquals(chooseGpus("all", soft, true).length, 1);
});

Deno.test("the loader is told of the model, and Mesa's layer of the address where it compares addresses rightly", () => {
  const one = { address: "0000:81:00.0", vendor: 0x10de, device: 0x1eb8 };
  assertEquals(variablesFor(one, "address"), {
    VK_LOADER_DEVICE_SELECT: "0x10de:0x1eb8",
    MESA_VK_DEVICE_SELECT: "",
    MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: "1",
    DRI_PRIME: "pci-0000_81_00_0",
  });
  assertEquals(variablesFor(one, "model"), {
    VK_LOADER_DEVICE_SELECT: "0x10de:0x1eb8",
    MESA_VK_DEVICE_SELECT: "10de:1eb8",
    MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: "1",
  });
  assertEquals(fullAddress("81:00.0"), "0000:81:00.0");
});

Deno.test("cards on the bus are found by their class, with driver, version and NVIDIA's name for CUDA", async () => {
  const root = await Deno.makeTempDir();
  try {
    const put = async (path: string, text: string) => {
      await Deno.mkdir(`${root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${root}/${path}`, text);
    };
    const card = async (address: string, kind: string, vendor: string, device: string) => {
      const folder = `sys/bus/pci/devices/${address}`;
      for (const [name, text] of Object.entries({ class: kind, vendor, device })) {
        await put(`${folder}/${name}`, text + "\n");
      }
    };
    assertEquals(await pciGpus(root), null);
    const udev = "E:ID_PCI_CLASS_FROM_DATABASE=Display controller\nE:ID_VENDOR_FROM_DATABASE=NVIDIA Corporation\n";
    await put("run/udev/data/+pci:0000:41:00.0", udev);
    await put("run/udev/data/+pci:0000:00:1f.0", "E:ID_PCI_CLASS_FROM_DATABASE=Bridge\n");
    assertEquals(await pciGpus(root), [{ address: "0000:41:00.0", vendor: 0x10de }]);

    await card("0000:81:00.0", "0x030200", "0x10de", "0x1eb8");
    await card("0000:05:00.0", "0x030000", "0x1a03", "0x2000");
    await card("0000:00:00.0", "0x060000", "0x8086", "0x1234");
    await card("0000:c1:00.0", "0x120000", "0x1002", "0x740f");
    await Deno.symlink("../../../../bus/pci/drivers/nvidia", `${root}/sys/bus/pci/devices/0000:81:00.0/driver`);
    await put("sys/module/nvidia/version", "550.54.15\n");
    const uuid = "GPU-8f3a1234-0000-1111-2222-333344445555";
    await put("proc/driver/nvidia/gpus/0000:81:00.0/information", `Model: \t Tesla T4\nGPU UUID: \t ${uuid}\n`);
    assertEquals(await pciGpus(root), [
      { address: "0000:05:00.0", vendor: 0x1a03, device: 0x2000 },
      { address: "0000:81:00.0", vendor: 0x10de, device: 0x1eb8, driver: "nvidia 550.54.15", uuid },
      { address: "0000:c1:00.0", vendor: 0x1002, device: 0x740f },
    ]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
