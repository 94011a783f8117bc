/**
 * What a GPU does not do: kernels that its driver would not compile, that end the device or take forever, and ways to compute a layer that
 * give wrong results. It is kept beyond the device: the next engine on this GPU computes those layers another way.
 */
import { createHash } from "node:crypto";
import { UserError } from "../core/base/errors.ts";
import { withoutChunk } from "../kernels/wgsl/conv/candidates.ts";
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";

export interface RefusedKernel {
  /** {@link kernelKey}. */
  readonly key: string;
  readonly name: string;
  /** What the driver said, or what was seen. */
  readonly why: string;
}

/** Tells kernels apart by their text; the same on every machine. */
export function kernelKey({ code }: Pick<WgslDispatch, "code">): string {
  return createHash("sha256").update(code).digest("hex").slice(0, 32);
}

const WAY = "way ";

/** Tells ways to compute a layer apart, by an operator's algorithm. */
export function wayKey(algorithm: string): string {
  return WAY + withoutChunk(algorithm);
}

/** The algorithm of a key of {@link wayKey}; undefined for one of {@link kernelKey}. */
export function nameOfWay(key: string): string | undefined {
  return key.startsWith(WAY) ? key.slice(WAY.length) : undefined;
}

/** What planners ask about ways. */
export function avoidanceOf(keys: ReadonlySet<string>): ((algorithm: string) => boolean) | undefined {
  return [...keys].some((key) => nameOfWay(key) !== undefined) ? (algorithm) => keys.has(wayKey(algorithm)) : undefined;
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

export function notRunError({ name, why }: RefusedKernel, adapter: string): UserError {
  return new UserError({
    doing: `running the GPU kernel "${name}" on ${adapter}`,
    problem: why,
    remedy: "update the graphics driver, or compute with -device cpu",
  });
}
