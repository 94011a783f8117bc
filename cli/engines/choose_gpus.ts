/** Which GPUs the user means: by index, address or name. */
import { UserError } from "../../core/base/errors.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import { variablesFor } from "./device_select.ts";
import type { GpuList, ListedGpu } from "./list_gpus.ts";
import { ADDRESS, fullAddress } from "./pci_gpus.ts";

/**
 * The GPUs of a list like "0,1", "all", "0000:81:00.0", "RTX 4090" (all of that name), in its order; one that is named twice is there twice.
 * @param allowSoftware "all" means software adapters too
 * @throws UserError for what is not there
 */
export function chooseGpus(text: string, list: GpuList, allowSoftware = false): AdapterChoice[] {
  const words = text.split(",").map((word) => word.trim());
  const chosen = words.flatMap((word) => matches(word, list, allowSoftware));
  if (chosen.length === 0) throw missing(text, "there is no GPU", list);
  return chosen;
}

function matches(word: string, list: GpuList, allowSoftware: boolean): AdapterChoice[] {
  const { gpus } = list;
  if (word.toLowerCase() === "all") {
    refuseAlike(word, list);
    return gpus.filter(({ software }) => !software || allowSoftware).map(({ choice }) => choice);
  }
  if (/^\d{1,2}$/.test(word)) {
    const gpu = gpus[Number(word)];
    if (!gpu) throw missing(word, `there is no GPU ${Number(word)}`, list);
    return [gpu.choice];
  }
  if (ADDRESS.test(word)) return [byAddress(word, list)];
  const named = word === "" ? [] : gpus.filter(({ name }) => name.toLowerCase().includes(word.toLowerCase()));
  if (named.length === 0) throw missing(word, "no GPU has this index, address or name", list);
  if (named.length > 1) refuseAlike(word, list);
  return named.map(({ choice }) => choice);
}

function byAddress(word: string, list: GpuList): AdapterChoice {
  const address = fullAddress(word);
  const gpu = list.gpus.find((one) => one.address === address);
  if (gpu) return gpu.choice;
  if (list.alike.some((one) => one.address === address)) throw alike(word, list);
  if (list.isWhole) throw missing(word, "no GPU has this address", list);
  // What may not be looked at may be there all the same.
  if (list.selecting !== "address") throw unchosen(word, "GPUs cannot be told apart by their addresses here");
  const { turn } = list;
  const environment = variablesFor({ address, vendor: 0 }, "address");
  return { name: address, label: `GPU ${address}`, environment, turn, isUnchecked: true };
}

/** @throws UserError where GPUs of one model are meant that cannot be told apart */
function refuseAlike(word: string, list: GpuList): void {
  if (list.alike.length > 0) throw alike(word, list);
}

function alike(word: string, { alike: [{ address }] }: GpuList): UserError {
  return unchosen(word, `the GPU at ${address} cannot be told from another one of the same model`);
}

function unchosen(word: string, problem: string): UserError {
  return new UserError({ doing: `choosing the GPUs of --gpus ${word}`, problem, remedy: ALIKE_REMEDY });
}

/** What to do where GPUs of one model cannot be told apart. */
export const ALIKE_REMEDY =
  "install Mesa's device-select layer, of a Mesa after 22.3 (apt-get install mesa-vulkan-drivers; it serves GPUs of all " +
  "makers); or show each process one GPU: a container (docker run --gpus device=N, NVIDIA_VISIBLE_DEVICES=N), or SLURM with " +
  "ConstrainDevices=yes; predict --share lets such processes share the cases";

/** What there is to say of a list that may lack GPUs. */
export const OTHERS =
  "there may be others, which the program finds only where it may look at the bus (deno run --allow-all): until then they are " +
  "named by their addresses (lspci -D), as --gpus 0000:81:00.0";

function missing(word: string, problem: string, { gpus, isWhole }: GpuList): UserError {
  const there = gpus.map(describe).join("; ") || "none";
  const more = isWhole ? "" : `; ${OTHERS}`;
  return new UserError({
    doing: `choosing the GPUs of --gpus ${word}`,
    problem,
    remedy: `choose of these: ${there}${more}`,
  });
}

/** A line for each GPU, and what else there is to say of them. */
export function gpuLines({ gpus, alike, isWhole }: GpuList): string[] {
  const hex = (value: number) => value.toString(16).padStart(4, "0");
  const lines = gpus.map(({ index, name, vendor, device, backend, software, address, driver }) => {
    const ids = Number.isNaN(vendor) || Number.isNaN(device) ? [] : [`${hex(vendor)}:${hex(device)}`];
    const facts = [...ids, backend, ...(driver ? [driver] : []), ...(address ? [`at ${address}`] : [])];
    return `${index}: ${name}, ${[...facts, ...(software ? ["a software adapter"] : [])].join(", ")}`;
  });
  if (alike.length > 0) {
    const where = alike.map(({ address }) => address).join(", ");
    lines.push(`Of a model listed above, and not to be told from it: ${where}. To use them: ${ALIKE_REMEDY}.`);
  }
  if (haveTwins(gpus)) {
    lines.push(
      "Of GPUs of one model it is the word of Mesa's layer which one is at which address: WebGPU tells models alone.",
    );
  }
  if (!isWhole) {
    lines.push(
      `${OTHERS[0].toUpperCase()}${
        OTHERS.slice(1)
      }. That the driver opens the GPU at an address is verified only if it is of ` +
        "another model than the one that the driver shows unasked.",
    );
  }
  return lines;
}

/** True where an index is one of several cards of a model. */
function haveTwins(gpus: readonly ListedGpu[]): boolean {
  const models = gpus.filter(({ address }) => address !== undefined).map(({ vendor, device }) => `${vendor}:${device}`);
  return new Set(models).size < models.length;
}

/** "0: NVIDIA T4 at 0000:81:00.0" */
function describe({ index, name, address }: ListedGpu): string {
  return `${index}: ${name}${address === undefined ? "" : ` at ${address}`}`;
}
