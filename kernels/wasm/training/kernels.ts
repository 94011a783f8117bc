/** Every kernel that only training needs, for the module. */
import type { Kernel } from "../emit/module_builder.ts";
import { ADAM_KERNELS } from "./adam.ts";
import { BATCH_NORM_KERNELS } from "./batch_norm.ts";
import { TRAINING_LOSS_KERNELS } from "./loss_kernels.ts";
import { TRAINING_NORM_KERNELS } from "./norm.ts";
import { TRAINING_OPTIMIZER_KERNELS } from "./optimizer.ts";
import { TOP_K_KERNELS } from "./top_k.ts";
import { TRAINING_PASS_KERNELS } from "./passes.ts";

export const TRAINING_KERNELS: readonly Kernel[] = [
  ...TRAINING_NORM_KERNELS,
  ...BATCH_NORM_KERNELS,
  ...TRAINING_PASS_KERNELS,
  ...TRAINING_LOSS_KERNELS,
  ...TOP_K_KERNELS,
  ...TRAINING_OPTIMIZER_KERNELS,
  ...ADAM_KERNELS,
];
