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
  /** By id; several where several GPUs share the cases. */
  readonly running: Map<string, RunningCase>;
}

type EventOf<K extends PredictionEvent["kind"]> = Extract<PredictionEvent, { readonly kind: K }>;

const MINUTE = 60_000;

/** Gives what shows the events of one prediction run. */
export function createPredictionProgress(
  context: Pick<CommandContext, "event" | "print" | "printError" | "warn" | "draw" | "draws">,
  { quiet, verbose, bar }: PredictionProgressOptions,
): (event: PredictionEvent) => void {
  const { event, warn, printError } = context;
  if (event) return predictionEvents({ event, warn, printError });
  const drawsBar = bar && !quiet && context.draws;
  const state: RunProgress = { begin: performance.now(), total: 0, finished: 0, running: new Map() };
  const say = (line: string) => {
    if (!quiet) context.print(line);
  };
  const draw = (running: RunningCase, left: number) => {
    if (!drawsBar) return;
    const { running: all, total } = state;
    context.draw(all.size > 1 ? barOfSeveral([...all.values()], total) : barOf(running, total, left));
  };
  return (event) => {
    switch (event.kind) {
      case "start":
        // In a watched folder one group of cases comes after the other.
        state.total = event.cases;
        state.finished = 0;
        state.begin = performance.now();
        if (event.skipped > 0) say(skippedLine(event.skipped));
        return;
      case "case": {
        const running = startedCase(event);
        // On one engine the last case's network has ended, though it may still be written.
        if (event.gpu === undefined) state.running.clear();
        state.running.set(event.id, running);
        if (verbose) say(forecastLine(event));
        return draw(running, event.forecastSeconds);
      }
      case "progress": {
        const running = state.running.get(event.id);
        if (!running) return;
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
        state.running.delete(event.record.id);
        return say(doneLine(event, state, verbose));
      case "failed":
        state.finished++;
        state.running.delete(event.id);
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

function forecastLine({ id, grid, tiles, memory, forecastSeconds, gpu }: EventOf<"case">): string {
  const where = gpu === undefined ? "" : ` (GPU ${gpu})`;
  return `${id}${where}: ${grid.join(" x ")} voxels, ${plural(tiles, "tile")}, ` +
    `${describeBytes(memory.total)} of memory and ${formatSeconds(forecastSeconds)} forecast`;
}

function longCaseLine(running: RunningCase): string {
  const { id, done, of, tiles } = running;
  return `${id}: ${Math.floor((100 * done) / of)} % (tile ${tileOf(running)} of ${tiles}), ` +
    `about ${formatSeconds(secondsLeft(running))} left for this case`;
}

function doneLine({ record }: EventOf<"done">, { begin, total, finished }: RunProgress, verbose: boolean): string {
  const { id, output, outputs = [output], timings, gpu } = record;
  const where = gpu === undefined ? "" : gpu === "cpu" ? ", CPU" : `, GPU ${gpu}`;
  const { read, preprocess, network } = timings;
  const stages = verbose
    ? ` (read ${formatSeconds(read)}, preprocess ${formatSeconds(preprocess)}, network ${formatSeconds(network)}, ` +
      `export ${formatSeconds(timings.export)})`
    : "";
  const perCase = (performance.now() - begin) / 1000 / finished;
  const left = finished < total ? `, about ${formatSeconds(perCase * (total - finished))} left` : "";
  const seconds = read + preprocess + network + timings.export;
  return `[${finished}/${total}] ${id}: ${formatSeconds(seconds)}${where}${stages} -> ${outputs.join(", ")}${left}`;
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

function barOfSeveral(running: readonly RunningCase[], total: number): Parameters<CommandContext["draw"]>[0] {
  const sum = (pick: (one: RunningCase) => number) => running.reduce((all, one) => all + pick(one), 0);
  return {
    name: `cases ${running.map(({ index }) => index + 1).join(", ")}/${total}`,
    // Before its first tile a case does not say how many runs it has.
    done: sum(({ done }) => done),
    of: sum(({ of, tiles }) => of || tiles),
    note: running.map((one) => `${one.id} ${tileOf(one)}/${one.tiles}`).join(", "),
  };
}

function tileOf({ done, of, tiles }: RunningCase): number {
  return of > 0 ? Math.min(tiles, Math.ceil((done / of) * tiles)) : 0;
}

function secondsLeft({ started, done, of }: RunningCase): number {
  return done > 0 ? ((performance.now() - started) / 1000 / done) * (of - done) : NaN;
}
