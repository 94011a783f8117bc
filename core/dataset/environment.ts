/**
 * The environment variables of nnU-Net: the three root folders, and those that mean something else here or nothing at all. (Those
 * that are defaults of flags are read with the flags.)
 * Source: nnunetv2/paths.py, nnunetv2/configuration.py, and the modules that read a variable of their own.
 */

/** The three root folders; a variable that is unset or empty is absent. */
export interface RootFolders {
  readonly raw?: string;
  readonly preprocessed?: string;
  readonly results?: string;
}

/** A variable that is set, and why it changes nothing here. */
export interface UnusedVariable {
  readonly name: string;
  readonly value: string;
  readonly why: string;
}

export interface Environment {
  readonly folders: RootFolders;
  readonly unused: readonly UnusedVariable[];
}

/** Variables Python's nnU-Net or its libraries obey and this program does not, with what to use instead. */
const UNUSED: readonly (readonly [name: string, why: string])[] = [
  ["nnUNet_compile", "networks are always compiled to a fixed program; there is no torch.compile"],
  ["nnUNet_keep_files_open", "no memory maps are kept"],
  ["nnUNet_extTrainer", "trainers are options here, not Python classes"],
  ["nnUNet_wandb_enabled", "nothing is sent to Weights & Biases"],
  ["nnUNet_wandb_project", "nothing is sent to Weights & Biases"],
  ["nnUNet_wandb_mode", "nothing is sent to Weights & Biases"],
  ["MASTER_ADDR", "there is no distributed training"],
  ["MASTER_PORT", "there is no distributed training"],
  ["OMP_NUM_THREADS", "threads are set by --threads"],
  ["MKL_NUM_THREADS", "threads are set by --threads"],
  ["OPENBLAS_NUM_THREADS", "threads are set by --threads"],
  ["ITK_NIFTI_SFORM_PERMISSIVE", "a sform that is not orthonormal is never repaired"],
];

/** Reads the environment through `get`, which gives a variable's value or undefined. */
export function readEnvironment(get: (name: string) => string | undefined): Environment {
  const text = (name: string) => get(name) || undefined;
  return {
    folders: { raw: text("nnUNet_raw"), preprocessed: text("nnUNet_preprocessed"), results: text("nnUNet_results") },
    unused: UNUSED.flatMap(([name, why]) => {
      const value = get(name);
      return value === undefined ? [] : [{ name, value, why }];
    }),
  };
}
