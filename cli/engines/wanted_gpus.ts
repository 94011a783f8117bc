/** The GPUs that a command line asks for. */
import type { AdapterChoice } from "../../gpu/adapter.ts";
import { chooseGpus, OTHERS } from "./choose_gpus.ts";
import { listGpus } from "./list_gpus.ts";

export interface GpuFlags {
  readonly gpuChoice?: string;
  readonly allowSoftwareGpu: boolean;
}

/**
 * What `--gpus` names; undefined without it. From then on it is what the driver shows first, in this thread too.
 * @throws UserError for what is not there
 */
export async function wantedGpus(
  { gpuChoice: text, allowSoftwareGpu }: GpuFlags,
  warn: (line: string) => void,
): Promise<readonly AdapterChoice[] | undefined> {
  if (text === undefined) return undefined;
  const list = await listGpus();
  const gpus = chooseGpus(text, list, allowSoftwareGpu);
  if (!list.isWhole && /\ball\b/i.test(text)) warn(`--gpus ${text}: ${OTHERS}`);
  // Threads only change their values later: new variables would move the others from under whoever reads them.
  for (const [name, value] of Object.entries(gpus[0].environment)) Deno.env.set(name, value);
  return gpus;
}
