/**
 * Where WebGPU comes from: Deno has it; another implementation can be put in its place, to measure how it compares (`deno task bench gpu
 * --webgpu dawn`). Its objects are of other classes, with the same names; constants (GPUBufferUsage, ...) are the same numbers everywhere.
 */

/** What an implementation begins with. */
export type WebGpu = Pick<GPU, "requestAdapter">;

/** Deno's own; undefined where it has none. */
export const ownWebGpu = (): WebGpu | undefined => navigator.gpu;

/** What went wrong, of whichever implementation the error is. */
export function errorKind(error: GPUError): "out-of-memory" | "internal" | "other" {
  const { name } = error.constructor;
  return name === "GPUOutOfMemoryError" ? "out-of-memory" : name === "GPUInternalError" ? "internal" : "other";
}
