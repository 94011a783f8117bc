/**
 * Completion scripts for bash, zsh and fish. They hold all commands, flags and fixed values, so that a completion starts no program;
 * where none of these fits, the shell's file names are offered.
 */
import type { CompletedCommand, CompletedFlag } from "./completed_command.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = typeof SHELLS[number];

/** The script of a shell; ends in a line feed. */
export function completionScript(shell: Shell, commands: readonly CompletedCommand[]): string {
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](commands);
}

function bashScript(commands: readonly CompletedCommand[]): string {
  return `# bash completion of nnunet, made by "nnunet completion bash".
_nnunet() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" name="\${COMP_WORDS[0]##*/}" first=1 end=$COMP_CWORD i
  local flag= behind=0 takes=nothing flags= values= positionals= loose=
  COMPREPLY=()
  # bash takes --flag=value for three words.
  if [[ $cur == = ]]; then cur=
  elif [[ $COMP_CWORD -gt 1 && \${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then end=$((COMP_CWORD - 1))
  fi
  if [[ $name != nnUNetv2_* ]]; then
    name="\${COMP_WORDS[1]}" first=2
    if [[ $COMP_CWORD -eq 1 || ( $COMP_CWORD -eq 2 && $name == help ) ]]; then
      COMPREPLY=($(compgen -W '${commandNames(commands)}' -- "$cur"))
      return
    fi
  fi
  for ((i = first; i < end; i++)); do
    if [[ \${COMP_WORDS[i]} == -[a-zA-Z-]* ]]; then flag="\${COMP_WORDS[i]}" behind=0
    else behind=$((behind + 1))
    fi
  done
${caseTable(commands)}
${CHOICE}
  if [[ $values != '' ]]; then COMPREPLY=($(compgen -W "$values" -- "$cur")); fi
}
complete -o bashdefault -o default -F _nnunet ${programNames(commands)}
`;
}

function zshScript(commands: readonly CompletedCommand[]): string {
  return `#compdef ${programNames(commands)}
# zsh completion of nnunet, made by "nnunet completion zsh".
_nnunet() {
  emulate -L zsh
  local cur="$words[CURRENT]" name="\${words[1]##*/}" first=2 i
  local flag= behind=0 takes=nothing flags= values= positionals= loose=
  if [[ $name != nnUNetv2_* ]]; then
    name="$words[2]" first=3
    if [[ $CURRENT -eq 2 || ( $CURRENT -eq 3 && $name == help ) ]]; then
      compadd -- ${commandNames(commands)}
      return
    fi
  fi
  for ((i = first; i < CURRENT; i++)); do
    if [[ "$words[i]" == -[a-zA-Z-]* ]]; then flag="$words[i]" behind=0
    else behind=$((behind + 1))
    fi
  done
  if [[ "$cur" == -*=* ]]; then
    flag="\${cur%%=*}" behind=0 cur=
    compset -P '*='
  fi
${caseTable(commands)}
${CHOICE}
  if [[ $values != '' ]]; then compadd -- \${=values}; else _files; fi
}
if [[ $funcstack[1] == _nnunet ]]; then _nnunet "$@"; else compdef _nnunet ${programNames(commands)}; fi
`;
}

/** Which values fit where the cursor is; the same words in bash and zsh. */
const CHOICE = `  if [[ ( $takes == one && $behind -eq 0 ) || ( $takes == many && $cur != -* ) ]]; then :
  elif [[ $cur == -* || $positionals == '' ]]; then values="$flags"
  else values="$loose"
  fi`;

/** A `case` over $name that sets what a command takes, and what $flag does; the same words in bash and zsh. */
function caseTable(commands: readonly CompletedCommand[]): string {
  const lines = ["  case $name in"];
  for (const { name, upstream, flags, positionals, choices } of commands) {
    lines.push(`    ${upstream === undefined ? name : `${name}|${upstream}`})`);
    lines.push(`      flags='${flags.map(({ names }) => names[0]).join(" ")}'`);
    if (positionals) lines.push(`      positionals=yes loose='${choices.join(" ")}'`);
    lines.push("      case $flag in", ...flags.flatMap(flagCase), "      esac", "      ;;");
  }
  return [...lines, "  esac"].join("\n");
}

function flagCase({ names, takes, choices }: CompletedFlag): string[] {
  if (takes === "nothing") return [];
  return [`        ${names.join("|")}) takes=${takes}${choices.length > 0 ? ` values='${choices.join(" ")}'` : ""} ;;`];
}

function fishScript(commands: readonly CompletedCommand[]): string {
  const lines = [
    '# fish completion of nnunet, made by "nnunet completion fish".',
    "function __nnunet_runs",
    "    set -l given (commandline -opc)",
    '    test (count $given) -gt 1; and test "$given[2]" = $argv[1]',
    "end",
    "function __nnunet_wants_command",
    "    set -l given (commandline -opc)",
    '    test (count $given) -eq 1; or test "$given[2..]" = help',
    "end",
  ];
  for (const { name, summary } of commands) {
    lines.push(`complete -c nnunet -n __nnunet_wants_command -f -a ${name} -d ${fishQuoted(summary)}`);
  }
  for (const command of commands) {
    lines.push(...fishCommand(command, `complete -c nnunet -n '__nnunet_runs ${command.name}'`));
    if (command.upstream !== undefined) lines.push(...fishCommand(command, `complete -c ${command.upstream}`));
  }
  return `${lines.join("\n")}\n`;
}

function fishCommand({ flags, choices }: CompletedCommand, complete: string): string[] {
  const lines = flags.map(({ names: [name], help, takes, choices }) => {
    const kind = name.startsWith("--") ? "-l" : "-o";
    const value = takes === "nothing" ? "" : choices.length === 0 ? " -r -F" : ` -x -a '${choices.join(" ")}'`;
    return `${complete} ${kind} ${name.replace(/^-+/, "")}${value} -d ${fishQuoted(help)}`;
  });
  return choices.length > 0 ? [...lines, `${complete} -f -a '${choices.join(" ")}'`] : lines;
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function commandNames(commands: readonly CompletedCommand[]): string {
  return [...commands.map(({ name }) => name), "help"].join(" ");
}

/** All names that the program is started under. */
function programNames(commands: readonly CompletedCommand[]): string {
  return ["nnunet", ...commands.flatMap(({ upstream }) => upstream ?? [])].join(" ");
}
