/**
 * Starters: small scripts that start the program under a name, for sh and for Windows' cmd. A starter finds the program from its own
 * place first, so that a folder that holds both may be moved, then at the place where it was when the starter was made. It takes the
 * Deno that made it or, where that is gone (npx keeps it in a cache), the one in PATH, or npx. Deno's look for a newer version of
 * itself is off.
 */
import { basename, dirname, join, relative } from "../../core/base/path.ts";

/** Every starter holds it, to be told from files of others. */
export const STARTER_MARK = "starter made by nnunet";

/** What starts the program. */
export interface StarterTarget {
  /** The program: main.ts of a checkout, main.js of a bundle, or a compiled executable. */
  readonly main: string;
  /** The folder the starter will be in. */
  readonly folder: string;
  /** How `main` is run; "executable" needs no Deno. */
  readonly kind: "checkout" | "bundle" | "executable";
  /** The Deno to take where it is there; undefined: the one in PATH. */
  readonly deno?: string;
  /** False: the program is only looked for beside the starter. */
  readonly rememberPlace: boolean;
  /** True: it starts the service, which may listen. */
  readonly listens?: true;
}

/** What the program may do, fixed in whatever starts it: nothing beyond, no network above all. */
export const PERMISSIONS = ["read", "write", "env", "sys"].map((name) => `--allow-${name}`);

/**
 * What the service may do beyond: listen on this machine's addresses, and reach nothing but this machine. It gives that away as soon as
 * it listens. launcher/launcher.c says the same.
 */
export const LISTENING = "--allow-net=127.0.0.1,localhost,0.0.0.0,[::1],[::]";

/** Arguments of Deno that run `main`, which is in the folder `root`. The configuration of the folder the user is in is not taken. */
export function runArguments(kind: "checkout" | "bundle", root: string, listens = false): string[] {
  const configuration = kind === "checkout" ? ["--frozen", "--config", join(root, "deno.json")] : ["--no-config"];
  const permissions = listens ? [...PERMISSIONS, LISTENING] : PERMISSIONS;
  return ["run", "--quiet", "--no-prompt", ...configuration, ...permissions];
}

/** @param command The command to start; undefined: the program itself */
export function shellStarter(target: StarterTarget, command?: string): string {
  const file = basename(target.main);
  const places = placesOf(target);
  const words = command === undefined ? [] : [command];
  const lines = [
    "#!/bin/sh",
    `# ${STARTER_MARK}`,
    "self=$0",
    'while [ -L "$self" ]; do',
    '  link=$(readlink "$self")',
    '  case $link in /*) self=$link ;; *) self=$(dirname "$self")/$link ;; esac',
    "done",
    `root=$(cd "$(dirname "$self")" && pwd -P)/${quote(places.fromStarter)}`,
    ...(places.absolute === undefined ? [] : [`[ -f "$root"/${quote(file)} ] || root=${quote(places.absolute)}`]),
    `if [ ! -f "$root"/${quote(file)} ]; then`,
    `  echo "error: the program is not in $root any more: make this starter again, with its link command." >&2`,
    "  exit 1",
    "fi",
    "DENO_NO_UPDATE_CHECK=1",
    "export DENO_NO_UPDATE_CHECK",
  ];
  if (target.kind === "executable") {
    return [...lines, `exec "$root"/${quote(file)} ${[...words, '"$@"'].join(" ")}`, ""].join("\n");
  }
  const args = runArguments(target.kind, "ROOT", target.listens).map((word) =>
    word === join("ROOT", "deno.json") ? '"$root"/deno.json' : quote(word)
  );
  lines.push(`set -- ${[...args, `"$root"/${quote(file)}`, ...words, '"$@"'].join(" ")}`);
  if (target.deno !== undefined) {
    const deno = quote(target.deno);
    lines.push(`if [ -x ${deno} ]; then exec ${deno} "$@"; fi`);
  }
  lines.push(
    'if command -v deno >/dev/null 2>&1; then exec deno "$@"; fi',
    `if command -v npx >/dev/null 2>&1; then exec npx -y deno@${Deno.version.deno} "$@"; fi`,
    'echo "error: there is no deno in PATH, and no npx; install Deno 2.9 (https://deno.com)." >&2',
    "exit 1",
  );
  return lines.join("\n") + "\n";
}

/** The same for cmd. */
export function cmdStarter(target: StarterTarget, command?: string): string {
  const file = basename(target.main);
  const places = placesOf(target);
  const lines = [
    `@rem ${STARTER_MARK}`,
    "@setlocal",
    "@set DENO_NO_UPDATE_CHECK=1",
    `@set "root=%~dp0${escapeCmd(places.fromStarter)}"`,
  ];
  if (places.absolute !== undefined) {
    lines.push(`@if not exist "%root%\\${escapeCmd(file)}" set "root=${escapeCmd(places.absolute)}"`);
  }
  const words = command === undefined ? [] : [command];
  if (target.kind === "executable") {
    return [...lines, `@"%root%\\${escapeCmd(file)}" ${[...words, "%*"].join(" ")}`, ""].join("\r\n");
  }
  lines.push('@set "deno=deno"');
  if (target.deno !== undefined) {
    lines.push(`@if exist "${escapeCmd(target.deno)}" set "deno=${escapeCmd(target.deno)}"`);
  }
  const args = runArguments(target.kind, "ROOT", target.listens).map((word) =>
    word === join("ROOT", "deno.json") ? '"%root%\\deno.json"' : word.includes(",") ? `"${word}"` : word
  );
  lines.push(`@"%deno%" ${[...args, `"%root%\\${escapeCmd(file)}"`, ...words, "%*"].join(" ")}`);
  return [...lines, ""].join("\r\n");
}

/** The program's folder as seen from the starter's, and its absolute place. */
function placesOf({ main, folder, rememberPlace }: StarterTarget) {
  const root = dirname(main);
  return { fromStarter: relative(folder, root) || ".", absolute: rememberPlace ? root : undefined };
}

function quote(word: string): string {
  return /^[\w./=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function escapeCmd(word: string): string {
  return word.replaceAll("%", "%%");
}
