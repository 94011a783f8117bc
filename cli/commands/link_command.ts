/** The command `link`: small starters under Python nnU-Net's names, so that scripts written for it find the commands they call. */
import { UserError } from "../../core/base/errors.ts";
import { ensureFolder, writeAtomically } from "../../core/base/files.ts";
import { dirname, fromFileUrl, join, resolve } from "../../core/base/path.ts";
import type { FlagTable } from "../flags/flag.ts";
import { defineCommand } from "./command.ts";
import { COMMANDS } from "./commands.ts";

const FLAGS = {
  folder: {
    kind: "text",
    names: ["DIR"],
    value: "DIR",
    required: true,
    group: "Arguments",
    help: "Folder for the starters; made if it is not there. Should be in PATH.",
  },
  force: {
    kind: "switch",
    names: ["--force"],
    group: "Arguments",
    help: "Replace files of these names that were not made by this command.",
  },
} as const satisfies FlagTable;

/** In every starter, to know our own. */
const MARK = "starter made by nnunet link";

export const linkCommand = defineCommand({
  flags: FLAGS,
  details: ["Makes `nnunet` and all nnUNetv2_* commands in DIR. They start the program from where it is now."],
  async run(values, { print }) {
    const windows = Deno.build.os === "windows";
    const folder = resolve(values.folder);
    await ensureFolder(folder, "making the folder for the commands");
    const start = await startOfProgram();
    const upstream = COMMANDS.flatMap(({ upstream, load }) => upstream === undefined ? [] : [{ name: upstream, load }]);
    const names = ["nnunet", ...upstream.map(({ name }) => name)];
    for (const name of names) {
      const path = join(folder, windows ? `${name}.cmd` : name);
      await refuseForeign(path, values.force);
      const command = name === "nnunet" ? start : [...start, name];
      await writeAtomically(path, windows ? cmdStarter(command) : shellStarter(command), {
        doing: "writing a starter",
      });
      if (!windows) await Deno.chmod(path, 0o755);
    }
    const ready = upstream.filter(({ load }) => load).map(({ name }) => name);
    print(
      `${names.length} commands in ${folder}: nnunet, ${ready.join(", ")}, ` +
        `and ${upstream.length - ready.length} names of commands that this version does not have yet (they say so).`,
    );
    if (!(Deno.env.get("PATH") ?? "").split(windows ? ";" : ":").includes(folder)) {
      print(
        `The folder is not in PATH; add it: ${windows ? `set PATH=${folder};%PATH%` : `export PATH="${folder}:$PATH"`}`,
      );
    }
    return true;
  },
});

/** Never overwrites the real nnU-Net's scripts by accident. */
async function refuseForeign(path: string, force: boolean): Promise<void> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (text.includes(MARK) || force) return;
  throw new UserError({
    doing: "making the commands",
    file: path,
    problem: "there is a file of this name that this command did not make (Python's nnU-Net?)",
    remedy: "choose another folder, or add --force to replace it",
  });
}

/**
 * The command line that starts this program, as it was started now. The configuration is named, so that a deno.json in the folder
 * the user happens to be in is not taken.
 */
async function startOfProgram(): Promise<string[]> {
  if (Deno.build.standalone) return [Deno.execPath()];
  const main = fromFileUrl(Deno.mainModule);
  const file = join(dirname(main), "deno.json");
  const isCheckout = await Deno.stat(file).then((info) => info.isFile, () => false);
  const configuration = isCheckout ? ["--frozen", "--config", file] : ["--no-config"];
  const permissions = ["read", "write", "env", "sys"].map((name) => `--allow-${name}`);
  return [Deno.execPath(), "run", "--quiet", "--no-prompt", ...configuration, ...permissions, main];
}

function shellStarter(command: readonly string[]): string {
  const quoted = command.map((word) => (/^[\w./=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`));
  return `#!/bin/sh\n# ${MARK}\nexec ${quoted.join(" ")} "$@"\n`;
}

function cmdStarter(command: readonly string[]): string {
  return `@rem ${MARK}\r\n@${command.map((word) => `"${word.replaceAll("%", "%%")}"`).join(" ")} %*\r\n`;
}
