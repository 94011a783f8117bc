/**
 * What a prediction shows while it runs. With a terminal: a bar that is redrawn, under lines for the cases that are done. Without:
 * a line a case, and one a minute where a case takes longer.
 */
import { plural } from "../core/base/plural.ts";
import { describeBytes } from "../core/base/describe_bytes.ts";
import type { PredictionEvent } from "../core/predict/run/request.ts";
import type { CommandContext } from "./commands/command.ts";
import { predictionEvents } from "./event_log.ts";
import { formatSeconds } from "./terminal.ts";

export interface PredictionProgressOptions {
  /** Warnings and errors only. */
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** False: never redraw. */
  readonly bar: boolean;
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

interface RunProgress {
  begin: number;
  total: number;
  finished: number;
  running: RunningCase | null;
}

type EventOf<K extends PredictionEvent["kind"]> = Extract<PredictionEvent, { readonly kind: K }>;

const MINUTE = 60_000;

/** Gives what shows the events of one prediction run. */
export function createPredictionProgress(
  context: CommandContext,
  { quiet, verbose, bar }: PredictionProgressOptions,
): (event: PredictionEvent) => void {
  const { event, warn, printError } = context;
  if (event) return predictionEvents({ event, warn, printError });
  const drawsBar = bar && !quiet && context.draws;
  const state: RunProgress = { begin: performance.now(), total: 0, finished: 0, running: null };
  const say = (line: string) => {
    if (!quiet) context.print(line);
  };
  const draw = (running: RunningCase, left: number) => {
    if (drawsBar) context.draw(barOf(running, state.total, left));
  };
  return (event) => {
    switch (event.kind) {
      case "start":
        state.total = event.cases;
        state.begin = performance.now();
        if (event.skipped > 0) say(skippedLine(event.skipped));
        return;
      case "case":
        state.running = startedCase(event);
        if (verbose) say(forecastLine(event));
        return draw(state.running, event.forecastSeconds);
      case "progress": {
        const { running } = state;
        if (!running || running.id !== event.id) return;
        running.done = event.done;
        running.of = event.of;
        draw(running, secondsLeft(running));
        if (drawsBar || performance.now() - running.lastLine <= MINUTE) return;
        running.lastLine = performance.now();
        return say(longCaseLine(running));
      }
      case "precision":
        return say(`precision: ${event.precision} (${event.why})`);
      case "warning":
        return context.warn(`${event.id}: ${event.message}`);
      case "done":
        state.finished++;
        return say(doneLine(event, state, verbose));
      case "failed":
        state.finished++;
        return context.printError(`error: [${state.finished}/${state.total}] ${event.message}`);
    }
  };
}

function startedCase({ id, index, tiles }: EventOf<"case">): RunningCase {
  const started = performance.now();
  return { id, index, tiles, started, done: 0, of: 0, lastLine: started };
}

function skippedLine(skipped: number): string {
  return skipped === 1
    ? "1 case is predicted already and left as it is"
    : `${skipped} cases are predicted already and left as they are`;
}

function forecastLine({ id, grid, tiles, memory, forecastSeconds }: EventOf<"case">): string {
  return `${id}: ${grid.join(" x ")} voxels, ${plural(tiles, "tile")}, ` +
    `${describeBytes(memory.total)} of memory and ${formatSeconds(forecastSeconds)} forecast`;
}

function longCaseLine(running: RunningCase): string {
  const { id, done, of, tiles } = running;
  return `${id}: ${Math.floor((100 * done) / of)} % (tile ${tileOf(running)} of ${tiles}), ` +
    `about ${formatSeconds(secondsLeft(running))} left for this case`;
}

function doneLine({ record }: EventOf<"done">, { begin, total, finished }: RunProgress, verbose: boolean): string {
  const { id, output, outputs = [output], timings } = record;
  const { read, preprocess, network } = timings;
  const stages = verbose
    ? ` (read ${formatSeconds(read)}, preprocess ${formatSeconds(preprocess)}, network ${formatSeconds(network)}, ` +
      `export ${formatSeconds(timings.export)})`
    : "";
  const perCase = (performance.now() - begin) / 1000 / finished;
  const left = finished < total ? `, about ${formatSeconds(perCase * (total - finished))} left` : "";
  const seconds = read + preprocess + network + timings.export;
  return `[${finished}/${total}] ${id}: ${formatSeconds(seconds)}${stages} -> ${outputs.join(", ")}${left}`;
}

function barOf(running: RunningCase, total: number, left: number): Parameters<CommandContext["draw"]>[0] {
  const { id, index, tiles, done, of } = running;
  return {
    name: `case ${index + 1}/${total} ${id}`,
    done,
    of,
    note: `tile ${tileOf(running)}/${tiles}${Number.isFinite(left) ? `, ${formatSeconds(left)} left` : ""}`,
  };
}

function tileOf({ done, of, tiles }: RunningCase): number {
  return of > 0 ? Math.min(tiles, Math.ceil((done / of) * tiles)) : 0;
}

function secondsLeft({ started, done, of }: RunningCase): number {
  return done > 0 ? ((performance.now() - started) / 1000 / done) * (of - done) : NaN;
}
