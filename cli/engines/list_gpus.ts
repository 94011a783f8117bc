/** The GPUs of this machine that can be opened, each with what it takes to open it and no other. */
import { type AdapterChoice, factsOf, idsOf, knownIds } from "../../gpu/adapter.ts";
import { type Selecting, selecting, VARIABLES, variablesFor } from "./device_select.ts";
import { askForAdapter } from "./gpu_probe.ts";
import { type PciGpu, pciGpus } from "./pci_gpus.ts";

export interface ListedGpu {
  /** What `--gpus` takes: first those of the model that is used unasked, each model's in the order of the bus. */
  readonly index: number;
  readonly name: string;
  /** PCI's numbers; NaN where WebGPU does not tell. */
  readonly vendor: number;
  readonly device: number;
  readonly backend: string;
  readonly software: boolean;
  /** Where the system tells. */
  readonly address?: string;
  readonly driver?: string;
  readonly uuid?: string;
  readonly choice: AdapterChoice;
}

export interface GpuList {
  readonly gpus: readonly ListedGpu[];
  /** GPUs that are there but cannot be told from one of the list. */
  readonly alike: readonly PciGpu[];
  /** False: the list is of what WebGPU shows of itself; there may be more GPUs, to be named by their addresses. */
  readonly isWhole: boolean;
  readonly selecting: Selecting;
  /** As in a choice. */
  readonly turn: Int32Array<SharedArrayBuffer>;
}

type Found = Omit<ListedGpu, "index" | "choice"> & { readonly choice: Omit<AdapterChoice, "name" | "label"> };

/**
 * Asks WebGPU for each card of the bus; to be called before threads use GPUs, as it changes the process's variables meanwhile.
 * @param root For tests: where /sys and /proc are.
 */
export async function listGpus(root?: string): Promise<GpuList> {
  const before = new Map(VARIABLES.map((name) => [name, Deno.env.get(name)]));
  try {
    return await list(root);
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  }
}

async function list(root?: string): Promise<GpuList> {
  const turn = new Int32Array(new SharedArrayBuffer(4));
  const strongest = await found({ environment: {}, powerPreference: "high-performance", turn });
  const slots = Deno.build.os === "linux" ? await pciGpus(root) : null;
  const how = await selecting();
  const gpus: Found[] = [];
  const alike: PciGpu[] = [];
  for (const slot of slots ?? []) {
    const isModelThere = gpus.some(({ vendor, device }) => vendor === slot.vendor && device === slot.device);
    if (how === "model" && (slot.device === undefined || isModelThere)) {
      alike.push(slot);
      continue;
    }
    const { vendor, device, address, driver, uuid } = slot;
    const choice = {
      environment: variablesFor(slot, how),
      vendor,
      // What opens is of some model of that maker.
      ...(device === undefined ? { isUnchecked: true as const } : { device }),
      turn,
    };
    const gpu = await found(choice, { address, driver, uuid });
    if (gpu) gpus.push(gpu);
  }
  const isWhole = gpus.length > 0 || Deno.build.os !== "linux" || strongest === undefined || strongest.software;
  // Software adapters are on no bus; beside Linux, WebGPU alone is asked, and tells at most two GPUs apart.
  if (strongest && gpus.length === 0) {
    gpus.push(strongest);
    const sparing = await found({ environment: {}, powerPreference: "low-power", turn });
    if (sparing && !isSameModel(sparing, strongest)) gpus.push(sparing);
  }
  const first = (gpu: Found) => strongest !== undefined && isSameModel(gpu, strongest) ? 0 : 1;
  return {
    gpus: gpus.toSorted((a, b) => first(a) - first(b)).map((gpu, index) => ({
      ...gpu,
      index,
      choice: { ...gpu.choice, name: `${index}`, label: labelOf(index, gpu) },
    })),
    alike: alike.filter((slot) =>
      gpus.some((gpu) =>
        gpu.vendor === slot.vendor && (slot.device ?? gpu.device) === gpu.device && gpu.address !== slot.address
      )
    ),
    isWhole,
    selecting: how,
    turn,
  };
}

function isSameModel(a: Found, b: Found): boolean {
  return Number.isNaN(a.device) ? a.name === b.name : a.vendor === b.vendor && a.device === b.device;
}

function labelOf(index: number, { name, address }: Pick<ListedGpu, "name" | "address">): string {
  return `GPU ${index}, ${name}${address === undefined ? "" : ` (${address})`}`;
}

const BACKENDS: Readonly<Record<string, string>> = {
  linux: "Vulkan",
  darwin: "Metal",
  windows: "Vulkan or Direct3D 12",
};

/** Undefined if there is none, or the driver shows another one: a card without Vulkan is on the bus too. */
async function found(
  choice: Omit<AdapterChoice, "name" | "label">,
  slot: { readonly address?: string; readonly driver?: string; readonly uuid?: string } = {},
): Promise<Found | undefined> {
  const adapter = await askForAdapter({ name: "", label: "", ...choice }).catch(() => null);
  if (!adapter) return undefined;
  const { name: facts, software } = factsOf(adapter);
  const name = adapter.info.description || facts;
  const { vendor, device } = idsOf(adapter);
  const { address, driver, uuid } = slot;
  const backend = BACKENDS[Deno.build.os] ?? Deno.build.os;
  return {
    name,
    software,
    vendor,
    device,
    backend,
    address,
    driver,
    uuid,
    choice: { ...choice, ...knownIds({ vendor, device }) },
  };
}
