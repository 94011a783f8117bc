/**
 * The process that reads mutated files, one after the other. What it reads may hang or take all memory, and a thread that does can't be
 * ended; the process that started it watches (tests/fuzz/fuzz.ts), knows from the file `at` which one it is at, and kills it.
 */
import { describeBytes } from "../../core/base/describe_bytes.ts";
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { BAD_READER } from "./bad_reader.ts";
import { type Files, mutateFiles } from "./mutate_files.ts";
import { createRandom } from "./random.ts";
import type { Attempt, Target } from "./target.ts";
import { TARGETS } from "./targets.ts";

/** Of reading one input. */
export interface FuzzLimits {
  readonly milliseconds: number;
  readonly bytes: number;
}

export interface FuzzJob {
  readonly target: string;
  readonly seed: number;
  /** Numbers of the mutations to try. */
  readonly first: number;
  readonly last: number;
  /** After which to stop, the loading of this thread not counted. */
  readonly seconds: number;
  /** Instead of mutations: these inputs. */
  readonly inputs?: readonly Files[];
  readonly limits: FuzzLimits;
  /** An empty folder. */
  readonly folder: string;
  /** A file of four bytes: the number of the mutation being read, -1 before the first. */
  readonly at: string;
}

export type FuzzReply =
  | { readonly kind: "failure"; readonly number: number; readonly problem: string; readonly files: Files }
  | { readonly kind: "done"; readonly count: number; readonly refused: number };

/** Bytes of the typed arrays that were asked for since it was set to 0, also those whose pages nobody has touched yet. */
let asked = 0;

countArrays();

/** A job or a reply as a line of text; files as base64. */
export function toLine(message: FuzzJob | FuzzReply): string {
  return JSON.stringify(message, (_, value) => value instanceof Uint8Array ? { base64: value.toBase64() } : value) +
    "\n";
}

/** What {@link toLine} made a line of. */
export function fromLine(line: string): unknown {
  return JSON.parse(
    line,
    (_, value) => typeof value?.base64 === "string" ? Uint8Array.fromBase64(value.base64) : value,
  );
}

function say(reply: FuzzReply): void {
  const bytes = new TextEncoder().encode(toLine(reply));
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

async function run(target: Target, job: FuzzJob): Promise<FuzzReply> {
  using at = Deno.openSync(job.at, { write: true });
  await Deno.mkdir(job.folder, { recursive: true });
  const seeds = await target.seeds(job.folder);
  let [count, refused] = [0, 0];
  const until = performance.now() + 1000 * job.seconds;
  for (let number = job.first; number <= job.last && performance.now() < until; number++, count++) {
    at.seekSync(0, Deno.SeekMode.Start);
    at.writeSync(new Uint8Array(Int32Array.of(number).buffer));
    const files = job.inputs?.[number] ?? mutationOf(target.name, seeds, job.seed, number);
    const result = await readOne(target, files, job.folder, job.limits);
    if (result === "refused") refused++;
    else if (result !== "read") {
      say({ kind: "failure", number, problem: result, files });
    }
  }
  return { kind: "done", count, refused };
}

/** The same for the same numbers, whatever was read before. */
function mutationOf(target: string, seeds: readonly Files[], seed: number, number: number): Files {
  const random = createRandom(target, seed, number);
  return mutateFiles(random.pick(seeds), random, seeds);
}

/** @returns "read", "refused", or what is wrong with how it went */
async function readOne(target: Target, files: Files, folder: string, limits: FuzzLimits): Promise<string> {
  await Deno.remove(folder, { recursive: true });
  await Deno.mkdir(folder);
  for (const [name, bytes] of Object.entries(files)) await Deno.writeFile(join(folder, name), bytes);
  let refused = false;
  const attempt: Attempt = async (part) => {
    try {
      await part();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const { doing, problem, file, remedy } = error.parts;
      if (!doing || !problem || !file || !remedy) throw new Error(`an error without file or remedy: ${error.message}`);
      if (error.message.length > 2000) throw new Error(`an error of ${error.message.length} letters`);
      refused = true;
    }
  };
  asked = 0;
  const before = Deno.memoryUsage().rss;
  const start = performance.now();
  try {
    await target.read(folder, attempt);
  } catch (error) {
    return error instanceof Error ? `${error.message}\n${error.stack}` : String(error);
  }
  const milliseconds = performance.now() - start;
  if (milliseconds > limits.milliseconds) return `it took ${(milliseconds / 1000).toFixed(1)} s`;
  const grown = Deno.memoryUsage().rss - before;
  if (grown > limits.bytes) return `memory grew by ${describeBytes(grown)}`;
  if (asked > limits.bytes) return `it asked for ${describeBytes(asked)} in arrays`;
  return refused ? "refused" : "read";
}

/** Puts a counter before the constructors of arrays. */
function countArrays(): void {
  const kinds = [ArrayBuffer, Uint8Array, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array] as const;
  const wide = [Float32Array, Float64Array, Float16Array, BigInt64Array, BigUint64Array] as const;
  for (const kind of [...kinds, ...wide]) {
    const width = "BYTES_PER_ELEMENT" in kind ? kind.BYTES_PER_ELEMENT : 1;
    const counted = new Proxy(kind, {
      construct(target, args, newTarget) {
        const [first] = args;
        if (typeof first === "number") asked += first * width;
        return Reflect.construct(target, args, newTarget);
      },
    });
    Object.defineProperty(globalThis, kind.name, { value: counted, writable: true, configurable: true });
  }
}

if (import.meta.main) {
  const job = fromLine(await new Response(Deno.stdin.readable).text()) as FuzzJob;
  const target = [...TARGETS, BAD_READER].find(({ name }) => name === job.target);
  if (!target) throw new RangeError(`there is no target ${job.target}`);
  say(await run(target, job));
}
