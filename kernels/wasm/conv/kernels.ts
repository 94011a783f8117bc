/** The convolutions' kernels, for the module's list. */
import type { Kernel } from "../emit/module_builder.ts";
import { directKernel } from "./direct_kernels.ts";
import { packDirectKernel } from "./pack_direct_kernel.ts";
import { packKernel } from "./pack_kernel.ts";
import { WEIGHT_GRADIENT_KERNELS } from "./gradient_kernels.ts";
import { winogradFused, winogradInput, winogradOutput, winogradProduct } from "./winograd_kernels.ts";

export const CONV_KERNELS: readonly Kernel[] = [
  winogradFused,
  winogradInput,
  winogradProduct,
  winogradOutput,
  directKernel,
  packKernel,
  packDirectKernel,
  ...WEIGHT_GRADIENT_KERNELS,
];
