/** The one WebAssembly module of the CPU engine, assembled from every kernel. */
import { createModuleBuilder, type Kernel } from "./emit/module_builder.ts";
import { CONV_KERNELS } from "./conv/kernels.ts";
import { TRAINING_KERNELS } from "./training/kernels.ts";
import { ELEMENTWISE_AND_VOLUME_KERNELS } from "./volume/kernels.ts";

export { encodeParams } from "./params.ts";

/** Every kernel of the engine. A new kernel file adds its list here. */
const KERNELS: readonly Kernel[] = [...CONV_KERNELS, ...ELEMENTWISE_AND_VOLUME_KERNELS, ...TRAINING_KERNELS];

/**
 * The module's bytes. It imports `env.memory`, a shared 64-bit memory
 * (`new WebAssembly.Memory({ address: "i64", shared: true, initial, maximum })`), and exports every kernel as
 * `(params: bigint, item: number, scratch: bigint) => void`.
 */
export function emitModule(kernels: readonly Kernel[] = KERNELS): Uint8Array<ArrayBuffer> {
  const m = createModuleBuilder();
  for (const kernel of kernels) kernel.emit(m);
  return m.bytes();
}
