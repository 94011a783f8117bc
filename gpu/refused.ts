/**
 * Kernels that a driver would not compile. With WebGPU that ends the device, so what was refused is kept beyond it: the next engine on
 * this GPU computes those layers another way.
 */
import { createHash } from "node:crypto";
import { UserError } from "../core/base/errors.ts";
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";

export interface RefusedKernel {
  /** {@link kernelKey}. */
  readonly key: string;
  readonly name: string;
  /** What the driver said. */
  readonly why: string;
}

/** Tells kernels apart by their text; the same on every machine. */
export function kernelKey({ code }: Pick<WgslDispatch, "code">): string {
  return createHash("sha256").update(code).digest("hex").slice(0, 32);
}

/** What planners ask. Kernels are few and asked about often, so each text is hashed once. */
export function refusalOf(keys: ReadonlySet<string>): ((kernel: WgslDispatch) => boolean) | undefined {
  if (keys.size === 0) return undefined;
  const known = new Map<string, boolean>();
  return (kernel) => {
    let refused = known.get(kernel.code);
    if (refused === undefined) known.set(kernel.code, refused = keys.has(kernelKey(kernel)));
    return refused;
  };
}

export function refusedError(
  { name, why }: RefusedKernel,
  adapter: string,
  cause: unknown,
): UserError {
  return new UserError({
    doing: `compiling the GPU kernel "${name}" for ${adapter}`,
    problem: `its driver does not take it (${why})`,
    remedy: "update the graphics driver, or compute with -device cpu",
  }, { cause });
}
