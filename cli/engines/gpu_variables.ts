/**
 * The variables that choose a GPU for CUDA and ROCm programs, by hand or by SLURM. Deno's WebGPU takes the first GPU that the driver
 * shows and obeys none of them; so they are honoured where that comes to the same, and refused with the way that works where not.
 */
import type { UserErrorParts } from "../../core/base/errors.ts";

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

/**
 * What the variables mean for this process.
 * @param gpus device files of GPUs that this process may open, or null where it may not look
 */
export function judgeGpuVariables(
  get: (name: string) => string | undefined,
  gpus: readonly string[] | null,
): GpuVariableVerdict {
  const name = CHOOSERS.find((one) => get(one) !== undefined) ?? SLURM_GIVEN.find((one) => get(one) !== undefined);
  if (name === undefined) return { kind: "first", note: "" };
  const setting = `${name}=${get(name)}`;
  const [wanted] = (get(name) ?? "").split(",").map((one) => one.trim());
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
        `show it only that one: a container (docker run --gpus device=${wanted}, NVIDIA_VISIBLE_DEVICES=${wanted}), or ` +
        `SLURM with ConstrainDevices=yes; ` +
        (gpus === null ? "if that is so already, run with --allow-all, so that the program can see it; " : "") +
        `or unset ${name} and take the first`,
    },
  };
}
