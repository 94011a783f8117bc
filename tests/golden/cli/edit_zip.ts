/** Checkpoints (.pth is a zip) with entries replaced. */
import { Uint8ArrayReader, Uint8ArrayWriter, ZipReader, ZipWriter } from "@zip.js/zip.js";

/** Rewrites a zip in place, uncompressed as torch writes it, each entry's bytes through `edit`. */
export async function editZip(file: string, edit: (name: string, data: Uint8Array) => Uint8Array): Promise<void> {
  const options = { useWebWorkers: false };
  const reader = new ZipReader(new Uint8ArrayReader(await Deno.readFile(file)), options);
  const writer = new ZipWriter(new Uint8ArrayWriter(), { ...options, level: 0 });
  for (const entry of await reader.getEntries()) {
    if (entry.directory) continue;
    const data = await entry.getData(new Uint8ArrayWriter());
    await writer.add(entry.filename, new Uint8ArrayReader(edit(entry.filename, data)));
  }
  await reader.close();
  await Deno.writeFile(file, await writer.close());
}

/** The bytes with every `from` replaced by `to` of the same length. */
export function replaceText(bytes: Uint8Array, from: string, to: string): Uint8Array {
  if (from.length !== to.length) throw new RangeError("the texts differ in length");
  const latin = new TextDecoder("latin1").decode(bytes);
  const out = bytes.slice();
  for (let at = latin.indexOf(from); at >= 0; at = latin.indexOf(from, at + 1)) {
    out.set(new TextEncoder().encode(to), at);
  }
  return out;
}
