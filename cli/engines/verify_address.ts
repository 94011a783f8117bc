/**
 * Whether a GPU that was named by its PCI address is the one that is opened. WebGPU tells models, not addresses: where the program may
 * look at the bus, the model that is there at the address is required of what is opened (list_gpus.ts). Where it may not, the driver is
 * asked once more, for an address that no card has: if it shows another model than for the one asked for, it has obeyed the latter.
 */
import { UserError } from "../../core/base/errors.ts";
import { type AdapterChoice, factsOf, idsOf, knownIds } from "../../gpu/adapter.ts";
import { variablesFor } from "./device_select.ts";

/** The last function of the last device of the last bus: a bridge's at most. */
const NOWHERE = "ffff:ff:1f.7";

export interface VerifiedChoice {
  /** With the model that it opened, which every thread has to find again. */
  readonly choice: AdapterChoice;
  /** Why it is not known to be the GPU at the address; undefined: it is, or no address is in question. */
  readonly doubt?: string;
}

/**
 * @param ask Opens an adapter, as askForAdapter does
 * @throws UserError if there is no GPU at the address
 */
export async function verifyAddress(
  choice: AdapterChoice,
  ask: (choice: AdapterChoice) => Promise<GPUAdapter | null>,
): Promise<VerifiedChoice> {
  if (!choice.isUnchecked) return { choice };
  const adapter = await ask(choice);
  if (!adapter) {
    throw new UserError({
      doing: `opening ${choice.label}`,
      problem: "the driver shows no GPU there",
      remedy: "see `nnunet doctor` for the GPUs that can be chosen, and lspci -D for their addresses",
    });
  }
  const environment = variablesFor({ address: NOWHERE, vendor: 0 }, "address");
  const other = await ask({ ...choice, environment });
  const name = nameOf(adapter);
  const label = choice.label.includes(name) ? choice.label : `${choice.label} (${name})`;
  const known: AdapterChoice = { ...choice, ...knownIds(idsOf(adapter)), label };
  if (other && modelOf(other) !== modelOf(adapter)) return { choice: known };
  return {
    choice: known,
    doubt:
      `the driver shows ${name} for this address, and for one that no GPU has as well; the program may not look at the bus ` +
      "(deno run --allow-all lets it)",
  };
}

const nameOf = (adapter: GPUAdapter) => adapter.info.description || factsOf(adapter).name;

function modelOf(adapter: GPUAdapter): string {
  const { vendor, device } = idsOf(adapter);
  return `${vendor}:${device} ${nameOf(adapter)}`;
}
