/**
 * Fuzzing of the readers: mutated files are read by a process, whose time and memory this one watches. What was found
 * once lies in tests/fuzz/corpus and is read in every run.
 *
 *     deno task fuzz [--seconds N] [--mutations N] [--seed S] [--only NAME,NAME] [--keep]
 *
 * A failure is an error that is none for the user, one without file or remedy, more than 10 s, or more than 1 GiB of memory (the seeds
 * are of a few KB). `--keep` puts failures into the corpus.
 */
import { deflateSync, inflateSync } from "node:zlib";
import { describeBytes } from "../../core/base/describe_bytes.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { fromLine, type FuzzJob, type FuzzLimits, type FuzzReply, toLine } from "./fuzz_process.ts";
import type { Files } from "./mutate_files.ts";
import { TARGETS } from "./targets.ts";

export interface FuzzOptions {
  readonly seed: number;
  readonly first?: number;
  /** How many mutations of this target at most. */
  readonly mutations: number;
  readonly seconds: number;
  /** Instead of mutations. */
  readonly inputs?: readonly Files[];
  readonly limits?: FuzzLimits;
}

export interface Failure {
  readonly target: string;
  readonly seed: number;
  readonly number: number;
  readonly problem: string;
  /** Undefined where the process had to be ended. */
  readonly files?: Files;
}

export interface FuzzResult {
  readonly count: number;
  /** Of them, those with a part that was refused. */
  readonly refused: number;
  readonly failures: readonly Failure[];
}

const WATCH_MILLISECONDS = 50;
/** What the process has on its heap before it reads anything, and some room. */
const HEAP_MIB = 128;
const LIMITS: FuzzLimits = { milliseconds: 10_000, bytes: 2 ** 30 };

/** Reads mutations of one target until number or time are used up. A process that hangs is ended, and another goes on behind it. */
export async function fuzzTarget(target: string, options: FuzzOptions): Promise<FuzzResult> {
  const { seed, inputs, first = 0, limits = LIMITS } = options;
  const last = inputs ? inputs.length - 1 : first + options.mutations - 1;
  const failures: Failure[] = [];
  let [count, refused, next, seconds] = [0, 0, first, options.seconds];
  while (next <= last && seconds > 0) {
    const folder = await Deno.makeTempDir();
    const range = { first: next, last, seconds };
    const job: FuzzJob = { target, seed, ...range, inputs, limits, folder: join(folder, "in"), at: join(folder, "at") };
    try {
      const ended = await runWatched(job, (number, problem, files) => {
        failures.push({ target, seed, number, problem, files });
      });
      count += ended.count;
      refused += ended.refused;
      next = ended.next;
      seconds -= ended.seconds;
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  return { count, refused, failures };
}

type OnFailure = (number: number, problem: string, files?: Files) => void;

interface Ended {
  readonly count: number;
  readonly refused: number;
  /** Number to go on at. */
  readonly next: number;
  readonly seconds: number;
}

/** The number that a job is at, and when it began with it. */
interface Watch {
  number: number;
  since: number;
  started: number;
}

/** Runs a job to its end, or until it hangs or grows. */
async function runWatched(job: FuzzJob, onFailure: OnFailure): Promise<Ended> {
  await Deno.writeFile(job.at, new Uint8Array(Int32Array.of(-1).buffer));
  const script = fromFileUrl(new URL("./fuzz_process.ts", import.meta.url));
  const permissions = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];
  // Arrays outside the heap are counted by the process itself.
  const heap = `--v8-flags=--max-old-space-size=${Math.ceil(job.limits.bytes / 2 ** 20) + HEAP_MIB}`;
  await using child = new Deno.Command("deno", {
    args: ["run", "--quiet", "--no-check", "--frozen", "--cached-only", heap, ...permissions, script],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const now = performance.now();
  const watch: Watch = { number: -1, since: now, started: now };
  let hangs = false;
  const timer = setInterval(() => {
    hangs ||= isHanging(job, watch);
    if (hangs) child.kill("SIGKILL");
  }, WATCH_MILLISECONDS);
  try {
    const errors = new Response(child.stderr).text();
    const sent = new Response(toLine(job)).body?.pipeTo(child.stdin).catch(() => {});
    let done: FuzzReply | undefined;
    for await (const line of linesOf(child.stdout)) {
      const reply = fromLine(line) as FuzzReply;
      if (reply.kind === "done") done = reply;
      else onFailure(reply.number, reply.problem, reply.files);
    }
    await Promise.all([sent, child.status]);
    const seconds = (performance.now() - watch.started) / 1000;
    if (done?.kind === "done") return { count: done.count, refused: done.refused, next: Infinity, seconds };
    // What it was at, if it ended by itself faster than it is watched.
    look(job, watch);
    const said = await errors;
    const problem = hangs
      ? `it took more than ${job.limits.milliseconds / 1000} s`
      : /heap limit|out of memory/i.test(said)
      ? `memory grew by more than ${describeBytes(job.limits.bytes)}`
      : `the process ended: ${said.slice(-500)}`;
    if (watch.number < 0) throw new Error(`fuzzing ${job.target}: ${problem}`);
    onFailure(watch.number, problem, job.inputs?.[watch.number]);
    return { count: watch.number - job.first + 1, refused: 0, next: watch.number + 1, seconds };
  } finally {
    clearInterval(timer);
  }
}

/** Notes which number a job is at. */
function look({ at }: FuzzJob, watch: Watch): void {
  const number = new Int32Array(Deno.readFileSync(at).buffer)[0];
  const now = performance.now();
  if (watch.number < 0) watch.started = now; // still loading
  if (number !== watch.number) Object.assign(watch, { number, since: now });
}

function isHanging(job: FuzzJob, watch: Watch): boolean {
  look(job, watch);
  return watch.number >= 0 && performance.now() - watch.since > job.limits.milliseconds;
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

const CORPUS = new URL("./corpus/", import.meta.url);

/** What was found in a target before: names and inputs. */
export function readCorpus(target: string): readonly { readonly name: string; readonly files: Files }[] {
  return Array.from(Deno.readDirSync(CORPUS))
    .filter(({ name }) => name.startsWith(`${target}-`) && name.endsWith(".json"))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name }) => {
      const { files } = JSON.parse(Deno.readTextFileSync(new URL(name, CORPUS)));
      const unpacked = Object.entries(files).map(([file, packed]) => {
        return [file, new Uint8Array(inflateSync(Uint8Array.fromBase64(String(packed))))] as const;
      });
      return { name, files: Object.fromEntries(unpacked) };
    });
}

function keep({ target, seed, number, problem, files }: Failure): void {
  if (!files) return;
  const packed = Object.entries(files).map(([name, bytes]) => [name, new Uint8Array(deflateSync(bytes)).toBase64()]);
  const [found] = problem.split("\n");
  const content = JSON.stringify({ found, files: Object.fromEntries(packed) }, undefined, 2);
  Deno.writeTextFileSync(new URL(`${target}-${seed}-${number}.json`, CORPUS), `${content}\n`);
}

/** What failures have in common: the message without numbers, paths and names, and where it was thrown. */
function kindOf(problem: string): string {
  const [message, ...stack] = problem.split("\n");
  const place = stack.find((line) => /\/(core|cli)\//.test(line)) ?? "";
  return message.replace(/\(\/[^)]*\)/, "").replaceAll(/[0-9]+/g, "0").slice(0, 80) + place;
}

if (import.meta.main) {
  const flag = (name: string) => {
    const at = Deno.args.indexOf(`--${name}`);
    return at < 0 ? undefined : Deno.args[at + 1];
  };
  const only = flag("only")?.split(",");
  const targets = TARGETS.filter(({ name }) => !only || only.includes(name));
  const seed = Number(flag("seed") ?? Date.now() % 1e6);
  // A number that JSON has: Infinity would reach the process as null, which reads one mutation.
  const mutations = Math.ceil(Number(flag("mutations") ?? 2 ** 31 - 1) / targets.length);
  const seconds = Number(flag("seconds") ?? (flag("mutations") ? 86400 : 60)) / targets.length;
  const first = Number(flag("first") ?? 0);
  const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
  let [count, refused, failed] = [0, 0, 0];
  for (const { name } of targets) {
    const start = performance.now();
    const result = await fuzzTarget(name, { seed, first, mutations, seconds });
    const time = ((performance.now() - start) / 1000).toFixed(1);
    say(`${name}: ${result.count} mutations, ${result.refused} refused, ${result.failures.length} failures, ${time} s`);
    const seen = new Set<string>();
    for (const failure of result.failures) {
      const kind = kindOf(failure.problem);
      if (seen.has(kind)) continue;
      seen.add(kind);
      say(`  --seed ${seed} --only ${name} --first ${failure.number}: ${failure.problem}`);
      if (Deno.args.includes("--keep")) keep(failure);
    }
    count += result.count;
    refused += result.refused;
    failed += result.failures.length;
  }
  say(`seed ${seed}: ${count} mutations, ${refused} refused, ${failed} failures`);
  if (failed > 0) Deno.exit(1);
}
