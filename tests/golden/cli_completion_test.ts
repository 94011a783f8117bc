/** The scripts of `nnunet completion`, run by the shells themselves: bash, and zsh and fish where they are installed. */
import { completedCommands } from "../../cli/completion/completed_command.ts";
import { completionScript, type Shell, SHELLS } from "../../cli/completion/scripts.ts";
import { COMMANDS } from "../../cli/commands/commands.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, runCommand } from "./cli/run_command.ts";

const HELPERS = fromFileUrl(new URL("./cli/", import.meta.url));
const PREDICTS = ["predict", "predict_from_modelfolder"];
const EVALUATE = "nnunet evaluate_simple truth predictions -l 1 2";

/** What stands before the cursor, and what is offered, sorted. */
const LINES: readonly (readonly [line: string, offered: readonly string[]])[] = [
  ["nnunet predict", PREDICTS],
  ["nnunet help pred", PREDICTS],
  ["./bin/nnunet pred", PREDICTS],
  ["nnunet predict -device ", ["auto", "cpu", "cuda", "gpu", "mps"]],
  ["nnunet predict -i a -device c", ["cpu", "cuda"]],
  ["nnUNetv2_predict -device c", ["cpu", "cuda"]],
  ["nnunet predict --precision=f", ["f16", "f32"]],
  ["nnunet predict --max", ["--max-memory"]],
  ["nnunet predict -i a -d", ["-d", "-device"]],
  ["nnunet predict -f 0 1 --cont", ["--continue_prediction"]],
  ["nnunet train 4 3d_fullres 0 --val", ["--val", "--val_best"]],
  [`${EVALUATE} --min`, ["--min-dice"]],
  ["nnunet completion ", ["bash", "fish", "zsh"]],
  ["nnunet completion --", ["--help"]],
  ["nnunet preprocess -d 4 --format n", ["npy", "npz"]],
];

/** Command lines that end in a file's name begun. */
const FILE_LINES = [
  "nnunet predict -i ",
  "nnunet evaluate_folder ",
  "nnUNetv2_train 4 3d_fullres 0 -pretrained_weights ",
];

/** Runs a shell; its stdout. */
async function sh(args: readonly string[]): Promise<string> {
  const shell = new Deno.Command("sh", { args: ["-c", 'exec "$@"', "sh", ...args], stdin: "null" });
  const { code, stdout, stderr } = await shell.output();
  assertEquals(code, 0, `${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

async function isInstalled(shell: Shell): Promise<boolean> {
  if (Deno.build.os === "windows") return false;
  const { code } = await new Deno.Command("sh", { args: ["-c", `command -v ${shell}`], stdout: "null" }).output();
  return code === 0;
}

const COMPLETE: Readonly<Record<Shell, (script: string, line: string, folder: string) => Promise<string>>> = {
  bash(script, line) {
    const words = line.replace("=", " = ").split(" ");
    return sh(["bash", "--norc", join(HELPERS, "complete.bash"), script, ...words]);
  },
  async zsh(script, line, folder) {
    const out = await Deno.makeTempFile({ dir: folder });
    await sh(["zsh", "-f", join(HELPERS, "complete.zsh"), script, line, out]);
    return await Deno.readTextFile(out);
  },
  fish: (script, line) => sh(["fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, line]),
};

/** What a shell offers behind a line, sorted; without fish's descriptions. */
async function offered(shell: Shell, script: string, line: string, folder: string): Promise<string[]> {
  const text = await COMPLETE[shell](script, line, folder);
  const words = text.split("\n").map((one) => one.split("\t")[0].replace(/^--precision=/, ""));
  return words.filter((word) => word !== "").sort();
}

for (const shell of SHELLS) {
  Deno.test({
    name: `${shell} completes commands, flags and fixed values by the script of nnunet completion`,
    ignore: !await isInstalled(shell),
    fn: () =>
      inTempFolder(async (folder) => {
        const script = join(folder, `nnunet.${shell}`);
        await Deno.writeTextFile(script, completionScript(shell, await completedCommands()));
        for (const [line, expected] of LINES) {
          assertEquals(await offered(shell, script, line, folder), expected, `${shell}: ${line}`);
        }
        await Deno.writeTextFile(join(folder, "images_a"), "");
        for (const line of FILE_LINES) {
          const files = await offered(shell, script, `${line}${folder}/imag`, folder);
          const [file] = files;
          assert(files.length === 1 && (file === "files" || file.endsWith("images_a")), `${shell}: ${line}: ${files}`);
        }
      }),
  });
}

Deno.test("nnunet completion prints the script, with every command of this version and no other", async () => {
  const { code, stdout, stderr } = await runCommand(["completion", "bash"]);
  assertEquals([code, stderr], [0, ""]);
  for (const { name, upstream, load } of COMMANDS) {
    const listed = stdout.includes(`\n    ${upstream === undefined ? name : `${name}|${upstream}`})\n`);
    assertEquals(listed, load !== undefined, name);
  }
  assertEquals((await runCommand(["completion", "tcsh"])).code, 2);
});
