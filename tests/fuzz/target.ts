/** What is fuzzed: a reader, and whole files to start from. */
import { join } from "../../core/base/path.ts";
import type { Files } from "./mutate_files.ts";

/** Runs a part of the reading; a UserError ends that part alone, anything else the reading. */
export type Attempt = (part: () => unknown) => Promise<void>;

export interface Target {
  readonly name: string;
  /** Whole inputs. @param folder An empty one to write in */
  seeds(folder: string): Promise<readonly Files[]>;
  /** Reads what lies in the folder, all of it. */
  read(folder: string, attempt: Attempt): Promise<void>;
}

const GOLDEN = new URL("../golden/", import.meta.url);

export function golden(path: string): Uint8Array {
  return Deno.readFileSync(new URL(path, GOLDEN));
}

/** Golden files of a folder as inputs of one file each. */
export function goldenFiles(folder: string, pattern: RegExp, name: string, most = 1e9): Files[] {
  return Array.from(Deno.readDirSync(new URL(folder, GOLDEN)))
    .filter((entry) => pattern.test(entry.name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((entry) => ({ [name]: golden(`${folder}/${entry.name}`) }))
    .filter((files) => files[name].length < most);
}

/** Everything that lies in a folder. */
export async function filesIn(folder: string): Promise<Files> {
  const files: Record<string, Uint8Array> = {};
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (!isFile) continue;
    files[name] = await Deno.readFile(join(folder, name));
    await Deno.remove(join(folder, name));
  }
  return files;
}

export const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** A small model of the golden ones. */
export const MODEL = "models/models/slices_2d";
