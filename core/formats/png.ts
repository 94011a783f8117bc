/** PNG pictures, through fast-png. */
export function encodeRgbPng(_width: number, _height: number, _rgb: Uint8Array): Uint8Array {
  throw new Error("being written");
}
