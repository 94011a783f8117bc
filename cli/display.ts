/**
 * What a command shows: lines, and under them a bar that is redrawn while it works. Whoever prints a line takes the bar off first.
 * Without a terminal there is no bar: counted work says a line a minute. The bar is drawn by cli-progress, here and nowhere else.
 */
import cliProgress from "cli-progress";
import type { CommandContext, CountProgress, ProgressStyle } from "./commands/command.ts";
import { formatSeconds, isTerminal, print, printError, shown } from "./terminal.ts";

export type Display =
  & Disposable
  & Pick<CommandContext, "print" | "printError" | "warn" | "count" | "draw" | "draws" | "event">;

type BarState = Parameters<CommandContext["draw"]>[0];

const MINUTE = 60_000;

export function createDisplay(): Display {
  const bar = isTerminal() ? createBar() : null;
  const display: Display = {
    draws: bar !== null,
    print(text) {
      bar?.clear();
      print(text);
    },
    printError(text) {
      bar?.clear();
      printError(text);
    },
    warn: (message) => display.printError(`warning: ${message}`),
    count: (label, style) => createCount(display, label, style),
    draw: (state) => bar?.draw(state),
    [Symbol.dispose]: () => bar?.clear(),
  };
  return display;
}

function createCount(display: Display, label: string, style: ProgressStyle): CountProgress {
  const begin = performance.now();
  let last = begin;
  if (style === "none") return () => {};
  return (done, of) => {
    const now = performance.now();
    const left = done < of && done > 0
      ? `, about ${formatSeconds(((now - begin) / 1000 / done) * (of - done))} left`
      : "";
    if (style === "bar" && display.draws) return display.draw({ name: label, done, of, note: `${done}/${of}${left}` });
    if (now - last < MINUTE) return;
    last = now;
    display.print(`${label}: ${done}/${of}${left}`);
  };
}

/** The part of cli-progress that is used; the package brings no types. */
interface CliProgress {
  readonly SingleBar: new (options: Readonly<Record<string, unknown>>, preset: unknown) => {
    start(total: number, value: number, payload: Readonly<Record<string, string>>): void;
    setTotal(total: number): void;
    update(value: number, payload: Readonly<Record<string, string>>): void;
    stop(): void;
  };
  readonly Presets: { readonly shades_classic: unknown };
}

function createBar(): { draw(state: BarState): void; clear(): void } {
  const { SingleBar, Presets }: CliProgress = cliProgress;
  const bar = new SingleBar({
    format: "{name} |{bar}| {percentage} %, {note}",
    barsize: 24,
    fps: 8,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
    linewrap: false,
  }, Presets.shades_classic);
  let drawn: string | null = null;
  return {
    draw({ name, done, of, note }) {
      const texts = { name: shown(name), note: shown(note) };
      if (drawn === name) {
        bar.setTotal(of || 1);
        bar.update(done, texts);
        return;
      }
      if (drawn !== null) bar.stop();
      bar.start(of || 1, done, texts);
      drawn = name;
    },
    clear() {
      if (drawn !== null) bar.stop();
      drawn = null;
    },
  };
}
