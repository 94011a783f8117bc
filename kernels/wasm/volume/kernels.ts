/** Every elementwise and volume kernel, for the module. */
import type { Kernel } from "../emit/module_builder.ts";
import { NORM_KERNELS } from "../elementwise/norm.ts";
import { RESIDUAL_KERNELS } from "../elementwise/residual.ts";
import { ACCUMULATE_KERNELS } from "./accumulate.ts";
import { CLEAR_KERNELS } from "./clear.ts";
import { GATHER_KERNELS } from "./gather.ts";
import { LABEL_KERNELS } from "./label_kernel.ts";
import { PROBABILITY_KERNELS } from "./probability_kernel.ts";

export const ELEMENTWISE_AND_VOLUME_KERNELS: readonly Kernel[] = [
  ...NORM_KERNELS,
  ...RESIDUAL_KERNELS,
  ...GATHER_KERNELS,
  ...ACCUMULATE_KERNELS,
  ...CLEAR_KERNELS,
  ...LABEL_KERNELS,
  ...PROBABILITY_KERNELS,
];
