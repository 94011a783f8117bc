/**
 * The variables that choose a GPU for CUDA and ROCm programs, by hand or by SLURM. Deno's WebGPU takes the first GPU that the driver
 * shows and obeys none of them; so they are honoured where it can be told which GPU they mean, and refused with the ways that work where
 * not.
 */
import { UsageError, type UserErrorParts } from "../../core/base/errors.ts";
import type { ListedGpu } from "./list_gpus.ts";

export type GpuVariableVerdict =
  /** Nothing is asked for, or the first GPU is what is asked for. */
  | { readonly kind: "first"; readonly note: string }
  /** No GPU may be used. */
  | { readonly kind: "none"; readonly note: string }
  | { readonly kind: "refused"; readonly error: UserErrorParts };

/** In the order in which the drivers look. SLURM sets these for its jobs, and says in its own what it gave. */
const CHOOSERS = ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"] as const;
const SLURM_GIVEN = ["SLURM_STEP_GPUS", "SLURM_JOB_GPUS"] as const;

/** Values that forbid every GPU. */
const NONE = /^(-\d+|none|void|nodevfiles)?$/i;

/** The variable that counts, if one is set. */
function chooserOf(get: (name: string) => string | undefined) {
  const name = CHOOSERS.find((one) => get(one) !== undefined) ?? SLURM_GIVEN.find((one) => get(one) !== undefined);
  if (name === undefined) return undefined;
  const value = get(name) ?? "";
  return { name, setting: `${name}=${value}`, words: value.split(",").map((one) => one.trim()) };
}

/**
 * The GPUs that the variables leave to a program that takes several, in their order. CUDA and the list number cards alike where all
 * are of one model: in the order of the bus.
 * @param files device files of GPUs that this process may open, or null where it may not look
 * @throws UsageError where it cannot be told which they mean
 */
export function visibleGpus<Gpu extends Pick<ListedGpu, "name" | "software" | "uuid">>(
  gpus: readonly Gpu[],
  get: (name: string) => string | undefined,
  files: readonly string[] | null,
): readonly Gpu[] {
  const chosen = chooserOf(get);
  const real = gpus.filter(({ software }) => !software);
  if (!chosen) return gpus;
  const { name, setting, words } = chosen;
  if (NONE.test(words[0])) throw new UsageError(`${setting} allows no GPU`);
  // A container or SLURM's cgroup shows these only, whatever their numbers.
  if (gpus.length === 0 || files?.length === words.length) return gpus;
  const alike = real.length > 0 && real.every((gpu) => gpu.name === real[0].name);
  return words.map((word) => {
    const isNumber = /^\d+$/.test(word);
    // A software adapter is as many GPUs as are named.
    if (isNumber && real.length === 0) return gpus[0];
    const gpu = isNumber
      ? (alike ? real[Number(word)] : undefined)
      : real.find(({ uuid }) => uuid?.toLowerCase().startsWith(word.toLowerCase()));
    if (gpu) return gpu;
    const why = real.length === 0
      ? `there is no ${word}, but a software adapter alone`
      : isNumber && !alike
      ? "the GPUs of this machine are of several models, whose order there is CUDA's own"
      : `there is no ${word} among ${real.length}`;
    throw new UsageError(
      `${setting} chooses the GPUs, and ${why}; unset ${name} to take the first ones that ` +
        "`nnunet doctor` lists, or show the program those only (docker run --gpus, SLURM with ConstrainDevices=yes)",
    );
  });
}

/**
 * What the variables mean for this process.
 * @param gpus device files of GPUs that this process may open, or null where it may not look
 */
export function judgeGpuVariables(
  get: (name: string) => string | undefined,
  gpus: readonly string[] | null,
): GpuVariableVerdict {
  const chosen = chooserOf(get);
  if (!chosen) return { kind: "first", note: "" };
  const { name, setting, words: [wanted] } = chosen;
  if (NONE.test(wanted)) return { kind: "none", note: `${setting} allows no GPU` };
  // A container or SLURM's cgroup shows this one only: whatever its number, it is the one.
  if (gpus?.length === 1) return { kind: "first", note: "" };
  if (/^0+$/.test(wanted)) return { kind: "first", note: `${setting}: the first GPU the driver shows` };
  const seen = gpus === null ? "this process may see several" : `this process sees ${gpus.length} (${gpus.join(", ")})`;
  return {
    kind: "refused",
    error: {
      doing: `choosing the GPU for ${setting}`,
      problem: `WebGPU takes the first GPU that the driver shows, and ${seen}`,
      remedy:
        `choose it with --gpus, by its index in \`nnunet doctor\` or its PCI address; or show only that one: a container (docker run --gpus device=${wanted}, NVIDIA_VISIBLE_DEVICES=${wanted}), or ` +
        `SLURM with ConstrainDevices=yes; ` +
        (gpus === null ? "if that is so already, run with --allow-all, so that the program can see it; " : "") +
        `or unset ${name} and take the first`,
    },
  };
}
