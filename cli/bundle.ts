/**
 * Packs the program into a folder that runs without this checkout and without a cache of packages: `deno task bundle [FOLDER]`.
 * main.js is the program. Beside it lie the threads' scripts, under the names by which the program starts them
 * (`new URL("./case_worker.ts", import.meta.url)`); they hold plain JavaScript, which is TypeScript too.
 * Run it with `deno run --no-config --allow-read --allow-write --allow-env --allow-sys FOLDER/main.js`.
 */
import { UserError } from "../core/base/errors.ts";
import { ensureFolder } from "../core/base/files.ts";
import { fromFileUrl, join } from "../core/base/path.ts";
import { print } from "./terminal.ts";

/** Each script of the bundle and the module it is made from. */
const SCRIPTS: readonly (readonly [script: string, source: string])[] = [
  ["main.js", "main.ts"],
  ["case_worker.ts", "core/predict/run/case_worker.ts"],
  ["evaluate_worker.ts", "core/evaluate/evaluate_worker.ts"],
  ["fingerprint_worker.ts", "core/preprocess/fingerprint_worker.ts"],
  ["preprocess_worker.ts", "core/preprocess/preprocess_worker.ts"],
  ["report_worker.ts", "core/train/report/report_worker.ts"],
  ["sample_worker.ts", "core/train/samples/sample_worker.ts"],
  ["engine_worker.ts", "cpu/engine_worker.ts"],
];

/** Writes the bundle into `folder`; gives the path of main.js. @throws UserError if bundling fails */
export async function bundle(folder: string): Promise<string> {
  const root = fromFileUrl(new URL("../", import.meta.url));
  await ensureFolder(folder, "making the bundle's folder");
  for (const [script, source] of SCRIPTS) {
    const output = join(folder, script);
    const { success, stderr } = await new Deno.Command("deno", {
      args: ["bundle", "--quiet", "--frozen", "--platform", "deno", "--output", output, join(root, source)],
      cwd: root,
    }).output();
    if (success) continue;
    throw new UserError({ doing: "bundling", file: source, problem: new TextDecoder().decode(stderr).trim() });
  }
  await Deno.copyFile(new URL(import.meta.resolve("@resvg/resvg-wasm/index_bg.wasm")), join(folder, "resvg.wasm"));
  return join(folder, SCRIPTS[0][0]);
}

if (import.meta.main) print(`bundled: ${await bundle(Deno.args[0] ?? "dist")}`);
