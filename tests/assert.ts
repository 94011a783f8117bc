/**
 * Assertions for tests. Stands in for `@std/assert`, which cannot be fetched where this is built: node:assert behind its names,
 * and {@link assertClose} for arrays of floats with named tolerances.
 */
import nodeAssert from "node:assert/strict";

export function assert(condition: unknown, message?: string): asserts condition {
  nodeAssert.ok(condition, message);
}

export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  nodeAssert.deepStrictEqual(actual, expected, message);
}

/** Asserts that `call` throws an error of `type` whose message contains every one of `parts`. */
export async function assertFails(
  call: () => unknown,
  type: abstract new (...args: never[]) => Error,
  ...parts: string[]
): Promise<void> {
  let thrown: unknown;
  try {
    await call();
  } catch (error) {
    thrown = error;
  }
  if (!(thrown instanceof type)) nodeAssert.fail(`expected a ${type.name}, got ${thrown ?? "no error"}`);
  for (const part of parts) {
    nodeAssert.ok(thrown.message.includes(part), `the message lacks ${JSON.stringify(part)}: ${thrown.message}`);
  }
}

/** Largest allowed error as a share of the expected values' standard deviation. */
export const TOLERANCE = { exact: 0, f32: 1e-5, f32LongSum: 1e-4, f16: 1e-2 } as const;

/** Asserts |actual - expected| <= tolerance * (standard deviation of expected); says where it is worst. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what = "array",
): void {
  nodeAssert.equal(actual.length, expected.length, `${what}: length`);
  const scale = standardDeviation(expected) || 1;
  let worst = 0;
  let at = -1;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]);
    if (!(error <= worst)) [worst, at] = [error, i];
    if (Number.isNaN(error)) break;
  }
  if (!(worst <= tolerance * scale)) {
    nodeAssert.fail(
      `${what}: index ${at} is ${actual[at]}, expected ${expected[at]}; error ${(worst / scale).toExponential(2)} ` +
        `of the standard deviation, ${(worst / scale / tolerance).toFixed(1)} times the tolerance ${tolerance}`,
    );
  }
}

function standardDeviation(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  const mean = sum / values.length;
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i] - mean) ** 2;
  return Math.sqrt(squares / values.length);
}
