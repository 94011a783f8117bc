/** The service as a process of its own, with the permissions that `deno task serve` gives it, and what a client does with it. */
import { fromFileUrl, join } from "../../../core/base/path.ts";
import { LISTENING } from "../../../cli/packaging/starters.ts";
import { assert, assertEquals } from "../../assert.ts";
import { copyFolder, GOLDEN } from "./run_command.ts";

const ROOT = fromFileUrl(new URL("../../../", import.meta.url));
const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];

export interface Served extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** All of it so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Sends a signal, and waits for the end. */
  end(signal: Deno.Signal): Promise<{ readonly code: number; readonly seconds: number }>;
}

/** Starts the service on a port that is free. @param args Without --port */
export async function serve(args: readonly string[]): Promise<Served> {
  const begun = start(args);
  const url = await begun.listening;
  if (url === undefined) throw new Error(`the service ended: ${begun.stderr()}`);
  return { ...begun, url };
}

/** The exit code and words of a service that does not begin to listen. */
export async function failToServe(
  args: readonly string[],
  permissions: readonly string[] = [LISTENING],
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  await using begun = start(args, permissions);
  assertEquals(await begun.listening, undefined, begun.stdout());
  const { code } = await begun.ended;
  return { code, stdout: begun.stdout(), stderr: begun.stderr() };
}

function start(args: readonly string[], permissions: readonly string[] = [LISTENING]) {
  const port = args.includes("--port") ? [] : ["--port", "0"];
  const child = new Deno.Command("deno", {
    args: [
      ...["run", "--quiet", "--no-prompt", "--frozen", ...PERMISSIONS, ...permissions, join(ROOT, "main.ts"), "serve"],
      ...args,
      ...port,
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let [stdout, stderr] = ["", ""];
  const listening = Promise.withResolvers<string | undefined>();
  const reading = child.stdout.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({
      write(text) {
        stdout += text;
        const [, url] = /(?:^listening on |"event":"listening","url":")(https?:\/\/[^"\s]+)/.exec(stdout) ?? [];
        if (url !== undefined) listening.resolve(url);
      },
    }),
  );
  const errors = child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({ write: (text) => void (stderr += text) }),
  );
  const ended = child.status.then(async (status) => {
    await reading;
    await errors;
    listening.resolve(undefined);
    return status;
  });
  let isOver = false;
  ended.then(() => isOver = true);
  return {
    pid: child.pid,
    listening: listening.promise,
    ended,
    stdout: () => stdout,
    stderr: () => stderr,
    async end(signal: Deno.Signal) {
      const begun = performance.now();
      child.kill(signal);
      const { code } = await ended;
      return { code, seconds: (performance.now() - begun) / 1000 };
    },
    async [Symbol.asyncDispose]() {
      if (!isOver) child.kill("SIGKILL");
      await ended;
    },
  };
}

// deno-lint-ignore no-explicit-any -- what a client reads of JSON, asserted on
export type Json = any;

/** Sends images to a model. @param fields Further fields of the form */
export async function send(
  url: string,
  files: readonly string[],
  fields: Readonly<Record<string, string>> = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly body: Json }> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  for (const path of files) {
    form.append("image", new File([await Deno.readFile(path)], path.slice(path.lastIndexOf("/") + 1)));
  }
  return await ask(`${url}/jobs`, { method: "POST", body: form, headers });
}

/** A question whose answer is JSON. */
export async function ask(
  url: string,
  init: RequestInit = {},
): Promise<{ readonly status: number; readonly body: Json; readonly headers: Headers }> {
  const response = await fetch(url, init);
  const text = await response.text();
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text), headers: response.headers };
}

/** Waits until a job has ended. */
export async function ended(url: string, id: string, headers: Readonly<Record<string, string>> = {}): Promise<Json> {
  for (let wait = 10;; wait = Math.min(200, wait * 2)) {
    const { status, body } = await ask(`${url}/jobs/${id}`, { headers });
    assertEquals(status, 200, JSON.stringify(body));
    if (!["queued", "running"].includes(body.state)) return body;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Waits until a job has begun, and as far as the network. Fails if it has ended by then. */
export async function atWork(url: string, id: string): Promise<void> {
  for (;;) {
    const { body } = await ask(`${url}/jobs/${id}`);
    if (body.progress !== undefined) return;
    assert(
      ["queued", "running"].includes(body.state),
      `it has ended before it was seen at work: ${JSON.stringify(body)}`,
    );
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Sends images, and gives the job when it has ended. */
export async function segmented(
  url: string,
  files: readonly string[],
  fields: Readonly<Record<string, string>> = {},
): Promise<Json> {
  const { status, body } = await send(url, files, fields);
  assert(status === 202, JSON.stringify(body));
  return await ended(url, body.id);
}

/** Two models as a cascade, with images of the second one's. */
export async function putCascade(folder: string) {
  const [first, second] = ["first", "second"].map((name) => join(folder, name));
  await copyFolder(modelFolder("no_mirroring"), first);
  await copyFolder(modelFolder("cascade"), second);
  // Which configuration a model is of is in its checkpoint, and the golden models' first stage has none.
  await rewriteJson(join(first, "plans.json"), (plans) => plans.dataset_name = "Dataset809_cascade");
  await rewriteJson(join(second, "plans.json"), (plans) => {
    plans.configurations["3d_cascade_fullres"].previous_stage = "3d_fullres";
  });
  return { first, second, images: join(GOLDEN, "images", "cascade") };
}

async function rewriteJson(file: string, change: (json: Json) => void): Promise<void> {
  const json = JSON.parse(await Deno.readTextFile(file));
  change(json);
  await Deno.writeTextFile(file, JSON.stringify(json));
}

export async function resultOf(url: string, id: string, part = "segmentation"): Promise<Uint8Array> {
  const response = await fetch(`${url}/jobs/${id}/result?part=${part}`);
  assertEquals(response.status, 200);
  return await response.bytes();
}

export function modelFolder(name: string): string {
  return join(GOLDEN, "models", name);
}

/** The files of a case of a model's, in channel order. */
export function imagesOf(name: string, id: string, channels: number): string[] {
  return Array.from({ length: channels }, (_, i) => join(GOLDEN, "images", name, `${id}_000${i}.nii.gz`));
}
