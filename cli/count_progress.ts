/** Progress of work that is counted: on a terminal one line that is redrawn, else a line a minute. */
import { formatSeconds, isTerminal, print, printError } from "./terminal.ts";

export interface CountProgress extends Disposable {
  readonly update: (done: number, of: number) => void;
  /** Takes the line off the terminal, so that something else can be printed. */
  readonly clear: () => void;
}

const MINUTE = 60_000;
const REDRAW = 100;

/** @param label What is counted: "Dataset004_Hippocampus: cases read". */
export function createCountProgress(label: string, redraw: boolean): CountProgress {
  const terminal = redraw && isTerminal();
  const begin = performance.now();
  let last = begin;
  let shown = 0;
  const clear = () => {
    if (shown > 0) Deno.stderr.writeSync(new TextEncoder().encode(`\r${" ".repeat(shown)}\r`));
    shown = 0;
  };
  return {
    update(done, of) {
      const now = performance.now();
      if (now - last < (terminal ? REDRAW : MINUTE) && !(terminal && done === of)) return;
      last = now;
      const left = ((now - begin) / 1000 / done) * (of - done);
      const line = `${label}: ${done}/${of}${done < of ? `, about ${formatSeconds(left)} left` : ""}`;
      if (!terminal) return print(line);
      clear();
      Deno.stderr.writeSync(new TextEncoder().encode(line));
      shown = line.length;
    },
    clear,
    [Symbol.dispose]: clear,
  };
}

/** Prints findings or other lines to stderr under a heading. */
export function printList(heading: string, lines: readonly string[]): void {
  printError([heading, ...lines.map((line) => `  ${line}`)].join("\n"));
}
