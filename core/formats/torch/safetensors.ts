/**
 * Writes tensors as a safetensors file: a JSON header with names, shapes and places, then the bytes, one tensor behind the other.
 * Format: https://github.com/huggingface/safetensors#format
 */
import { writeAll, writeAtomically } from "../../base/files.ts";
import type { StoredTensor } from "./torch_tensor.ts";

/** The header is padded so that the data begins at a multiple of this. */
const ALIGNMENT = 8;

/**
 * Writes `tensors` to `file`, whole or not at all, one in memory at a time. Floating-point tensors of any width become float32,
 * integers int64.
 * @param metadata Texts by name, stored in the header
 * @throws UserError if a tensor can't be read or the file not be written; Interrupted if `signal` aborts
 */
export async function writeSafetensors(
  file: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const [name, tensor] of tensors) {
    const begin = end;
    end += tensor.shape.reduce((product, n) => product * n, isInteger(tensor) ? 8 : 4);
    const dtype = isInteger(tensor) ? "I64" : "F32";
    header[name] = { dtype, shape: tensor.shape, data_offsets: [begin, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(8 + Math.ceil(text.length / ALIGNMENT) * ALIGNMENT).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(text, 8);
  await writeAtomically(file, async (out) => {
    await writeAll(out, head);
    for (const tensor of tensors.values()) {
      const values = tensor.read();
      const stored = isInteger(tensor) ? BigInt64Array.from(values, BigInt) : values;
      await writeAll(out, new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
    }
  }, { doing: "writing the tensors", removesLeftovers: true, signal });
}

function isInteger({ dtype }: StoredTensor): boolean {
  return /^(?:u?int|bool)/.test(dtype);
}
