/**
 * The graphics cards on the PCI bus of a Linux machine, by what the kernel tells: Vulkan's order says nothing of which card is which. Only
 * files are read. A program with `--allow-all` alone may look into /sys and /proc; others find what udev has noted, where it has.
 */
import { basename, join } from "../../core/base/path.ts";

export interface PciGpu {
  /** "0000:81:00.0": domain, bus, device, function. */
  readonly address: string;
  readonly vendor: number;
  /** Undefined where only udev told. */
  readonly device?: number;
  /** Kernel module and its version, where it has one: "nvidia 550.54.15". */
  readonly driver?: string;
  /** NVIDIA's, as CUDA_VISIBLE_DEVICES may name it: "GPU-...". */
  readonly uuid?: string;
}

export const ADDRESS = /^(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i;

/** "81:00.0" -> "0000:81:00.0", as the kernel writes it. */
export function fullAddress(text: string): string {
  const parts = text.toLowerCase().split(":");
  return parts.length === 3 ? `${parts[0].slice(-4)}:${parts[1]}:${parts[2]}` : `0000:${parts.join(":")}`;
}

/** In the bus's order; null where neither the kernel's nor udev's files may be read, or are there. @param root For tests. */
export async function pciGpus(root = "/"): Promise<PciGpu[] | null> {
  return await fromKernel(root) ?? await fromUdev(root);
}

/** Display controllers (VGA, 3D, others) and processing accelerators. */
const CLASSES = /^0x(?:03|12)/;

async function fromKernel(root: string): Promise<PciGpu[] | null> {
  const folder = join(root, "sys/bus/pci/devices");
  const addresses = await namesIn(folder);
  if (!addresses) return null;
  const gpus: PciGpu[] = [];
  for (const address of addresses.filter((name) => ADDRESS.test(name)).sort()) {
    const read = async (name: string) => (await textOf(join(folder, address, name)))?.trim();
    if (!CLASSES.test(await read("class") ?? "")) continue;
    const [vendor, device] = [Number(await read("vendor")), Number(await read("device"))];
    if (!Number.isInteger(vendor) || !Number.isInteger(device)) continue;
    const module = await linkName(join(folder, address, "driver"));
    const version = module && (await textOf(join(root, "sys/module", module, "version")))?.trim();
    const information = await textOf(join(root, "proc/driver/nvidia/gpus", address, "information"));
    const uuid = information && /GPU UUID:\s*(GPU-[0-9a-f-]+)/i.exec(information)?.[1];
    gpus.push({
      address,
      vendor,
      device,
      ...(module && { driver: version ? `${module} ${version}` : module }),
      ...(uuid && { uuid }),
    });
  }
  return gpus;
}

/** What udev's database of names calls the makers of cards for computing. */
const MAKERS: readonly (readonly [RegExp, number])[] = [
  [/nvidia/i, 0x10de],
  [/advanced micro devices|\bamd\b/i, 0x1002],
  [/intel/i, 0x8086],
];

async function fromUdev(root: string): Promise<PciGpu[] | null> {
  const folder = join(root, "run/udev/data");
  const names = await namesIn(folder);
  if (!names) return null;
  const gpus: PciGpu[] = [];
  for (const name of names.filter((one) => one.startsWith("+pci:")).sort()) {
    const address = name.slice("+pci:".length);
    const text = ADDRESS.test(address) ? await textOf(join(folder, name)) : undefined;
    if (!text || !/^E:ID_PCI_CLASS_FROM_DATABASE=(?:Display controller|Processing accelerators)$/m.test(text)) continue;
    const maker = /^E:ID_VENDOR_FROM_DATABASE=(.*)$/m.exec(text)?.[1] ?? "";
    const vendor = MAKERS.find(([pattern]) => pattern.test(maker))?.[1];
    if (vendor !== undefined) gpus.push({ address, vendor });
  }
  return gpus.length > 0 ? gpus : null;
}

async function namesIn(folder: string): Promise<string[] | null> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch {
    return null; // Not there, or not to be looked at.
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch {
    return undefined;
  }
}

async function linkName(path: string): Promise<string | undefined> {
  try {
    return basename(await Deno.readLink(path));
  } catch {
    return undefined;
  }
}
