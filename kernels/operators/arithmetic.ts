/** Small arithmetic of planners. */
import type { Vec3 } from "../../core/base/shape.ts";

export type Axis = 0 | 1 | 2;

/** One number for each axis. */
export const vec = (f: (axis: Axis) => number): Vec3 => [f(0), f(1), f(2)];
export const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
export const productOf = (values: readonly number[]) => values.reduce((a, b) => a * b, 1);
export const ceilDiv = (a: number, b: number) => Math.ceil(a / b);
