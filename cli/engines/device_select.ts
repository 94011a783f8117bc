/**
 * What makes a certain GPU the one that Vulkan shows, without another process and without root: environment variables of the loader and of
 * Mesa's device-select layer, which stands before the drivers of all makers. Both read them whenever devices are listed.
 */
import { findLibrary, manifestsIn } from "./gpu_probe.ts";
import type { PciGpu } from "./pci_gpus.ts";

/** How exactly GPUs can be named: by address; by model only, so that of the same ones it is always one. */
export type Selecting = "address" | "model";

const LAYER_FOLDERS = [
  "/usr/share/vulkan/implicit_layer.d",
  "/etc/vulkan/implicit_layer.d",
  "/usr/local/share/vulkan/implicit_layer.d",
];

/** What this machine's layer and loader can. */
export async function selecting(): Promise<Selecting> {
  if (Deno.env.get("NODEVICE_SELECT")) return "model";
  const manifests = await manifestsIn(LAYER_FOLDERS);
  const library = manifests.some((path) => path.includes("device_select")) &&
    await findLibrary("libVkLayer_MESA_device_select.so");
  return library && await comparesAddresses(library) ? "address" : "model";
}

/**
 * Mesa up to 22.3 takes a GPU that has *not* the address of DRI_PRIME (its comparison is the wrong way round); the repaired one compares
 * a part of the text, by a function that the earlier ones do not use.
 */
async function comparesAddresses(library: string): Promise<boolean> {
  try {
    return new TextDecoder("latin1").decode(await Deno.readFile(library)).includes("strncmp");
  } catch {
    return false;
  }
}

export const VARIABLES = [
  "VK_LOADER_DEVICE_SELECT",
  "MESA_VK_DEVICE_SELECT",
  "MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE",
  "DRI_PRIME",
] as const;

/** The variables that make Vulkan show this GPU first, or alone. */
export function variablesFor({ address, vendor, device }: PciGpu, how: Selecting): Record<string, string> {
  const hex = (value: number) => value.toString(16).padStart(4, "0");
  const model = device === undefined ? "" : `${hex(vendor)}:${hex(device)}`;
  return {
    // Without the layer; it only goes before the others then. Empty: none in particular.
    VK_LOADER_DEVICE_SELECT: device === undefined ? "" : `0x${hex(vendor)}:0x${hex(device)}`,
    // Would count before the address.
    MESA_VK_DEVICE_SELECT: how === "model" ? model : "",
    MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: "1",
    ...(how === "address" && { DRI_PRIME: `pci-${address.replaceAll(/[:.]/g, "_")}` }),
  };
}
