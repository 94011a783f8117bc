/**
 * Writing torch.save's files: a stored zip of a pickle and raw storages.
 * Format: torch/serialization.py (_save), caffe2/serialize/inline_container.cc (alignment, the small members).
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { writeAll, writeAtomically, type WriteOptions } from "../../base/files.ts";
import { basename } from "../../base/path.ts";
import { pickle, type PickleValue } from "./pickle_writer.ts";
import { type WrittenEntry, zipDirectory } from "../archive/zip_directory.ts";

/** Members start at multiples of this, so that storages can be mapped. */
const ALIGNMENT = 64;

/**
 * Writes what `torch.load` gives back as `value`; the file takes its name once it is whole and on the disk.
 * @param storages By the number that tensors of `value` refer to them by
 * @throws UserError if it can't be written; a file that was there stays then
 */
export async function writeTorchFile(
  path: string,
  value: PickleValue,
  storages: readonly (Float32Array | BigInt64Array)[],
  options: WriteOptions = {},
): Promise<void> {
  const text = (content: string) => new TextEncoder().encode(content);
  const bytesOf = (array: Float32Array | BigInt64Array) =>
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const data = pickle(value, 2);
  const members: readonly (readonly [name: string, bytes: Uint8Array])[] = [
    ["data.pkl", data],
    [".format_version", text("1")],
    [".storage_alignment", text(String(ALIGNMENT))],
    ["byteorder", text("little")],
    ...storages.map((storage, number) => [`data/${number}`, bytesOf(storage)] as const),
    ["version", text("3\n")],
    // Names the content: 40 digits. torch hashes names and checksums of all members for it.
    [".data/serialization_id", text(digits(createHash("sha1").update(data).digest()))],
  ];
  const folder = basename(path).replace(/\.[^.]*$/, "");
  const write = async (file: Deno.FsFile) => {
    const entries: WrittenEntry[] = [];
    let offset = 0;
    for (const [name, bytes] of members) {
      const entry = await writeStored(file, `${folder}/${name}`, offset, bytes);
      entries.push(entry);
      offset = entry.end;
    }
    await writeAll(file, zipDirectory(entries, offset));
  };
  await writeAtomically(path, write, { doing: "writing the checkpoint", sync: true, ...options });
}

function digits(hash: Uint8Array): string {
  return Array.from(hash, (byte) => String(byte % 100).padStart(2, "0")).join("");
}

async function writeStored(
  file: Deno.FsFile,
  name: string,
  offset: number,
  bytes: Uint8Array,
): Promise<WrittenEntry> {
  const nameBytes = new TextEncoder().encode(name);
  // The padding is an extra field "FB" of its own, as torch has it.
  const before = offset + 30 + nameBytes.length + 4;
  const padding = (ALIGNMENT - (before % ALIGNMENT)) % ALIGNMENT;
  const header = new Uint8Array(30 + nameBytes.length + 4 + padding);
  const view = new DataView(header.buffer);
  const checksum = crc32(bytes);
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(12, 0x0021, true);
  view.setUint32(14, checksum, true);
  view.setUint32(18, bytes.length, true);
  view.setUint32(22, bytes.length, true);
  view.setUint16(26, nameBytes.length, true);
  view.setUint16(28, 4 + padding, true);
  header.set(nameBytes, 30);
  view.setUint16(30 + nameBytes.length, 0x4246, true);
  view.setUint16(32 + nameBytes.length, padding, true);
  await writeAll(file, header);
  await writeAll(file, bytes);
  const end = offset + header.length + bytes.length;
  return { name, method: 0, checksum, size: bytes.length, packed: bytes.length, offset, end };
}
