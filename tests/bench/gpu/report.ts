/**
 * What a part of the GPU bench tells of its results as they come. A part that runs in a process of its own sends them to the bench as
 * lines of JSON, so that a device that hangs costs nothing of what was measured before.
 */
import { z } from "zod";

export interface Report {
  /** A line for whoever watches. */
  say(line: string): void;
  /** A number that other machines' are compared with; `name` is unique within its part. */
  measure(name: string, value: number, unit: string): void;
  /** Anything else that belongs into the file. */
  detail(name: string, value: unknown): void;
  /** Names what was left out for want of time. */
  cut(piece: string): void;
  /** Results that are not the CPU's: the bench fails. */
  wrong(what: string): void;
}

const messageSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("say"), line: z.string() }),
  z.object({ kind: z.literal("measure"), name: z.string(), value: z.number().nullable(), unit: z.string() }),
  z.object({ kind: z.literal("detail"), name: z.string(), value: z.unknown() }),
  z.object({ kind: z.literal("cut"), piece: z.string() }),
  z.object({ kind: z.literal("wrong"), what: z.string() }),
]);
type Message = z.infer<typeof messageSchema>;

/** A report that is written as lines to stdout. */
export function sendingReport(): Report {
  const send = (message: Message) => Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(message)}\n`));
  return {
    say: (line) => send({ kind: "say", line }),
    measure: (name, value, unit) => send({ kind: "measure", name, value, unit }),
    detail: (name, value) => send({ kind: "detail", name, value }),
    cut: (piece) => send({ kind: "cut", piece }),
    wrong: (what) => send({ kind: "wrong", what }),
  };
}

/** A report whose names begin with `prefix`. */
export function prefixed(report: Report, prefix: string): Report {
  return {
    say: (line) => report.say(prefix + line),
    measure: (name, value, unit) => report.measure(prefix + name, value, unit),
    detail: (name, value) => report.detail(prefix + name, value),
    cut: (piece) => report.cut(prefix + piece),
    wrong: (what) => report.wrong(prefix + what),
  };
}

/** Gives a line of {@link sendingReport} to `report`; what is no such line (drivers print, too) is said. */
export function receive(line: string, report: Report): void {
  const message = parse(line);
  if (!message) return report.say(line);
  switch (message.kind) {
    case "say":
      return report.say(message.line);
    case "measure":
      // What is no finite number is null in JSON.
      return report.measure(message.name, message.value ?? NaN, message.unit);
    case "detail":
      return report.detail(message.name, message.value);
    case "cut":
      return report.cut(message.piece);
    case "wrong":
      return report.wrong(message.what);
  }
}

function parse(line: string): Message | undefined {
  try {
    return messageSchema.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
