/** Runs the program as a user does: a process of its own, with the permissions `deno task nnunet` gives it and no more. */
import { fromFileUrl, join } from "../../../core/base/path.ts";

const ROOT = fromFileUrl(new URL("../../../", import.meta.url));
/** The models, images and upstream's results that tests/golden/models/make_models.py makes. */
export const GOLDEN = join(ROOT, "tests/golden/models");

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Script to run: main.ts of this checkout by default. */
  readonly script?: string;
  /** Added to an environment without nnU-Net's variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Deno's flags besides the permissions. */
  readonly flags?: readonly string[];
  /** Bytes (a multiple of 512) that no written file may exceed: a write beyond fails half-way, as on a full disk. Not on Windows. */
  readonly fileLimit?: number;
  /** Files that the process may have open. Not on Windows. */
  readonly openFiles?: number;
  /** When it aborts, the program is killed, without a chance to say anything. */
  readonly killSignal?: AbortSignal;
}

const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];
const NO_VARIABLES = { nnUNet_raw: "", nnUNet_preprocessed: "", nnUNet_results: "", NO_COLOR: "1" };

function command(args: readonly string[], options: CommandOptions): Deno.Command {
  const { script = join(ROOT, "main.ts"), env = {}, flags = ["--frozen"], fileLimit, openFiles } = options;
  const program = ["deno", "run", "--quiet", "--no-prompt", ...flags, ...PERMISSIONS, script, ...args];
  // With the signal ignored, a write beyond the limit gives an error. sh counts in blocks of 512 bytes.
  const limited = ["sh", "-c", `trap '' XFSZ; ulimit -f ${(fileLimit ?? 0) / 512}; exec "$@"`, "sh", ...program];
  const fewFiles = ["sh", "-c", `ulimit -n ${openFiles}; exec "$@"`, "sh", ...program];
  const [executable, ...rest] = openFiles !== undefined ? fewFiles : fileLimit === undefined ? program : limited;
  return new Deno.Command(executable, {
    args: rest,
    env: { ...NO_VARIABLES, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

export async function runCommand(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const child = command(args, options).spawn();
  options.killSignal?.addEventListener("abort", () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  });
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Starts the program, sends it `signal` once `until` has appeared on stdout, and waits for its end. */
export async function interruptCommand(
  args: readonly string[],
  until: string,
  signal: Deno.Signal,
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = command(args, options).spawn();
  let stdout = "";
  let isSent = false;
  const reading = child.stdout.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({
      write(text) {
        stdout += text;
        if (isSent || !stdout.includes(until)) return;
        isSent = true;
        child.kill(signal);
      },
    }),
  );
  const stderr = await new Response(child.stderr).text();
  await reading;
  const { code } = await child.status;
  if (!isSent) throw new Error(`the program ended (${code}) before it printed ${JSON.stringify(until)}: ${stderr}`);
  return { code, stdout, stderr };
}

/** Runs `test` with a fresh folder, removed afterwards. */
export async function inTempFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "nnunet_cli_" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Names in a folder, sorted, hidden ones too; none if it is not there. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Copies a folder with all that is in it. */
export async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(join(from, name), join(to, name));
    else await Deno.copyFile(join(from, name), join(to, name));
  }
}
