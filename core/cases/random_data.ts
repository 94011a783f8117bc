/** Random data and weights for cases: the same numbers on every machine. */
import type { WeightSource } from "../engine/engine.ts";

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
