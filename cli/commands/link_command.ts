/** The command `link`: small starters under Python nnU-Net's names, so that scripts written for it find the commands they call. */
import { refuseSpecialFile } from "../../core/base/odd_file.ts";
import { readError } from "../../core/base/read_error.ts";
import { UserError } from "../../core/base/errors.ts";
import { ensureFolder, writeAtomically } from "../../core/base/files.ts";
import { join, resolve } from "../../core/base/path.ts";
import type { FlagTable } from "../flags/flag.ts";
import { installedProgram } from "../packaging/installed_program.ts";
import { cmdStarter, shellStarter, STARTER_MARK, type StarterTarget } from "../packaging/starters.ts";
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

export const linkCommand = defineCommand({
  flags: FLAGS,
  examples: [
    { does: "Make the commands in a folder that is in PATH", args: ".local/bin" },
  ],
  details: [
    "Makes `nnunet` and all nnUNetv2_* commands in DIR. A folder that holds both them and the program may be moved; " +
    "otherwise they start the program from where it is now.",
  ],
  async run(values, { print }) {
    const windows = Deno.build.os === "windows";
    const folder = resolve(values.folder);
    await ensureFolder(folder, "making the folder for the commands");
    const target = await thisProgram(await Deno.realPath(folder));
    const upstream = COMMANDS.flatMap(({ upstream }) => upstream ?? []);
    const names = ["nnunet", ...upstream];
    for (const name of names) {
      const path = join(folder, windows ? `${name}.cmd` : name);
      await refuseForeign(path, values.force);
      const command = name === "nnunet" ? undefined : name;
      const text = windows ? cmdStarter(target, command) : shellStarter(target, command);
      await writeAtomically(path, text, { doing: "writing a starter" });
      if (!windows) await Deno.chmod(path, 0o755);
    }
    print(`${names.length} commands in ${folder}: ${names.join(", ")}.`);
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
    refuseSpecialFile(path, "making the commands", "move it away");
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw readError(error, path, "making the commands", "move it away");
  }
  if (text.includes(STARTER_MARK) || force) return;
  throw new UserError({
    doing: "making the commands",
    file: path,
    problem: "there is a file of this name that this command did not make (Python's nnU-Net?)",
    remedy: "choose another folder, or add --force to replace it",
  });
}

/** Where this program is, and how it is run. */
async function thisProgram(folder: string): Promise<StarterTarget> {
  const rememberPlace = true;
  const { kind, file } = await installedProgram();
  if (kind === "executable" || kind === "package") return { main: file, folder, kind: "executable", rememberPlace };
  return { main: file, folder, kind, deno: Deno.execPath(), rememberPlace };
}
