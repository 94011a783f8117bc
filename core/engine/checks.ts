/**
 * Argument checks that every engine makes before it enqueues anything: a wrong call is a defect of the caller and throws a
 * RangeError there and then, not a wrong result later.
 */
import type { TensorHandle } from "./engine.ts";

export function ensure(condition: boolean, doing: string, problem: () => string): asserts condition {
  if (!condition) throw new RangeError(`${doing}: ${problem()}`);
}

export function ensureLength(tensor: TensorHandle, needed: number, doing: string): void {
  ensure(tensor.length >= needed, doing, () => `${tensor.label} has ${tensor.length} elements, ${needed} are needed`);
}

/** Checks that [offset, offset + length) lies in the tensor. */
export function checkRange(tensor: TensorHandle, offset: number, length: number, doing: string): void {
  ensure(
    Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 &&
      offset + length <= tensor.length,
    doing,
    () => `elements ${offset} to ${offset + length} are not in ${tensor.label}, which has ${tensor.length}`,
  );
}

/** Checks the length of a new tensor. */
export function checkAlloc(length: number, label: string): void {
  ensure(Number.isSafeInteger(length) && length >= 0, `Allocating ${label}`, () => `${length} elements`);
}

/** Checks that a program was compiled by the engine that is asked to use it and is not disposed. */
export function checkAlive(alive: boolean, what: string, doing: string): void {
  ensure(alive, doing, () => `${what} is disposed, or belongs to another engine`);
}
