/** The kernels of weight and bias gradients, for the module's list. */
import type { Kernel } from "../emit/module_builder.ts";
import { biasGradientFinish, biasGradientParts } from "./bias_gradient_kernel.ts";
import { weightDirect } from "./weight_gradient_direct_kernel.ts";
import { weightSumsFinish } from "./weight_gradient_sums.ts";
import { weightWinograd } from "./weight_gradient_winograd_kernel.ts";

export const WEIGHT_GRADIENT_KERNELS: readonly Kernel[] = [
  weightWinograd,
  weightDirect,
  weightSumsFinish,
  biasGradientParts,
  biasGradientFinish,
];
