/** Small networks and random data for tests: the same numbers on every machine. */
import type { WeightSource } from "../../core/engine/engine.ts";
import type { NetworkArchitecture } from "../../core/network/architecture.ts";
import type { Vec3 } from "../../core/base/shape.ts";

/** Numbers in [-1, 1), a hash of seed and index (SplitMix32), so that they depend on nothing else. */
export function randomValues(count: number, seed: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let h = (Math.imul(seed + 1, 0x9e3779b9) + Math.imul(i + 1, 0x85ebca6b)) | 0;
    h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
    values[i] = ((h ^ (h >>> 15)) >>> 0) / 2 ** 31 - 1;
  }
  return values;
}

/** Weights that keep values near 1: kernels scaled by their fan-in, norm weights near 1, variances positive. */
export function randomWeights(seed = 1): WeightSource {
  return {
    get(name, shape) {
      const count = shape.reduce((a, b) => a * b, 1);
      const key = [...name].reduce((hash, char) => (Math.imul(hash, 31) + char.charCodeAt(0)) | 0, seed);
      const values = randomValues(count, key);
      if (shape.length > 1) {
        const fanIn = count / (name.includes("transpconvs") ? shape[1] : shape[0]);
        return values.map((v) => v * Math.sqrt(6 / fanIn));
      }
      if (/norm\.weight$|running_var$/.test(name)) return values.map((v) => 1 + v / 2);
      return values.map((v) => v / 2);
    },
  };
}

/** A U-Net of `features.length` stages; kernels and strides may be given per stage. */
export function architecture(
  options: Partial<NetworkArchitecture> & { readonly featuresPerStage: readonly number[] },
): NetworkArchitecture {
  const stages = options.featuresPerStage.length;
  const flat = options.dimensions === 2;
  const cube = (n: number): Vec3 => (flat ? [1, n, n] : [n, n, n]);
  return {
    family: "PlainConvUNet",
    dimensions: 3,
    kernelSizes: Array.from({ length: stages }, () => cube(3)),
    strides: Array.from({ length: stages }, (_, stage) => cube(stage === 0 ? 1 : 2)),
    blocksPerStage: new Array(stages).fill(2),
    convsPerStageDecoder: new Array(stages - 1).fill(2),
    convBias: true,
    norm: { kind: "instance", eps: 1e-5, affine: true },
    negativeSlope: 0.01,
    nonlinFirst: false,
    ...options,
  };
}
