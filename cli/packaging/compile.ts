/** One executable with the scripts of its threads: `deno task compile [FILE]`. Deno fetches its runtime for it once. */
import { fromFileUrl, resolve } from "../../core/base/path.ts";
import { EXIT } from "../exit_code.ts";
import { printError } from "../terminal.ts";
import { workerScripts } from "./worker_scripts.ts";

const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];

/** Arguments of `deno` that compile the program in `root` into the file `output`. */
export async function compileArguments(root: string, output: string): Promise<string[]> {
  const included = (await workerScripts(root)).flatMap((script) => ["--include", script]);
  return ["compile", "--frozen", ...PERMISSIONS, ...included, "--output", resolve(output), "main.ts"];
}

if (import.meta.main) {
  const [output = "dist/nnunet", ...more] = Deno.args;
  if (more.length > 0 || output.startsWith("-")) {
    printError("usage: deno task compile [FILE]");
    Deno.exit(EXIT.usage);
  }
  const root = fromFileUrl(new URL("../../", import.meta.url));
  const { code } = await new Deno.Command("deno", {
    args: await compileArguments(root, output),
    cwd: root,
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  Deno.exit(code);
}
