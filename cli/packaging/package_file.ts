/**
 * The one file that `deno task package` makes: a launcher (launcher/, in C, built for each processor and kept beside its source), Deno
 * and the program's bundle, each file in raw deflate, and an index with their sizes and checksums. launcher/package.h says the same in C.
 */
import { createHash } from "node:crypto";
import zlib from "node:zlib";
import { messageOf, UserError } from "../../core/base/errors.ts";
import { writeAll, writeAtomically } from "../../core/base/files.ts";

const MARK = "nnunet package 1";
/** Of a package whose program may listen; all else is the same, what is unpacked too. */
const SERVICE_MARK = "nnunet service 1";
const END_SIZE = 64;
const ENTRY_SIZE = 60;
/** By the number in an ELF file. */
const PROCESSORS: Readonly<Record<number, Processor>> = { 62: "x86_64", 183: "aarch64" };

/** One of the files inside. */
export interface PackageMember {
  /** Where it is unpacked to: names of letters, digits, ".", "_" and "-" between slashes. */
  readonly path: string;
  /** True: may be executed. */
  readonly program: boolean;
  /** Its bytes; asked for when it is its turn. */
  read(): Promise<Uint8Array>;
}

/** An entry of the index, as it is read and written. */
export interface PackageEntry {
  readonly path: string;
  readonly program: boolean;
  readonly offset: number;
  readonly stored: number;
  readonly size: number;
  /** SHA-256 of its bytes, in hex. */
  readonly sha256: string;
}

export type Processor = "x86_64" | "aarch64";

/** Processor of an executable for Linux. @throws UserError if it is none, or is for a processor there is no launcher for */
export async function processorOf(file: string): Promise<Processor> {
  const start = await firstBytes(file);
  const isElf = start.length >= 20 && start[0] === 0x7f && String.fromCharCode(...start.subarray(1, 4)) === "ELF";
  const processor = isElf && start[4] === 2 && start[5] === 1 ? PROCESSORS[start[18] | start[19] << 8] : undefined;
  if (processor !== undefined) return processor;
  throw new UserError({
    doing: "packaging",
    file,
    problem: isElf
      ? "it is a program for another processor than x86-64 and ARM64"
      : "it is not a program for Linux, the only system that packages are made for",
    remedy:
      "give the Deno of Linux x86-64 or ARM64 with --deno FILE, or take `deno task compile` or `deno task bundle`",
  });
}

async function firstBytes(path: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(64);
  try {
    using file = await Deno.open(path);
    return bytes.subarray(0, await file.read(bytes) ?? 0);
  } catch (error) {
    const problem = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : `it cannot be read (${messageOf(error)})`;
    throw new UserError({ doing: "packaging", file: path, problem }, { cause: error });
  }
}

/** Writes launcher and members to `path`, executable. @returns the index */
export async function writePackage(
  path: string,
  launcher: Uint8Array,
  members: readonly PackageMember[],
): Promise<PackageEntry[]> {
  const entries: PackageEntry[] = [];
  await writeAtomically(path, async (file) => {
    await writeAll(file, launcher);
    let offset = launcher.length;
    for (const { path, program, read } of members) {
      const bytes = await read();
      const stored = zlib.deflateRawSync(bytes, { level: 9 });
      await writeAll(file, stored);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      entries.push({ path, program, offset, stored: stored.length, size: bytes.length, sha256 });
      offset += stored.length;
    }
    const index = indexBytes(entries);
    await writeAll(file, index);
    await writeAll(file, endBytes(offset, index));
  }, { doing: "writing the package", removesLeftovers: true, sync: true });
  if (Deno.build.os !== "windows") await Deno.chmod(path, 0o755);
  return entries;
}

/** Writes the service's package beside the program's. */
export async function writeService(program: string, path: string): Promise<void> {
  const bytes = await Deno.readFile(program);
  bytes.set(new TextEncoder().encode(SERVICE_MARK), bytes.length - END_SIZE);
  await writeAtomically(path, bytes, { doing: "writing the package", removesLeftovers: true, sync: true });
  if (Deno.build.os !== "windows") await Deno.chmod(path, 0o755);
}

function indexBytes(entries: readonly PackageEntry[]): Uint8Array {
  const parts = entries.map(({ path, program, offset, stored, size, sha256 }) => {
    const name = new TextEncoder().encode(path);
    const bytes = new Uint8Array(ENTRY_SIZE + name.length);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, name.length, true);
    view.setUint16(2, program ? 1 : 0, true);
    [offset, stored, size].forEach((value, i) => view.setBigUint64(4 + 8 * i, BigInt(value), true));
    bytes.set(Uint8Array.fromHex(sha256), 28);
    bytes.set(name, ENTRY_SIZE);
    return bytes;
  });
  const index = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => (index.set(part, at), at + part.length), 0);
  return index;
}

function endBytes(offset: number, index: Uint8Array): Uint8Array {
  const end = new Uint8Array(END_SIZE);
  end.set(new TextEncoder().encode(MARK));
  const view = new DataView(end.buffer);
  view.setBigUint64(16, BigInt(offset), true);
  view.setBigUint64(24, BigInt(index.length), true);
  end.set(createHash("sha256").update(index).digest(), 32);
  return end;
}
