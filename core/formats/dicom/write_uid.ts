/** UIDs that follow from what they name, so that the same input gives the same objects. Source: PS3.5 B.2, "UUID Derived UID"; RFC 9562. */
import { createHash } from "node:crypto";

/**
 * "2.25." and the UUID (version 8: made by hashing, here SHA-256) of `parts`, which may be of any length and hold any characters; at
 * most 44 characters.
 */
export function derivedUid(parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${new TextEncoder().encode(part).length}:${part}`);
  const uuid = hash.digest().subarray(0, 16);
  uuid[6] = (uuid[6] & 0x0f) | 0x80;
  uuid[8] = (uuid[8] & 0x3f) | 0x80;
  return `2.25.${BigInt(`0x${uuid.toString("hex")}`)}`;
}
