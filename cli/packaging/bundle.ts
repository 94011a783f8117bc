/**
 * Packs the program into a folder that runs without this checkout and without a cache of packages: `deno task bundle [FOLDER]`.
 * main.js is the program. Beside it lie the threads' scripts, under the names by which the program starts them (case_worker.ts, ...);
 * they hold plain JavaScript, which is TypeScript too. resvg.wasm draws a training's curves, the others read packed DICOM pixels, model/ is what the demo predicts with, page/ the page of the service.
 * FOLDER/nnunet (nnunet.cmd) starts it, with a Deno in PATH, wherever the folder is; nnunet-serve the service, which may listen.
 */
import { UserError } from "../../core/base/errors.ts";
import { ensureFolder, writeAtomically } from "../../core/base/files.ts";
import { basename, dirname, fromFileUrl, join, resolve } from "../../core/base/path.ts";
import { NIIVUE, niivueAddress } from "../serve/page_files.ts";
import { EXIT } from "../exit_code.ts";
import { print, printError } from "../terminal.ts";
import { cmdStarter, runArguments, shellStarter, type StarterTarget } from "./starters.ts";
import { workerScripts } from "./worker_scripts.ts";

/** WebAssembly that lies beside the scripts. */
const MODULES: Readonly<Record<string, () => string>> = {
  "resvg.wasm": () => import.meta.resolve("@resvg/resvg-wasm/index_bg.wasm"),
  "libjpegturbo.wasm": () => import.meta.resolve("@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasm"),
  "charls.wasm": () => import.meta.resolve("@cornerstonejs/codec-charls/decodewasm"),
  "openjpeg.wasm": () => import.meta.resolve("@cornerstonejs/codec-openjpeg/decodewasm"),
};

/** Writes the bundle into the folder `name`; gives the path of main.js. @throws UserError if bundling fails */
export async function bundle(name: string): Promise<string> {
  const folder = resolve(name);
  const root = fromFileUrl(new URL("../../", import.meta.url));
  await ensureFolder(folder, "making the bundle's folder");
  const main = join(folder, "main.js");
  await bundleOne(root, "main.ts", main);
  for (const script of await workerScripts(root)) await bundleOne(root, script, join(folder, basename(script)));
  for (const [name, url] of Object.entries(MODULES)) await Deno.copyFile(new URL(url()), join(folder, name));
  await copyFolder(join(root, "cli/demo/model"), join(folder, "model"));
  await copyFolder(join(root, "cli/serve/page"), join(folder, "page"));
  await Deno.copyFile(niivueAddress(), join(folder, "page", NIIVUE));
  const target = { main, folder, kind: "bundle", rememberPlace: false } as const;
  await writeStarters(target, "nnunet");
  await writeStarters({ ...target, listens: true }, SERVICE, "serve");
  return main;
}

/** The executable, or starter, of the service. */
export const SERVICE = "nnunet-serve";
/** What starts a bundle, for which one file has no use. */
export const STARTERS: readonly string[] = ["nnunet", SERVICE].flatMap((name) => [name, `${name}.cmd`]);

async function writeStarters(target: StarterTarget, name: string, command?: string): Promise<void> {
  const file = join(target.folder, name);
  await writeAtomically(file, shellStarter(target, command), { doing: "writing a starter" });
  await writeAtomically(`${file}.cmd`, cmdStarter(target, command), { doing: "writing a starter" });
  if (Deno.build.os !== "windows") await Deno.chmod(file, 0o755);
}

async function copyFolder(from: string, to: string): Promise<void> {
  await ensureFolder(to, "making the bundle's folder");
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(join(from, name), join(to, name));
    else await Deno.copyFile(join(from, name), join(to, name));
  }
}

async function bundleOne(root: string, source: string, output: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("deno", {
    args: ["bundle", "--quiet", "--frozen", "--platform", "deno", "--output", output, join(root, source)],
    cwd: root,
  }).output();
  if (!success) {
    throw new UserError({ doing: "bundling", file: source, problem: new TextDecoder().decode(stderr).trim() });
  }
  const script = await Deno.readTextFile(output);
  // Packages that are CommonJS modules ask for their folder by a name that ES modules don't have.
  if (script.includes("__dirname")) await Deno.writeTextFile(output, `var __dirname = import.meta.dirname;\n${script}`);
}

if (import.meta.main) {
  const [folder = "dist", ...more] = Deno.args;
  if (more.length > 0 || folder.startsWith("-")) {
    printError("usage: deno task bundle [FOLDER]");
    Deno.exit(EXIT.usage);
  }
  const main = await bundle(folder);
  const windows = Deno.build.os === "windows";
  const starter = join(dirname(main), windows ? "nnunet.cmd" : "nnunet");
  const command = ["deno", ...runArguments("bundle", folder), main].join(" ");
  print(`bundled; start it with ${starter}${windows ? "" : `, or with DENO_NO_UPDATE_CHECK=1 ${command}`}`);
  print(`Commands under Python's names: ${starter} link DIR`);
}
