/**
 * x^p for many x of 0..1 and one p, by a table of the mantissa's powers: several times faster than Math.pow, with a relative error
 * below 1e-7 up to p = 2, 4e-7 up to p = 4.
 */

/** Raises numbers to one power. */
export interface Power {
  /** x^p; 0 for x <= 0, and values above 1 count as 1. */
  raise(x: number): number;
}

/** Steps of the table per octave: a linear step's error is p (p - 1) / 8 / STEPS^2. */
const STEP_BITS = 11;
const STEPS = 1 << STEP_BITS;
const REST = 1 << (23 - STEP_BITS);

/** @param p 0 < p <= 4 */
export function createPower(p: number): Power {
  const values = new Float64Array(STEPS);
  const slopes = new Float64Array(STEPS);
  let value = 1;
  for (let k = 0; k < STEPS; k++) {
    const next = (1 + (k + 1) / STEPS) ** p;
    values[k] = value;
    slopes[k] = (next - value) / REST;
    value = next;
  }
  /** (2^(exponent - 127))^p by float32's biased exponent; 0 of 0. */
  const octaves = Float64Array.from({ length: 128 }, (_, exponent) => exponent === 0 ? 0 : 2 ** ((exponent - 127) * p));
  const single = new Float32Array(1);
  const bits = new Int32Array(single.buffer);
  return {
    raise(x) {
      if (!(x > 0)) return 0;
      if (x >= 1) return 1;
      single[0] = x;
      const word = bits[0];
      const k = (word >> (23 - STEP_BITS)) & (STEPS - 1);
      return octaves[word >> 23] * (values[k] + slopes[k] * (word & (REST - 1)));
    },
  };
}
