/**
 * `deno task compile` without Deno's compile runtime, which is fetched from a network: another executable stands in its place, so that
 * what is made cannot run, but Deno says what it put into it. That is compared with what the sources refer to.
 */
import { dirname, fromFileUrl, join } from "../../core/base/path.ts";
import { bundle } from "../../cli/packaging/bundle.ts";
import { compileArguments } from "../../cli/packaging/compile.ts";
import { LISTENING } from "../../cli/packaging/starters.ts";
import { launcherOf } from "../../cli/packaging/package.ts";
import { workerScripts } from "../../cli/packaging/worker_scripts.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder } from "./cli/run_command.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const PERMISSIONS = ["read", "write", "env", "sys"].map((name) => `--allow-${name}`);
const REFERENCE = /new URL\(\s*"(\.[^"]*)",\s*import\.meta\.url|import\.meta\.resolve\(\s*"([^"]+)"/g;

/** The project's modules that Deno's module graph of `entry` holds. */
async function modulesOf(entry: string): Promise<string[]> {
  const args = ["info", "--json", "--frozen", join(ROOT, entry)];
  const { success, stdout } = await new Deno.Command("deno", { args, cwd: ROOT, stderr: "null" }).output();
  assert(success, entry);
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: { local?: string }[] };
  return modules.flatMap(({ local }) => local?.startsWith(ROOT) ? [local] : []);
}

/** Files beside the modules that the program and its threads refer to, relative to the checkout; and what they resolve from packages. */
async function references(): Promise<{ files: Set<string>; packaged: Set<string> }> {
  const files = new Set<string>();
  const packaged = new Set<string>();
  const seen = new Set<string>();
  const entries = ["main.ts"];
  for (const entry of entries) {
    for (const module of await modulesOf(entry)) {
      if (seen.has(module)) continue;
      seen.add(module);
      for (const [, file, specifier] of (await Deno.readTextFile(module)).matchAll(REFERENCE)) {
        if (specifier !== undefined) packaged.add(specifier);
        else files.add(join(dirname(module), file).slice(ROOT.length));
        const path = file === undefined ? "" : join(dirname(module), file).slice(ROOT.length);
        if (path.endsWith(".ts") && !entries.includes(path)) entries.push(path);
      }
    }
  }
  return { files, packaged };
}

Deno.test("every script and file that the program's modules refer to is compiled in, and nothing may use a network", async () => {
  const { files, packaged } = await references();
  const scripts = [...files].filter((file) => file.endsWith("_worker.ts")).sort();
  assert(scripts.length >= 7, scripts.join());
  assertEquals(await workerScripts(ROOT), scripts);
  // Another way to name what is needed has to be added to the bundle, and here.
  assertEquals([...packaged].sort(), [
    "@cornerstonejs/codec-charls/decodewasm",
    "@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasm",
    "@cornerstonejs/codec-openjpeg/decodewasm",
    "@niivue/niivue/min",
    "@resvg/resvg-wasm/index_bg.wasm",
  ]);
  assertEquals([...files].filter((file) => !scripts.includes(file)).sort(), [
    "cli/demo/model",
    "cli/serve/page",
    "core/formats/dicom/codecs/charls.wasm",
    "core/formats/dicom/codecs/libjpegturbo.wasm",
    "core/formats/dicom/codecs/openjpeg.wasm",
    "core/train/report/resvg.wasm",
  ]);
  await inTempFolder(async (folder) => {
    await bundle(join(folder, "program"));
    const words = await compileArguments(join(folder, "program"), join(folder, "nnunet"));
    const included = words.filter((_, i) => words[i - 1] === "--include");
    const names = [...files].map((file) => file.slice(file.lastIndexOf("/") + 1)).sort();
    assertEquals(included, names);
    assertEquals(words.filter((word) => word.startsWith("--allow")), PERMISSIONS);
    const service = await compileArguments(join(folder, "program"), join(folder, "nnunet-serve"), undefined, true);
    assertEquals(service.filter((word) => word.startsWith("--allow")), [...PERMISSIONS, LISTENING]);
    const compiled = await new Deno.Command("deno", {
      args: words,
      cwd: join(folder, "program"),
      env: { DENORT_BIN: launcherOf("x86_64"), NO_COLOR: "1" },
    }).output();
    const listing = new TextDecoder().decode(compiled.stdout) + new TextDecoder().decode(compiled.stderr);
    if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") return;
    assert(compiled.success, listing);
    const embedded = [...listing.matchAll(/^[├└]──\s(\S+?)(?:\/\*)? \(/gm)].map(([, name]) => name);
    assertEquals(embedded.sort(), [...names, "main.js"].sort());
  });
});
