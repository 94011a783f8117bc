/**
 * Fuzzing of the readers: mutated files are read by a thread, and this one watches its time and the memory of the process. What was found
 * once lies in tests/fuzz/corpus and is read in every run.
 *
 *     deno task fuzz [--seconds N] [--mutations N] [--seed S] [--only NAME,NAME] [--keep]
 *
 * A failure is an error that is none for the user, one without file or remedy, more than 10 s, or more than 1 GiB of memory (the seeds
 * are of a few KB). `--keep` puts failures into the corpus.
 */
import { deflateSync, inflateSync } from "node:zlib";
import { describeBytes } from "../../core/base/describe_bytes.ts";
import { join } from "../../core/base/path.ts";
import type { FuzzJob, FuzzLimits, FuzzReply } from "./fuzz_worker.ts";
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
  /** Undefined where the thread had to be ended. */
  readonly files?: Files;
}

export interface FuzzResult {
  readonly count: number;
  /** Of them, those with a part that was refused. */
  readonly refused: number;
  readonly failures: readonly Failure[];
}

const WATCH_MILLISECONDS = 50;
const LIMITS: FuzzLimits = { milliseconds: 10_000, bytes: 2 ** 30 };

/** Reads mutations of one target until number or time are used up. A thread that hangs is ended, and another goes on behind it. */
export async function fuzzTarget(target: string, options: FuzzOptions): Promise<FuzzResult> {
  const { seed, inputs, first = 0, limits = LIMITS } = options;
  const last = inputs ? inputs.length - 1 : first + options.mutations - 1;
  const failures: Failure[] = [];
  let [count, refused, next, seconds] = [0, 0, first, options.seconds];
  while (next <= last && seconds > 0) {
    const folder = await Deno.makeTempDir();
    const shared = new SharedArrayBuffer(4);
    const range = { first: next, last, seconds };
    const job: FuzzJob = { target, seed, ...range, inputs, limits, folder: join(folder, "in"), shared };
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

/** Runs a job to its end, or until it hangs or grows. */
function runWatched(job: FuzzJob, onFailure: OnFailure): Promise<Ended> {
  const worker = new Worker(new URL("./fuzz_worker.ts", import.meta.url), { type: "module" });
  const at = new Int32Array(job.shared);
  Atomics.store(at, 0, -1);
  return new Promise((resolve, reject) => {
    let [number, since, base] = [-1, performance.now(), Deno.memoryUsage().rss];
    let started = since;
    const seconds = () => (performance.now() - started) / 1000;
    const end = () => {
      clearInterval(timer);
      worker.terminate();
    };
    const stop = (problem: string) => {
      end();
      onFailure(number, problem, job.inputs?.[number]);
      resolve({ count: number - job.first + 1, refused: 0, next: number + 1, seconds: seconds() });
    };
    const timer = setInterval(() => {
      const [current, rss] = [Atomics.load(at, 0), Deno.memoryUsage().rss];
      if (number < 0) started = performance.now();
      if (current !== number) [number, since, base] = [current, performance.now(), rss];
      if (number < 0) return; // still loading
      const { milliseconds, bytes } = job.limits;
      if (performance.now() - since > milliseconds) stop(`it took more than ${milliseconds / 1000} s`);
      else if (rss - base > bytes) stop(`memory grew by ${describeBytes(rss - base)}`);
    }, WATCH_MILLISECONDS);
    worker.onmessage = ({ data }: MessageEvent<FuzzReply>) => {
      if (data.kind === "failure") return onFailure(data.number, data.problem, data.files);
      end();
      resolve({ count: data.count, refused: data.refused, next: Infinity, seconds: seconds() });
    };
    worker.onerror = (event) => {
      event.preventDefault();
      end();
      reject(new Error(`the fuzzing thread of ${job.target} failed at ${number}: ${event.message}`));
    };
    worker.postMessage(job);
  });
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
  const mutations = Math.ceil(Number(flag("mutations") ?? Infinity) / targets.length);
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
