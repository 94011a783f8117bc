/**
 * Packs the program into a folder that runs without this checkout and without a cache of packages: `deno task bundle [FOLDER]`.
 * main.js is the program. Beside it lie the threads' scripts, under the names by which the program starts them (case_worker.ts, ...);
 * they hold plain JavaScript, which is TypeScript too.
 * Run it with `deno run --no-config --allow-read --allow-write --allow-env --allow-sys FOLDER/main.js`.
 */
import { UserError } from "../../core/base/errors.ts";
import { ensureFolder } from "../../core/base/files.ts";
import { basename, fromFileUrl, join } from "../../core/base/path.ts";
import { EXIT } from "../exit_code.ts";
import { print, printError } from "../terminal.ts";
import { workerScripts } from "./worker_scripts.ts";

/** Writes the bundle into `folder`; gives the path of main.js. @throws UserError if bundling fails */
export async function bundle(folder: string): Promise<string> {
  const root = fromFileUrl(new URL("../../", import.meta.url));
  await ensureFolder(folder, "making the bundle's folder");
  const main = join(folder, "main.js");
  await bundleOne(root, "main.ts", main);
  for (const script of await workerScripts(root)) await bundleOne(root, script, join(folder, basename(script)));
  await Deno.copyFile(new URL(import.meta.resolve("@resvg/resvg-wasm/index_bg.wasm")), join(folder, "resvg.wasm"));
  return main;
}

async function bundleOne(root: string, source: string, output: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("deno", {
    args: ["bundle", "--quiet", "--frozen", "--platform", "deno", "--output", output, join(root, source)],
    cwd: root,
  }).output();
  if (success) return;
  throw new UserError({ doing: "bundling", file: source, problem: new TextDecoder().decode(stderr).trim() });
}

if (import.meta.main) {
  const [folder = "dist", ...more] = Deno.args;
  if (more.length > 0 || folder.startsWith("-")) {
    printError("usage: deno task bundle [FOLDER]");
    Deno.exit(EXIT.usage);
  }
  print(`bundled: ${await bundle(folder)}`);
}
