/** SHA-256 of files and of the program itself, for reports. */
import { createHash } from "node:crypto";
import { dirname, fromFileUrl, join, relative } from "../core/base/path.ts";
import { readError } from "../core/base/read_error.ts";
import { installedProgram } from "./packaging/installed_program.ts";

/** SHA-256 of a file in hex, read in pieces. @throws UserError if it can't be read */
export async function fileDigest(path: string): Promise<string> {
  try {
    const hash = createHash("sha256");
    using file = await Deno.open(path);
    const buffer = new Uint8Array(1 << 20);
    for (let count = await file.read(buffer); count !== null; count = await file.read(buffer)) {
      hash.update(buffer.subarray(0, count));
    }
    return hash.digest("hex");
  } catch (error) {
    throw readError(error, path, "taking the file's checksum");
  }
}

export interface ProgramDigest {
  readonly sha256: string;
  /** What it is the digest of. */
  readonly of: string;
}

/** The parts of a source checkout that make up the program. */
const SOURCES = ["main.ts", "deno.json", "deno.lock", "cli", "core", "cpu", "gpu", "kernels"];

/**
 * Of one file, compiled or packaged: that file. Of a bundle: all scripts of its folder. Of a source checkout: all its sources. For
 * several files it is the digest of the list "digest  path\n", sorted by path, as `sha256sum` prints it.
 */
export async function programDigest(): Promise<ProgramDigest> {
  const { kind, file } = await installedProgram();
  if (kind === "executable" || kind === "package") return { sha256: await fileDigest(file), of: kind };
  const main = fromFileUrl(Deno.mainModule);
  const folder = dirname(main);
  const isCheckout = kind === "checkout";
  const files = isCheckout
    ? (await Promise.all(SOURCES.map((name) => filesBelow(join(folder, name))))).flat()
    : (await filesBelow(folder)).filter((file) => /\.[jt]s$/.test(file) && dirname(file) === folder);
  const names = files.map((file) => relative(folder, file).replaceAll("\\", "/")).sort();
  const list = createHash("sha256");
  for (const name of names) list.update(`${await fileDigest(join(folder, name))}  ${name}\n`);
  return { sha256: list.digest("hex"), of: `${isCheckout ? "sources" : "bundle"}, ${names.length} files` };
}

/** The file itself, or all files below a folder; nothing if it is not there. */
async function filesBelow(path: string): Promise<string[]> {
  try {
    if ((await Deno.stat(path)).isFile) return [path];
  } catch {
    return [];
  }
  const files: string[] = [];
  for await (const entry of Deno.readDir(path)) files.push(...await filesBelow(join(path, entry.name)));
  return files;
}
