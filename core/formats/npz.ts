import type { WriteOptions } from "../base/files.ts";
export interface NpyHeader {
  /** numpy's type string: "<f4", "|u1". */
  readonly dtype: string;
  readonly shape: readonly number[];
}
export type NpyData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;
export interface NpyArray extends NpyHeader {
  readonly data: NpyData;
}
/** Writes one array as PATH (an .npz), streaming. */
export function writeNpz(
  _path: string,
  _name: string,
  _header: NpyHeader,
  _source: AsyncIterable<Uint8Array>,
  _options: WriteOptions = {},
): Promise<void> {
  throw new Error("being written");
}
export function readNpz(_path: string): Promise<Map<string, NpyArray>> {
  throw new Error("being written");
}
