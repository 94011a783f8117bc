/**
 * Executables by Deno's own compiler, for every system: `deno task compile [FOLDER] [--target TARGET]...`. What is compiled is the bundle
 * (bundle.ts): the threads' scripts, WebAssembly modules and the demo's model are inside. Permissions are fixed: no network, no other programs; nnunet-serve beside it may listen.
 * Deno puts the bundle behind its compile runtime (denort) of the target, which it has in its cache, fetches, or is given by DENORT_BIN.
 */
import { UsageError, UserError } from "../../core/base/errors.ts";
import { ensureFolder, writeAll, writeAtomically } from "../../core/base/files.ts";
import { join, resolve } from "../../core/base/path.ts";
import { reportError } from "../exit_code.ts";
import { print } from "../terminal.ts";
import { bundle, SERVICE, STARTERS } from "./bundle.ts";
import { processorOf } from "./package_file.ts";
import { LISTENING, PERMISSIONS } from "./starters.ts";

/** Systems by the names that are asked for and stand in the executables' names, with Deno's. */
export const TARGETS = {
  "linux-x64": "x86_64-unknown-linux-gnu",
  "linux-arm64": "aarch64-unknown-linux-gnu",
  "windows-x64": "x86_64-pc-windows-msvc",
  "macos-x64": "x86_64-apple-darwin",
  "macos-arm64": "aarch64-apple-darwin",
} as const;

export type Target = keyof typeof TARGETS;

const NAMES = Object.keys(TARGETS) as Target[];
const USAGE = `usage: deno task compile [FOLDER] [--target ${NAMES.join(" | ")} | all]...`;
/** A bundle's entry. */
const MAIN = "main.js";

/** Arguments of `deno` that compile the bundle in `folder`, where they are to be run, into the file `output`. */
export async function compileArguments(
  folder: string,
  output: string,
  target?: Target,
  listens = false,
): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
  const included = names.filter((name) => name !== MAIN && !STARTERS.includes(name));
  return [
    "compile",
    "--no-config",
    "--no-lock",
    "--no-remote",
    "--no-npm",
    "--no-prompt",
    ...PERMISSIONS,
    ...(listens ? [LISTENING] : []),
    ...(target === undefined ? [] : ["--target", TARGETS[target]]),
    ...included.flatMap((name) => ["--include", name]),
    "--output",
    resolve(output),
    MAIN,
  ];
}

/**
 * Compiles for each target (undefined: this machine) into `folder`. @returns the executables' names
 * @throws UserError if Deno's compile runtime is not to be had, naming what to provide
 */
export async function compile(
  folder: string,
  targets: readonly (Target | undefined)[],
): Promise<string[]> {
  const given = Deno.env.get("DENORT_BIN");
  if (given && !await Deno.stat(given).then(({ isFile }) => isFile, () => false)) {
    throw compileError("there is no such file", targets[0]);
  }
  if (targets.length > 1 && given) {
    throw new UserError({
      doing: "compiling",
      problem: `DENORT_BIN is one compile runtime, and ${targets.length} targets are asked for`,
      remedy: "compile for one target at a time, or unset it",
    });
  }
  const system = targets[0] === undefined ? Deno.build.target : TARGETS[targets[0]];
  if (given && system.endsWith("linux-gnu")) {
    const processor = await processorOf(given); // Deno looks at the other systems' itself
    if (!system.startsWith(processor)) throw compileError(`it is for ${processor}`, targets[0]);
  }
  await ensureFolder(folder, "making the executables' folder");
  const work = await Deno.makeTempDir({ prefix: "nnunet_compile_" });
  const bundled = join(work, "program");
  const names: string[] = [];
  try {
    await bundle(bundled);
    for (const target of targets) {
      for (const program of ["nnunet", SERVICE]) {
        const name = fileName(program, target);
        await compileOne(bundled, join(work, name), target, program === SERVICE);
        await moveInto(join(work, name), join(folder, name));
        names.push(name);
      }
    }
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  return names;
}

function fileName(program: string, target: Target | undefined): string {
  const windows = target === undefined ? Deno.build.os === "windows" : target === "windows-x64";
  return `${target === undefined ? program : `${program}-${target}`}${windows ? ".exe" : ""}`;
}

async function compileOne(
  program: string,
  file: string,
  target: Target | undefined,
  listens: boolean,
): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command("deno", {
    args: await compileArguments(program, file, target, listens),
    cwd: program,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  const text = decoder.decode(stdout) + decoder.decode(stderr);
  if (!success) throw compileError(text, target);
}

/** Moves a file to what may be another disk, where it has its name when it is whole. */
async function moveInto(from: string, to: string): Promise<void> {
  await writeAtomically(to, async (file) => {
    using source = await Deno.open(from);
    const buffer = new Uint8Array(1 << 20);
    for (let count = await source.read(buffer); count !== null; count = await source.read(buffer)) {
      await writeAll(file, buffer.subarray(0, count));
    }
  }, { doing: "writing the executable", removesLeftovers: true });
  if (Deno.build.os !== "windows") await Deno.chmod(to, 0o755);
  await Deno.remove(from);
}

function compileError(text: string, target: Target | undefined): UserError {
  const triple = target === undefined ? Deno.build.target : TARGETS[target];
  const version = Deno.version.deno;
  const archive = `denort-${triple}.zip`;
  const given = Deno.env.get("DENORT_BIN");
  const place = `DENO_DIR/dl/release/v${version}/${archive} (\`deno info\` names DENO_DIR)`;
  // Of an error and its causes, the one that names what was fetched, or the last.
  const lines = text.replace(/\n+Stack backtrace:[^]*/, "").trim().split("\n").map((line) =>
    line.replace(/^\s*\d+: /, "")
  );
  const cause = lines.findLast((line) => line.startsWith("error sending request")) ?? lines.at(-1);
  return new UserError({
    doing: "compiling",
    file: given,
    problem: `${given ? "deno compile failed with this runtime" : "deno compile failed"}: ${cause}`,
    remedy:
      `provide Deno's compile runtime for ${triple}: fetch https://dl.deno.land/release/v${version}/${archive} on a ` +
      `machine with a network and put it at ${place}, or unpack it and set DENORT_BIN to the denort in it; ` +
      "`deno task package` needs none",
  });
}

/** A target's name, Deno's name of it, or "all". @throws UsageError */
export function readTargets(name: string, usage: string): Target[] {
  const found = NAMES.filter((one) => name === "all" || name === one || name === TARGETS[one]);
  if (found.length === 0) throw new UsageError(`${usage}\nerror: there is no target "${name}"`);
  return found;
}

function readArguments(args: readonly string[]): { folder: string; targets: (Target | undefined)[] } {
  let folder: string | undefined;
  const targets = new Set<Target>();
  for (let i = 0; i < args.length; i++) {
    const equals = /^--target=(.*)$/.exec(args[i]);
    if (args[i] === "--target" || equals) {
      for (const one of readTargets(equals ? equals[1] : args[++i] ?? "", USAGE)) targets.add(one);
    } else if (args[i].startsWith("-") || folder !== undefined) throw new UsageError(USAGE);
    else folder = args[i];
  }
  return { folder: resolve(folder ?? "dist"), targets: targets.size === 0 ? [undefined] : [...targets] };
}

if (import.meta.main) {
  try {
    const { folder, targets } = readArguments(Deno.args);
    for (const name of await compile(folder, targets)) {
      const file = join(folder, name);
      print(`${file}: ${((await Deno.stat(file)).size / 1e6).toFixed(0)} MB`);
    }
  } catch (error) {
    Deno.exit(reportError(error, Deno.args));
  }
}
