/**
 * Gives an array's memory back at once. Arrays of many megabytes that nobody refers to any more can otherwise stay for seconds, a
 * gigabyte of them, until the collector comes round; a memory limit could not be kept that way.
 */
export function freeArray(array: ArrayBufferView | undefined): void {
  // A detached buffer has no memory; the new one has length 0.
  if (array?.buffer instanceof ArrayBuffer && !array.buffer.detached) array.buffer.transfer(0);
}
