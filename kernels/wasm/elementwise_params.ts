/**
 * Parameter blocks of the elementwise and volume kernels: one ordered record of names and types serves both the describing function,
 * which encodes values, and the kernel, which loads them at the offsets. The layout is that of {@link Param}: in order, aligned to size.
 */
import type { Param } from "./kernel.ts";

export type FieldType = "i32" | "f32" | "address";

/** A value for a field: numbers for i32 and f32, a slot (with a byte offset) for an address. */
export type FieldValue = number | { readonly slot: string; readonly offset?: number };

/** Byte offset of every field. */
export type FieldOffsets<F extends Record<string, FieldType>> = { readonly [K in keyof F]: number };

/** Offsets of the fields in a parameter block, and the block's size. */
export function layoutFields<F extends Record<string, FieldType>>(
  fields: F,
): { readonly offsets: FieldOffsets<F>; readonly bytes: number } {
  const offsets: Record<string, number> = {};
  let at = 0;
  for (const [name, type] of Object.entries(fields)) {
    const size = type === "address" ? 8 : 4;
    at = Math.ceil(at / size) * size;
    offsets[name] = at;
    at += size;
  }
  return { offsets: offsets as FieldOffsets<F>, bytes: at };
}

/**
 * The fields' values as parameters, in the fields' order.
 * @throws TypeError where a value does not fit its field, RangeError where an i32 is not one.
 */
export function encodeFields<F extends Record<string, FieldType>>(
  kernel: string,
  fields: F,
  values: { readonly [K in keyof F]: F[K] extends "address" ? { slot: string; offset?: number } : number },
): Param[] {
  return Object.entries(fields).map(([name, type]): Param => {
    const value: FieldValue = values[name];
    if (type === "address") {
      if (typeof value !== "object") throw new TypeError(`Describing ${kernel}: ${name} is not a slot`);
      return { type, slot: value.slot, offset: value.offset ?? 0 };
    }
    if (typeof value !== "number") throw new TypeError(`Describing ${kernel}: ${name} is not a number`);
    if (type === "i32" && (value | 0) !== value) {
      throw new RangeError(`Describing ${kernel}: ${name} = ${value} is not a 32-bit integer`);
    }
    return { type, value };
  });
}
