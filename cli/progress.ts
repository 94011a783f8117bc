/**
 * What a prediction shows while it runs. With a terminal: a bar that is redrawn, under lines for the cases that are done. Without:
 * a line a case, and one a minute where a case takes longer. The bar is drawn by cli-progress, here and nowhere else.
 */
import cliProgress from "cli-progress";
import { describeBytes } from "../core/base/describe_bytes.ts";
import type { PredictionEvent } from "../core/predict/run/request.ts";
import { formatSeconds, isTerminal, print, printError } from "./terminal.ts";

export interface ProgressOptions {
  /** Warnings and errors only. */
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** False: never redraw. */
  readonly bar: boolean;
}

export interface Progress extends Disposable {
  onEvent(event: PredictionEvent): void;
  /** Takes the bar off the terminal, so that something else can be printed. */
  clear(): void;
  warn(message: string): void;
}

interface RunningCase {
  readonly id: string;
  readonly index: number;
  readonly tiles: number;
  readonly started: number;
  done: number;
  of: number;
  lastLine: number;
}

const MINUTE = 60_000;

/** A display for one prediction run. */
export function createProgress(options: ProgressOptions): Progress {
  const bar = options.bar && !options.quiet && isTerminal() ? createBar() : null;
  const say = (line: string) => {
    bar?.clear();
    if (!options.quiet) print(line);
  };
  const complain = (line: string) => {
    bar?.clear();
    printError(line);
  };
  let begin = performance.now();
  let total = 0;
  let finished = 0;
  let running: RunningCase | null = null;

  const leftOverall = () => {
    const perCase = (performance.now() - begin) / 1000 / Math.max(finished, 1);
    const left = total - finished;
    return left > 0 && finished > 0 ? `, about ${formatSeconds(perCase * left)} left` : "";
  };
  const onEvent = (event: PredictionEvent): void => {
    switch (event.kind) {
      case "start":
        total = event.cases;
        begin = performance.now();
        if (event.skipped > 0) say(`${event.skipped} cases are predicted already and left as they are`);
        return;
      case "case":
        running = {
          id: event.id,
          index: event.index,
          tiles: event.tiles,
          started: performance.now(),
          done: 0,
          of: 0,
          lastLine: performance.now(),
        };
        if (options.verbose) {
          say(
            `${event.id}: ${event.grid.join(" x ")} voxels, ${event.tiles} tiles, ` +
              `${describeBytes(event.memory.total)} of memory and ${formatSeconds(event.forecastSeconds)} forecast`,
          );
        }
        bar?.draw(running, total, event.forecastSeconds);
        return;
      case "progress":
        if (!running || running.id !== event.id) return;
        running.done = event.done;
        running.of = event.of;
        bar?.draw(running, total, secondsLeft(running));
        if (!bar && performance.now() - running.lastLine > MINUTE) {
          running.lastLine = performance.now();
          say(
            `${running.id}: ${Math.floor((100 * running.done) / running.of)} % (tile ${tileOf(running)} of ` +
              `${running.tiles}), about ${formatSeconds(secondsLeft(running))} left for this case`,
          );
        }
        return;
      case "precision":
        return say(`precision: ${event.precision} (${event.why})`);
      case "warning":
        return complain(`warning: ${event.id}: ${event.message}`);
      case "done": {
        finished++;
        const { id, output, timings } = event.record;
        const seconds = timings.read + timings.preprocess + timings.network + timings.export;
        const stages = options.verbose
          ? ` (read ${formatSeconds(timings.read)}, preprocess ${formatSeconds(timings.preprocess)}, network ${
            formatSeconds(timings.network)
          }, export ${formatSeconds(timings.export)})`
          : "";
        return say(
          `[${finished}/${total}] ${id}: ${formatSeconds(seconds)}${stages} -> ${output}${leftOverall()}`,
        );
      }
      case "failed":
        finished++;
        return complain(`error: [${finished}/${total}] ${event.message}`);
    }
  };
  return {
    onEvent,
    clear: () => bar?.clear(),
    warn: (message) => complain(`warning: ${message}`),
    [Symbol.dispose]: () => bar?.clear(),
  };
}

function tileOf({ done, of, tiles }: RunningCase): number {
  return of > 0 ? Math.min(tiles, Math.ceil((done / of) * tiles)) : 0;
}

function secondsLeft({ started, done, of }: RunningCase): number {
  return done > 0 ? ((performance.now() - started) / 1000 / done) * (of - done) : NaN;
}

interface Bar {
  draw(running: RunningCase, total: number, left: number): void;
  clear(): void;
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

function createBar(): Bar {
  const { SingleBar, Presets }: CliProgress = cliProgress;
  const bar = new SingleBar({
    format: "{name} |{bar}| {percentage} %, tile {tile}, {left}",
    barsize: 24,
    fps: 8,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
    linewrap: false,
  }, Presets.shades_classic);
  let shown: RunningCase | null = null;
  return {
    draw(running, total, left) {
      const payload = {
        name: `case ${running.index + 1}/${total} ${running.id}`,
        tile: `${tileOf(running)}/${running.tiles}`,
        left: Number.isFinite(left) ? `${formatSeconds(left)} left` : "",
      };
      if (shown !== running) {
        if (shown) bar.stop();
        bar.start(running.of || 1, running.done, payload);
        shown = running;
      } else {
        bar.setTotal(running.of || 1);
        bar.update(running.done, payload);
      }
    },
    clear() {
      if (shown) bar.stop();
      shown = null;
    },
  };
}
