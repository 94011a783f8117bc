/** Programs that the bench starts, which end in time: with all they started themselves. */
import type { PartEnd } from "./budget.ts";

export interface Ended {
  /** Undefined where time ran out and it was killed. */
  readonly code: number | undefined;
  readonly seconds: number;
  /** The end of what it wrote there. */
  readonly stderr: string;
}

export interface Started {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which it is killed. */
  readonly limit: number;
  /** Told each line of stdout; dropped unless given. */
  readonly onLine?: (line: string) => void;
}

/** Groups that run at this moment, for an interrupted bench. */
const running = new Set<Deno.ChildProcess>();

export function killAll(): void {
  running.forEach(killGroup);
}

/** Runs a program to its end or until its time is over. @throws Deno.errors.NotFound if there is no such program */
export async function runProgram({ command: [program, ...args], env, limit, onLine }: Started): Promise<Ended> {
  const start = performance.now();
  const child = new Deno.Command(program, {
    args,
    env,
    stdin: "null",
    stdout: onLine ? "piped" : "null",
    stderr: "piped",
    detached: true,
  }).spawn();
  running.add(child);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    killGroup(child);
  }, limit);
  try {
    const [{ code }, stderr] = await Promise.all([
      child.status,
      endOf(child.stderr),
      onLine ? eachLine(child.stdout, onLine) : undefined,
    ]);
    return { code: isLate ? undefined : code, seconds: (performance.now() - start) / 1000, stderr };
  } finally {
    clearTimeout(timer);
    running.delete(child);
  }
}

/** The program and what it started: it leads a group of its own. */
function killGroup(child: Deno.ChildProcess): void {
  try {
    if (Deno.build.os === "windows") child.kill("SIGKILL");
    else Deno.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

const KEPT_CHARACTERS = 4000;

async function endOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) text = (text + piece).slice(-KEPT_CHARACTERS);
  return text;
}

async function eachLine(stream: ReadableStream<Uint8Array<ArrayBuffer>>, onLine: (line: string) => void) {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (text + piece).split("\n");
    text = lines.pop() ?? "";
    lines.forEach(onLine);
  }
  if (text) onLine(text);
}

/** The end of a part whose program was killed when its time was over. */
export const stopped = ({ seconds }: Ended): PartEnd => ({
  state: "cut",
  why: `stopped after ${seconds.toFixed(1)} s`,
});

/** The last line that says something, of a program that failed. */
export const lastLine = (text: string) => text.trim().split("\n").at(-1)?.trim() ?? "";
