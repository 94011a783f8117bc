/** The GPUs that a command line asks for. */
import { UsageError } from "../../core/base/errors.ts";
import { type AdapterChoice, showFirst } from "../../gpu/adapter.ts";
import { chooseGpus, OTHERS } from "./choose_gpus.ts";
import { askForAdapter, openableGpus } from "./gpu_probe.ts";
import { judgeGpuVariables, visibleGpus } from "./gpu_variables.ts";
import { listGpus } from "./list_gpus.ts";
import type { Device } from "./select_engine.ts";
import { verifyAddress } from "./verify_address.ts";

export interface GpuFlags {
  readonly device: Device;
  readonly allowCpu: boolean;
  readonly gpuChoice?: string;
  readonly allowSoftwareGpu: boolean;
}

/** Who is told of what is not certain. */
export interface GpuHooks {
  warn(line: string): void;
  readonly event?: (name: string, fields: Readonly<Record<string, unknown>>) => void;
}

/**
 * What `--gpus` names, else the first one that CUDA_VISIBLE_DEVICES and its like name; undefined where that is the one that is taken
 * unasked. From then on it is what the driver shows first, in this thread too.
 * @throws UserError for what `--gpus` names and is not there; UsageError where variables name a GPU that is not, unless the CPU may do it
 */
export async function wantedGpus(flags: GpuFlags, hooks: GpuHooks): Promise<readonly AdapterChoice[] | undefined> {
  const { device, gpuChoice: text, allowSoftwareGpu } = flags;
  if (device === "cpu") return undefined;
  const gpus = text === undefined ? await visibleGpu(flags) : await namedGpus(text, allowSoftwareGpu, hooks);
  return gpus && await verifiedGpus(gpus, hooks);
}

/** The same, with the models that open, and a warning for each that is not known to be the one that was meant. The first is shown first. */
export async function verifiedGpus(
  choices: readonly AdapterChoice[],
  { warn, event }: GpuHooks,
): Promise<readonly AdapterChoice[]> {
  const gpus: AdapterChoice[] = [];
  for (const one of choices) {
    const { choice, doubt } = await verifyAddress(one, askForAdapter);
    gpus.push(choice);
    if (doubt === undefined) continue;
    warn(`${choice.label} could not be verified: ${doubt}`);
    event?.("gpu_unverified", { gpu: choice.name, why: doubt });
  }
  // Threads only change their values later: new variables would move the others from under whoever reads them.
  showFirst(gpus[0]);
  return gpus;
}

async function namedGpus(
  text: string,
  allowSoftware: boolean,
  { warn }: GpuHooks,
): Promise<readonly AdapterChoice[]> {
  const list = await listGpus();
  const gpus = chooseGpus(text, list, allowSoftware);
  if (!list.isWhole && /\ball\b/i.test(text)) warn(`--gpus ${text}: ${OTHERS}`);
  return gpus;
}

/** Where it cannot be told which one the variables mean, that is refused when the engine is chosen. */
async function visibleGpu({ device, allowCpu }: GpuFlags): Promise<readonly AdapterChoice[] | undefined> {
  const get = (name: string) => Deno.env.get(name);
  const files = await openableGpus();
  if (judgeGpuVariables(get, files).kind !== "refused") return undefined;
  const list = await listGpus();
  try {
    const [gpu] = visibleGpus(list.gpus, get, files);
    return gpu && [gpu.choice];
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (list.gpus.length > 0 && list.isWhole && device !== "auto" && !allowCpu) throw error;
    return undefined;
  }
}
