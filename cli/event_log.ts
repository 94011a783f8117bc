/** What a command says under `--log json`: one event a line on stdout (cli/LOG_EVENTS.md). stderr stays as it is without. */
import { messageOf, UsageError, UserError } from "../core/base/errors.ts";
import type { FailedCase, PredictionEvent } from "../core/predict/run/request.ts";
import type { CommandContext, SayEvent } from "./commands/command.ts";
import type { Display } from "./display.ts";
import { EXIT } from "./exit_code.ts";
import { print, printError } from "./terminal.ts";

const SECOND = 1000;

/** A display that has events for all that is said, and no bar. */
export function createEventDisplay(): Display & Required<Pick<Display, "event">> {
  const event: SayEvent = (name, fields) => {
    // As JSON has no NaN and no infinity, those become null.
    print(JSON.stringify({ time: new Date().toISOString(), event: name, ...fields }));
  };
  return {
    draws: false,
    event,
    print: (text) => event("message", { text: text.replace(/^\n+/, "").trimEnd() }),
    printError(text) {
      printError(text);
      const [, error] = /^error: (.*)$/s.exec(text.trimEnd()) ?? [];
      if (error === undefined) event("message", { text: text.trimEnd() });
      else event("error", { message: error });
    },
    warn(message) {
      printError(`warning: ${message}`);
      event("warning", { message });
    },
    count(what) {
      const isDue = everySecond();
      return (done, of) => {
        if (isDue(done === of)) event("progress", { what, done, of });
      };
    },
    draw: () => {},
    [Symbol.dispose]: () => {},
  };
}

/** The two last events of a command that threw. */
export function sayFailure(error: unknown, event: SayEvent): void {
  const message = messageOf(error);
  const { caseId, ...parts } = error instanceof UserError ? error.parts : {};
  event("error", { message, ...(caseId !== undefined && { case: caseId }), ...parts });
  event("done", { code: error instanceof UsageError ? EXIT.usage : EXIT.failed });
}

/** A case that can't be done, before the run or in it: words on stderr, and the event where there are events. */
export function sayFailedCase(failed: FailedCase, context: Pick<CommandContext, "event" | "printError">): void {
  const line = `error: ${failed.message}`;
  if (!context.event) return context.printError(line);
  // Not by the context, whose event for such a line is that of an error that ends the run.
  printError(line);
  context.event("case_failed", failedCaseFields(failed));
}

/** Fields of the event `case_failed`. */
export function failedCaseFields({ id, error: { caseId: _, ...parts }, message }: FailedCase) {
  return { case: id, message, ...parts };
}

/** Gives what says a prediction's events. */
export function predictionEvents(
  context: Pick<CommandContext, "warn" | "printError"> & { readonly event: SayEvent },
): (told: PredictionEvent) => void {
  const { event, warn } = context;
  let isDue = everySecond();
  return (told) => {
    const on = told.gpu === undefined ? {} : { gpu: told.gpu };
    switch (told.kind) {
      case "start":
        return event("cases", { cases: told.cases, skipped: told.skipped });
      case "case": {
        isDue = everySecond();
        const { id, index, grid, tiles, memory, forecastSeconds } = told;
        return event("case", { case: id, index, grid, tiles, memory: memory.total, forecastSeconds, ...on });
      }
      case "progress":
        if (isDue(told.done === told.of)) event("progress", { case: told.id, done: told.done, of: told.of, ...on });
        return;
      case "precision":
        return event("precision", { precision: told.precision, why: told.why, ...on });
      case "warning":
        return warn(`${told.id}: ${told.message}`);
      case "done": {
        const { id, output, outputs, timings, labels } = told.record;
        return event("case_done", { case: id, output, ...(outputs && { outputs }), seconds: timings, labels, ...on });
      }
      case "failed":
        return sayFailedCase(told, context);
    }
  };
}

/** Tells whether something is to be said again: the first and the last time, and once a second between. */
function everySecond(): (isLast: boolean) => boolean {
  let last = -Infinity;
  return (isLast) => {
    const now = performance.now();
    if (!isLast && now - last < SECOND) return false;
    last = now;
    return true;
  };
}
