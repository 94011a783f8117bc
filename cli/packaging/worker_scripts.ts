/**
 * The scripts of the program's threads, called something_worker.ts, found in its sources, which name each by a URL relative to the
 * module. Deno's own module graph does not hold them, so whoever packs or fetches the program asks here.
 */
import { dirname, join } from "../../core/base/path.ts";

/** Where the program's modules are. */
const FOLDERS = ["cli", "core", "cpu", "gpu"];
const SCRIPT = /new URL\(\s*"(\.[^"]+_worker\.ts)",\s*import\.meta\.url/g;

/** Paths relative to `root`, the folder of main.ts, sorted. @throws Error if two have one name, as a bundle holds them side by side */
export async function workerScripts(root: string): Promise<string[]> {
  const scripts = new Set<string>();
  for (const folder of FOLDERS) {
    for await (const module of modulesBelow(root, folder)) {
      const text = await Deno.readTextFile(join(root, module));
      for (const [, script] of text.matchAll(SCRIPT)) scripts.add(join(dirname(module), script).replaceAll("\\", "/"));
    }
  }
  const names = [...scripts].map((script) => script.slice(script.lastIndexOf("/") + 1));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Error(`two scripts of threads are called ${twice}`);
  return [...scripts].sort();
}

async function* modulesBelow(root: string, folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
    const path = join(folder, name);
    if (isDirectory) yield* modulesBelow(root, path);
    else if (name.endsWith(".ts")) yield path;
  }
}
