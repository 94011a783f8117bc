/** The kernels of weight and bias gradients, for the module's list. */
import type { Kernel } from "../emit/module_builder.ts";
import { biasGradientFinish, biasGradientParts } from "./bias_gradient_kernel.ts";
import { weightGradientDirect } from "./weight_gradient_direct_kernel.ts";
import { weightGradientFinish } from "./weight_gradient_sums.ts";
import { weightGradientWinograd } from "./weight_gradient_winograd_kernel.ts";

export const WEIGHT_GRADIENT_KERNELS: readonly Kernel[] = [
  weightGradientWinograd,
  weightGradientDirect,
  weightGradientFinish,
  biasGradientParts,
  biasGradientFinish,
];
