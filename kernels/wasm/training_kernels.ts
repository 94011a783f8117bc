/** Every kernel that only training needs, for the module. */
import type { Kernel } from "./emit/module_builder.ts";
import { ADAM_KERNELS } from "./training_adam.ts";
import { BATCH_NORM_KERNELS } from "./training_batch_norm.ts";
import { TRAINING_LOSS_KERNELS } from "./training_loss_kernels.ts";
import { TRAINING_NORM_KERNELS } from "./training_norm.ts";
import { TRAINING_OPTIMIZER_KERNELS } from "./training_optimizer.ts";
import { TOP_K_KERNELS } from "./training_top_k.ts";
import { TRAINING_PASS_KERNELS } from "./training_passes.ts";

export const TRAINING_KERNELS: readonly Kernel[] = [
  ...TRAINING_NORM_KERNELS,
  ...BATCH_NORM_KERNELS,
  ...TRAINING_PASS_KERNELS,
  ...TRAINING_LOSS_KERNELS,
  ...TOP_K_KERNELS,
  ...TRAINING_OPTIMIZER_KERNELS,
  ...ADAM_KERNELS,
];
