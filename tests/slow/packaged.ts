/** The one file of `deno task package`, made and run by tests. */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert } from "../assert.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));

/** Makes the package in `folder`; gives its path. */
export async function makePackage(folder: string): Promise<string> {
  const made = await new Deno.Command("deno", { args: ["task", "package", folder], cwd: ROOT }).output();
  assert(made.success, new TextDecoder().decode(made.stderr));
  return join(folder, "nnunet");
}

export interface Shell {
  readonly home: string;
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A shell command with `words` as "$@", this home, and a PATH with neither Deno nor Node. */
function shell({ home, cwd, env = {} }: Shell, command: string, words: readonly string[]): Deno.Command {
  return new Deno.Command("sh", {
    args: ["-c", command, "sh", ...words],
    clearEnv: true,
    env: { HOME: home, PATH: "/usr/sbin:/usr/bin:/sbin:/bin", NO_COLOR: "1", ...env },
    cwd,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

export async function sh(place: Shell, command: string, words: readonly string[]) {
  const { code, stdout, stderr } = await shell(place, command, words).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs a program, which is killed (SIGKILL) as soon as `isDue` says so, asked after each piece of stdout and every few milliseconds. */
export async function killed(place: Shell, words: readonly string[], isDue: (stdout: string) => Promise<boolean>) {
  const child = shell(place, 'exec "$@"', words).spawn();
  let stdout = "";
  const reading = child.stdout.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({ write: (text) => void (stdout += text) }),
  );
  const stderr = new Response(child.stderr).text();
  let ended = false;
  child.status.then(() => ended = true);
  while (!ended && !(await isDue(stdout))) await new Promise((resolve) => setTimeout(resolve, 5));
  if (!ended) child.kill("SIGKILL");
  const { code } = await child.status;
  await reading;
  return { code, stdout, stderr: await stderr };
}
