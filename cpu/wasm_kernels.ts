/** Every kernel of the engine's module: each list stands where its operators are planned. */
import { CONV_KERNELS } from "../kernels/wasm/conv/kernels.ts";
import type { Kernel } from "../kernels/wasm/emit/module_builder.ts";
import { ELEMENTWISE_WASM, TRAINING_WASM } from "./kernel_set.ts";
import { OPTIMIZER_WASM } from "./training/optimizers.ts";
import { VOLUME_WASM } from "./volume_calls.ts";

export const WASM_KERNELS: readonly Kernel[] = [
  ...CONV_KERNELS,
  ...ELEMENTWISE_WASM,
  ...VOLUME_WASM,
  ...TRAINING_WASM,
  ...OPTIMIZER_WASM,
];
