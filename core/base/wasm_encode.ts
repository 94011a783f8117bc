/** Byte-level encoding of WebAssembly: LEB128 numbers and nested code. */

/** Code as a tree, so that expressions compose without copying; {@link flatten} makes bytes of it. */
export type Code = readonly (number | Code)[];

/** Unsigned LEB128 of a non-negative integer up to 2^53. */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return bytes;
}

/** Signed LEB128 of an integer of magnitude up to 2^53. */
export function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const low = ((rest % 128) + 128) % 128;
    rest = Math.floor(rest / 128);
    const done = (rest === 0 && low < 64) || (rest === -1 && low >= 64);
    bytes.push(done ? low : low + 128);
    if (done) return bytes;
  }
}

export function f32Bytes(value: number): number[] {
  return [...new Uint8Array(Float32Array.of(value).buffer)];
}

export function f64Bytes(value: number): number[] {
  return [...new Uint8Array(Float64Array.of(value).buffer)];
}

/** A name or any string: length, then UTF-8. */
export function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [...unsigned(bytes.length), ...bytes];
}

/** Appends the bytes of `code` to `out`. */
export function flatten(code: Code, out: number[]): void {
  for (const part of code) {
    if (typeof part === "number") out.push(part);
    else flatten(part, out);
  }
}
