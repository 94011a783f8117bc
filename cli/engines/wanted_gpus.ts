/** The GPUs that a command line asks for. */
import { UsageError } from "../../core/base/errors.ts";
import { type AdapterChoice, showFirst } from "../../gpu/adapter.ts";
import { chooseGpus, OTHERS } from "./choose_gpus.ts";
import { openableGpus } from "./gpu_probe.ts";
import { judgeGpuVariables, visibleGpus } from "./gpu_variables.ts";
import { listGpus } from "./list_gpus.ts";
import type { Device } from "./select_engine.ts";

export interface GpuFlags {
  readonly device: Device;
  readonly gpuChoice?: string;
  readonly allowSoftwareGpu: boolean;
}

/**
 * What `--gpus` names, else the first one that CUDA_VISIBLE_DEVICES and its like name; undefined where that is the one that is taken
 * unasked. From then on it is what the driver shows first, in this thread too.
 * @throws UserError for what `--gpus` names and is not there
 */
export async function wantedGpus(
  { device, gpuChoice: text, allowSoftwareGpu }: GpuFlags,
  warn: (line: string) => void,
): Promise<readonly AdapterChoice[] | undefined> {
  if (device === "cpu") return undefined;
  const gpus = text === undefined ? await visibleGpu() : await namedGpus(text, allowSoftwareGpu, warn);
  if (!gpus) return undefined;
  // Threads only change their values later: new variables would move the others from under whoever reads them.
  showFirst(gpus[0]);
  return gpus;
}

async function namedGpus(
  text: string,
  allowSoftware: boolean,
  warn: (line: string) => void,
): Promise<readonly AdapterChoice[]> {
  const list = await listGpus();
  const gpus = chooseGpus(text, list, allowSoftware);
  if (!list.isWhole && /\ball\b/i.test(text)) warn(`--gpus ${text}: ${OTHERS}`);
  return gpus;
}

/** Where it cannot be told which one the variables mean, that is refused when the engine is chosen. */
async function visibleGpu(): Promise<readonly AdapterChoice[] | undefined> {
  const get = (name: string) => Deno.env.get(name);
  const files = await openableGpus();
  if (judgeGpuVariables(get, files).kind !== "refused") return undefined;
  try {
    const [gpu] = visibleGpus((await listGpus()).gpus, get, files);
    return gpu && [gpu.choice];
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}
