/** The command `completion`: a script that makes a shell complete this program's command lines. */
import { completedCommands } from "../completion/completed_command.ts";
import { completionScript, SHELLS } from "../completion/scripts.ts";
import type { FlagTable } from "../flags/flag.ts";
import { defineCommand } from "./command.ts";

const FLAGS = {
  shell: {
    kind: "choice",
    names: ["SHELL"],
    value: "SHELL",
    choices: SHELLS,
    required: true,
    group: "Arguments",
    help: "The shell.",
  },
} as const satisfies FlagTable;

export const completionCommand = defineCommand({
  flags: FLAGS,
  details: [
    "Prints a script that the shell reads: commands, flags and their fixed values are completed, and file names elsewhere, after `nnunet` " +
    "and after the commands that `nnunet link DIR` makes. bash: put it into ~/.local/share/bash-completion/completions/nnunet, or " +
    "source it; zsh: as _nnunet into a folder of $fpath; fish: ~/.config/fish/completions/nnunet.fish.",
  ],
  examples: [
    { does: "The script; `source <(nnunet completion bash)` in ~/.bashrc reads it at once", args: "bash" },
  ],
  async run({ shell }, { print }) {
    print(completionScript(shell, await completedCommands()));
    return true;
  },
});
