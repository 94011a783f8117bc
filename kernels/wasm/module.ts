/** A WebAssembly module, assembled from kernels; that of the CPU engine has those of cpu/wasm_kernels.ts. */
import { createModuleBuilder, type Kernel } from "./emit/module_builder.ts";

export { encodeParams } from "./params.ts";

/**
 * The module's bytes. It imports `env.memory`, a shared 64-bit memory
 * (`new WebAssembly.Memory({ address: "i64", shared: true, initial, maximum })`), and exports every kernel as
 * `(params: bigint, item: number, scratch: bigint) => void`.
 */
export function emitModule(kernels: readonly Kernel[]): Uint8Array<ArrayBuffer> {
  const m = createModuleBuilder();
  for (const kernel of kernels) kernel.emit(m);
  return m.bytes();
}
