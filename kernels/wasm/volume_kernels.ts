/** Every elementwise and volume kernel, for the module. */
import type { Kernel } from "./emit/module_builder.ts";
import { NORM_KERNELS } from "./elementwise_norm.ts";
import { RESIDUAL_KERNELS } from "./elementwise_residual.ts";
import { ACCUMULATE_KERNELS } from "./volume_accumulate.ts";
import { CLEAR_KERNELS } from "./volume_clear.ts";
import { GATHER_KERNELS } from "./volume_gather.ts";
import { LABEL_KERNELS } from "./volume_label_kernel.ts";
import { PROBABILITY_KERNELS } from "./volume_probability_kernel.ts";

export const ELEMENTWISE_AND_VOLUME_KERNELS: readonly Kernel[] = [
  ...NORM_KERNELS,
  ...RESIDUAL_KERNELS,
  ...GATHER_KERNELS,
  ...ACCUMULATE_KERNELS,
  ...CLEAR_KERNELS,
  ...LABEL_KERNELS,
  ...PROBABILITY_KERNELS,
];
