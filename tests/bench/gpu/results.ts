/** The bench's results: one JSON for a GPU, whole after every part, and how several are read and printed beside each other. */
import { z } from "zod";
import { writeAtomically } from "../../../core/base/files.ts";
import { readJsonFile } from "../../../core/base/json.ts";
import { UserError } from "../../../core/base/errors.ts";
import { basename } from "../../../core/base/path.ts";
import type { PartEnd } from "./budget.ts";
import type { Report } from "./report.ts";
import { sizesSchema } from "./sizes.ts";

const measureSchema = z.object({ value: z.number().nullable(), unit: z.string() });

const partSchema = z.object({
  state: z.enum(["running", "done", "cut", "skipped", "failed"]),
  why: z.string().optional(),
  seconds: z.number().optional(),
  /** What was left out for want of time. */
  cut: z.array(z.string()),
  /** Results that are not the CPU's. */
  wrong: z.array(z.string()),
  measures: z.record(z.string(), measureSchema),
  details: z.record(z.string(), z.unknown()),
});
export type PartResults = z.infer<typeof partSchema>;

const resultsSchema = z.object({
  format: z.literal("nnunet GPU bench 1"),
  adapter: z.string(),
  software: z.boolean(),
  features: z.array(z.string()),
  limits: z.record(z.string(), z.number()),
  deno: z.string(),
  /** What the engine computed with, where it was not Deno's: "dawn:disable_robustness". */
  webgpu: z.string().optional(),
  /** gpu/kernel_checksum.ts. */
  kernels: z.string(),
  when: z.string(),
  budget: z.number(),
  sizes: sizesSchema,
  parts: z.record(z.string(), partSchema),
});
export type Results = z.infer<typeof resultsSchema>;

export const newPart = (): PartResults => ({ state: "running", cut: [], wrong: [], measures: {}, details: {} });

/** A report that is kept in a part's results. @param onMeasure Called after each number */
export function keepingReport(part: PartResults, say: (line: string) => void, onMeasure = () => {}): Report {
  return {
    say,
    measure(name, value, unit) {
      part.measures[name] = { value: Number.isFinite(value) ? value : null, unit };
      onMeasure();
    },
    detail: (name, value) => void (part.details[name] = value),
    cut: (piece) => void part.cut.push(piece),
    wrong(what) {
      part.wrong.push(what);
      say(`WRONG RESULTS: ${what}`);
    },
  };
}

export function endPart(part: PartResults, { state, why, seconds }: PartEnd & { readonly seconds: number }): void {
  part.state = state === "done" && part.cut.length > 0 ? "cut" : state;
  if (why !== undefined) part.why = why;
  part.seconds = seconds;
}

export async function writeResults(path: string, results: Results): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(results, null, 1)}\n`, { doing: "writing the bench's results" });
}

/**
 * Writes results as they come, one time after the other.
 * @returns asks for it; what it gives is there when what was to be written by then is
 */
export function resultsWriter(path: string, results: Results): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const write = () => running = writeResults(path, results).finally(() => running = undefined);
  return () => {
    if (!running) return write();
    next ??= running.catch(() => {}).then(() => {
      next = undefined;
      return write();
    });
    return next;
  };
}

/** @throws UserError if the file is not there, or holds no results */
export async function readResults(path: string): Promise<Results> {
  const { value } = await readJsonFile(path);
  const parsed = resultsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new UserError({
    doing: "reading results to compare with",
    file: path,
    problem: `it holds no results of this bench (${z.prettifyError(parsed.error).split("\n")[0]})`,
    remedy: "give a file that `deno task bench gpu` wrote",
  });
}

/** A ratio that the engine is to reach. */
export interface Goal {
  readonly name: string;
  /** Undefined where one of both was not measured. */
  readonly ratio: number | undefined;
  readonly atMost: number;
}

/** Times against torch's and upstream's on the same card, and memory against its forecast. */
export function goalsOf({ parts, sizes: { batches: [batch] } }: Pick<Results, "parts" | "sizes">): Goal[] {
  const valueOf = (part: string, name: string) => parts[part]?.measures[name]?.value ?? undefined;
  const ratio = (a: number | undefined, b: number | undefined) =>
    a === undefined || b === undefined ? undefined : a / b;
  const goals = ["f32", "f16"].flatMap((precision): Goal[] => [{
    name: `forward pass in ${precision} of torch AMP's`,
    ratio: ratio(
      valueOf("forward", `${precision}, batch ${batch}: latency, best`),
      valueOf("torch", `fp16, batch ${batch}: latency`),
    ),
    atMost: 0.7,
  }, {
    name: `training step in ${precision} of torch AMP's`,
    ratio: ratio(valueOf("training", `${precision}: step, best`), valueOf("torch", "fp16: step")),
    atMost: 1,
  }, {
    name: `device memory in ${precision} of its forecast`,
    ratio: ratio(
      valueOf("forward", `${precision}, batch ${batch}: memory by the driver`) ??
        valueOf("forward", `${precision}, batch ${batch}: memory taken`),
      valueOf("forward", `${precision}, batch ${batch}: memory forecast`),
    ),
    atMost: 1.1,
  }]);
  const upstream = valueOf("upstream", "wall") ?? valueOf("upstream", "wall, at least");
  return [...goals, { name: "whole CT of upstream's", ratio: ratio(valueOf("ct", "wall"), upstream), atMost: 0.2 }];
}

export function describeGoals(goals: readonly Goal[]): string[] {
  return goals.map(({ name, ratio, atMost }) =>
    ratio === undefined
      ? `${name}: not measured (at most ${atMost} is wanted)`
      : `${name}: ${ratio.toFixed(3)} (at most ${atMost} is wanted${ratio <= atMost ? "" : ", MISSED"})`
  );
}

/** What Dawn's WebGPU takes on the same card of what Deno's does, where both were measured: lines for people. */
export function describeBeside({ parts }: Pick<Results, "parts">): string[] {
  return Object.entries(parts.beside?.measures ?? {}).flatMap(([name, { value, unit }]) => {
    const [, part, measure] = /^(forward|training): (.*(?:latency|step), best|.*: (?:host|device))$/.exec(name) ?? [];
    const own = part === undefined ? undefined : parts[part]?.measures[measure]?.value;
    if (value === null || typeof own !== "number") return [];
    return [`${name}: ${shown(own)} ${unit}, by Dawn ${shown(value)} (${shown(value / own)} of it)`];
  });
}

/** All measures of several results as lines of a table, a column each. */
export function comparison(all: readonly { readonly name: string; readonly results: Results }[]): string[] {
  const rows = new Map<string, string[]>();
  all.forEach(({ results }, column) => {
    const row = (name: string) => {
      const found = rows.get(name) ?? new Array(all.length).fill("-");
      rows.set(name, found);
      return found;
    };
    for (const goal of goalsOf(results)) {
      if (goal.ratio !== undefined) row(`ratio: ${goal.name}`)[column] = shown(goal.ratio);
    }
    for (const [part, { measures, state }] of Object.entries(results.parts)) {
      row(`${part}: state`)[column] = state;
      for (const [name, { value, unit }] of Object.entries(measures)) {
        row(`${part}: ${name} [${unit}]`)[column] = value === null ? "NaN" : shown(value);
      }
    }
  });
  const label = Math.max(...[...rows.keys()].map((name) => name.length), 0);
  const widths = all.map(({ name }, column) =>
    Math.max(name.length, ...[...rows.values()].map((cells) => cells[column].length))
  );
  const line = (name: string, cells: readonly string[]) =>
    [name.padEnd(label), ...cells.map((cell, column) => cell.padStart(widths[column]))].join("  ");
  return [line("", all.map(({ name }) => name)), ...[...rows].map(([name, cells]) => line(name, cells))];
}

/** Four digits. */
function shown(value: number): string {
  return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

/** A column's heading. */
export const columnName = (path: string) => basename(path).replace(/\.json$/, "");
