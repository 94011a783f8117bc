/** PNG files that the program wrote, decoded for tests. */
import { decode, type DecodedPng } from "fast-png";

/** Decodes an 8-bit PNG, checksums included. */
export function decodePng(bytes: Uint8Array): DecodedPng {
  return decode(bytes, { checkCrc: true });
}
