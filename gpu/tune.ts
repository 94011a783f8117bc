/**
 * Autotuning: every way to compute each of a network's convolutions, for a training of their gradients too, run on the device on random
 * data, checked against the others and timed. What is found is data (tuning.ts); results differ between ways by rounding alone.
 */
import type { CompileOptions } from "../core/engine/engine.ts";
import type { TrainingOptions } from "../core/engine/training.ts";
import type { Graph } from "../core/graph/graph.ts";
import { convolutionCandidates, type MeasuredCandidate, measuredCandidates } from "../kernels/wgsl/conv/measured.ts";
import type { MeasuredProblem } from "../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits, WgslConvOperator } from "../kernels/wgsl/conv/problem.ts";
import type { SlotLayout } from "../kernels/wgsl/kernel.ts";
import type { Segments } from "./buffers.ts";
import { type OwnSlot, type PreparedOperator, prepareOperator, timeOperator } from "./prepare_operator.ts";
import type { Tools } from "./program.ts";
import { planProgram } from "./program_plan.ts";
import { readBytes } from "./readback.ts";
import { planTraining } from "./training/plan.ts";
import { problemKey } from "./tuning.ts";
import { writeBytes } from "./upload.ts";

/** What was found for a shape. */
export interface TunedConvolution {
  readonly key: string;
  /** The fastest candidate, and the one that would be taken without measuring. */
  readonly candidate: string;
  readonly milliseconds: number;
  readonly untuned: string;
  readonly untunedMilliseconds: number;
  /** Candidates whose results were not those of the others; none is taken. */
  readonly wrong: readonly string[];
}

export interface TuneHooks {
  /** Told after each shape. */
  readonly onTuned?: (tuned: TunedConvolution, done: number, of: number) => void;
  /** Shapes that need no measuring: those that are known. */
  readonly skip?: (key: string) => boolean;
  /**
   * What measuring a shape is worth, from the names of the steps that have it: the most is measured first, what is worth nothing is not.
   * Unless given all are measured, in the network's order.
   */
  readonly worth?: (steps: readonly string[]) => number;
  /** Asked before each shape with its key; false ends the tuning. */
  readonly goesOn?: (key: string) => boolean;
}

/** A candidate that takes this many times the best so far is not run again. */
const HOPELESS = 1.5;
/** Results of candidates may differ by this share of their standard deviation; rounding is a hundredth of it, in 16 bits a third. */
const TOLERANCE = { f32: 1e-3, f16: 4e-2 } as const;
/** Elements compared at the start and in the middle of a result. */
const COMPARED_BYTES = 2 ** 20;

/** The distinct convolutions of a network, or of its training: gradients too. */
export function problemsOf(
  graph: Graph,
  options: CompileOptions | TrainingOptions,
  limits: ConvLimits,
): Map<string, MeasuredProblem> {
  return new Map(shapesOf(graph, options, limits).map(({ key, problem }) => [key, problem]));
}

interface Shape {
  readonly key: string;
  readonly problem: MeasuredProblem;
  /** Of the plan, by name. */
  readonly steps: Set<string>;
}

function shapesOf(graph: Graph, options: CompileOptions | TrainingOptions, limits: ConvLimits): Shape[] {
  const shapes = new Map<string, Shape>();
  const note = (problem: MeasuredProblem) => {
    const key = problemKey(problem);
    const steps = shapes.get(key)?.steps ?? new Set();
    if (problem.step !== undefined) steps.add(problem.step);
    // Adding to what a gradient holds takes what overwriting it takes, and can be compared once only.
    const measured = "accumulate" in problem ? { ...problem, accumulate: false } : problem;
    shapes.set(key, { key, problem: measured, steps });
    return undefined;
  };
  if ("loss" in options) planTraining(graph, options, limits, note);
  else planProgram(graph, options, limits, note);
  return [...shapes.values()];
}

/** What is to be measured, in order. */
function chosenShapes(shapes: readonly Shape[], { skip, worth }: TuneHooks): Shape[] {
  const unknown = shapes.filter(({ key }) => !skip?.(key));
  if (!worth) return unknown;
  return unknown.map((shape) => ({ shape, value: worth([...shape.steps]) })).filter(({ value }) => value > 0)
    .sort((a, b) => b.value - a.value).map(({ shape }) => shape);
}

/** Measures the convolutions of a network, one after the other. @throws UserError if the device fails */
export async function tuneConvolutions(
  tools: Tools,
  graph: Graph,
  options: CompileOptions | TrainingOptions,
  limits: ConvLimits,
  hooks: TuneHooks = {},
): Promise<TunedConvolution[]> {
  const shapes = chosenShapes(shapesOf(graph, options, limits), hooks);
  const all: TunedConvolution[] = [];
  for (const { key, problem } of shapes) {
    if (hooks.goesOn?.(key) === false) break;
    const tuned = await tuneOne(tools, key, problem);
    all.push(tuned);
    hooks.onTuned?.(tuned, all.length, shapes.length);
  }
  return all;
}

async function tuneOne(tools: Tools, key: string, problem: MeasuredProblem): Promise<TunedConvolution> {
  const { candidates, result, type, ownOf } = subjectOf(problem);
  using operands = takeOperands(tools, problem);
  const output = operands.slots.get(result);
  if (!output) throw new RangeError(`Tuning: there is no slot ${result}`);
  const times = new Map<string, number>();
  const results = new Map<string, readonly Float32Array[]>();
  let best = Infinity;
  for (const [i, { name, operator }] of candidates.entries()) {
    using prepared: PreparedOperator = await prepareOperator(tools, operator, operands.slots, ownOf(i));
    forgetSample(tools, output);
    const time = await timeOperator(tools, prepared, HOPELESS * best);
    best = Math.min(best, time);
    times.set(name, time);
    results.set(name, await sampleOf(tools, output, type));
  }
  const wrong = outliers(results, TOLERANCE[type]);
  const right = [...times].filter(([name]) => !wrong.includes(name));
  const [candidate, milliseconds] = right.reduce((a, b) => (b[1] < a[1] ? b : a), right[0] ?? [candidates[0].name, 0]);
  const untuned = candidates[0].name;
  return { key, candidate, milliseconds, untuned, untunedMilliseconds: times.get(untuned) ?? 0, wrong };
}

/** What of a problem is run and compared. */
interface Subject {
  readonly candidates: readonly MeasuredCandidate[];
  /** Slot of the results, and how they are stored. */
  readonly result: string;
  readonly type: "f32" | "f16";
  /** What the i-th candidate needs beside the operands. */
  ownOf(i: number): OwnSlot[];
}

function subjectOf(problem: MeasuredProblem): Subject {
  if ("weightGradientSlot" in problem) {
    const { weightGradientSlot: result } = problem;
    return { candidates: measuredCandidates(problem), result, type: "f32", ownOf: () => [] };
  }
  const candidates = convolutionCandidates(problem);
  const { slot: result, type } = problem.output.layout;
  return { candidates, result, type, ownOf: (i) => ownSlots(problem, candidates[i].operator) };
}

/** Weights of the operator's own packing, and where its statistics go. */
function ownSlots(problem: Parameters<typeof convolutionCandidates>[0], operator: WgslConvOperator): OwnSlot[] {
  const { weightBytes, weightSegmentBytes, statistics } = operator;
  const inputs = problem.input.parts.reduce((a, b) => a + b);
  const taps = ("kernel" in problem ? problem.kernel : problem.stride).reduce((a, b) => a * b);
  const weight = randomFloats(inputs * problem.outputChannels * taps);
  const packed = new Float32Array(weightBytes / 4);
  operator.pack(weight.map((v) => v / Math.sqrt(inputs * taps)), randomFloats(problem.outputChannels), packed);
  const { statisticsSlot } = problem.output;
  return [
    { slot: problem.weightSlot, bytes: weightBytes, segmentBytes: weightSegmentBytes, data: packed },
    ...(statistics && statisticsSlot !== undefined
      ? [{ slot: statisticsSlot, bytes: statistics.bytes, segmentBytes: statistics.bytes }]
      : []),
  ];
}

interface Operands extends Disposable {
  readonly slots: Map<string, Segments>;
}

/** A problem's arrays on the device: what is read filled with random numbers, and the result. */
function takeOperands({ buffers, commands }: Tools, problem: MeasuredProblem): Operands {
  const { input, batch } = problem;
  const slots = new Map<string, Segments>();
  const taken: Segments[] = [];
  const take = (slot: string, bytes: number, segmentBytes = bytes) => {
    const segments = buffers.takeSegments(bytes, segmentBytes, "a convolution that is measured");
    taken.push(segments);
    slots.set(slot, segments);
    return segments;
  };
  const takeTensor = (layout: SlotLayout) => {
    const size = layout.type === "f16" ? 8 : 16;
    return take(layout.slot, layout.length * size, layout.segmentLength * size);
  };
  const give = () => taken.splice(0).forEach(buffers.giveArray);
  try {
    fill(takeTensor(input.layout), input.layout.type);
    if ("weightGradientSlot" in problem) {
      const { outputGradient: { layout, channels }, kernel } = problem;
      fill(takeTensor(layout), layout.type);
      take(
        problem.weightGradientSlot,
        [channels, ...kernel].reduce((a, b) => a * b, 4 * input.parts.reduce((a, b) => a + b)),
      );
    } else {
      takeTensor(problem.output.layout);
    }
    // Scales, shifts, slopes, all positive: padding lanes stay zeros in a real network, here they only have to be numbers.
    const norm = batch * 3 * input.channelStride * 4;
    if (input.normSlot !== undefined) fill(take(input.normSlot, norm), "f32", (value) => 0.5 + value / 4);
  } catch (error) {
    give();
    throw error;
  }
  return { slots, [Symbol.dispose]: give };

  function fill({ ranges }: Segments, type: "f32" | "f16", map = (value: number) => value): void {
    const data = type === "f32" ? randomFloats(FILL_BYTES / 4).map(map) : randomHalves(FILL_BYTES / 2);
    const bytes = new Uint8Array(data.buffer);
    for (const range of ranges) {
      for (let at = 0; at < range.bytes; at += bytes.length) {
        const length = Math.min(bytes.length, range.bytes - at);
        commands.write({ ...range, offset: range.offset + at }, bytes.subarray(0, length));
      }
    }
  }
}

/** Random data repeats after so many bytes. */
const FILL_BYTES = 3 << 20;

/** Numbers in [-1, 1). */
function randomFloats(count: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count);
  let state = 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[i] = state / 2 ** 31;
  }
  return values;
}

/** Bits of halves of absolute values from 1/4 to 1. */
function randomHalves(count: number): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(
    randomFloats(count),
    (v) => (v < 0 ? 0x8000 : 0) | (0x3400 + Math.floor(Math.abs(v) * 0x7ff)),
  );
}

/** The parts of a result that are compared. */
function sampledParts({ bytes }: Segments) {
  const length = Math.min(COMPARED_BYTES, bytes);
  return [...new Set([0, Math.floor((bytes - length) / 32) * 16])].map((start) => ({ start, length }));
}

/** So that a candidate that writes nothing does not pass for the one before. */
function forgetSample({ commands }: Tools, output: Segments): void {
  const none = (): never => {
    throw new RangeError("Tuning: samples are whole words");
  };
  for (const { start, length } of sampledParts(output)) {
    writeBytes(commands, none, output, new Uint8Array(length), start);
  }
}

/** Parts of a result as numbers. */
async function sampleOf({ gpu, commands }: Tools, output: Segments, type: "f32" | "f16"): Promise<Float32Array[]> {
  const parts = await Promise.all(
    sampledParts(output).map(({ start, length }) => readBytes(gpu, commands, output, start, length)),
  );
  return parts.map((bytes) => type === "f32" ? new Float32Array(bytes.buffer) : halves(bytes));
}

/** IEEE 754 halves as floats. */
function halves(bytes: Uint8Array<ArrayBuffer>): Float32Array {
  return Float32Array.from(new Uint16Array(bytes.buffer), (bits) => {
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    const value = exponent === 31
      ? (fraction ? NaN : Infinity)
      : exponent === 0
      ? fraction * 2 ** -24
      : (1024 + fraction) * 2 ** (exponent - 25);
    return bits & 0x8000 ? -value : value;
  });
}

/** Names of results that differ from what most agree on. */
function outliers(results: ReadonlyMap<string, readonly Float32Array[]>, tolerance: number): string[] {
  const all = [...results];
  const votes = all.map(([, a]) => all.filter(([, b]) => agree(a, b, tolerance)).length);
  const [, most] = all[votes.indexOf(Math.max(...votes))];
  return all.filter(([, result]) => !agree(result, most, tolerance)).map(([name]) => name);
}

function agree(a: readonly Float32Array[], b: readonly Float32Array[], tolerance: number): boolean {
  let [squares, count, largest] = [0, 0, 0];
  for (const [part, values] of a.entries()) {
    for (let i = 0; i < values.length; i++) {
      const difference = Math.abs(values[i] - b[part][i]);
      if (Number.isNaN(difference)) return false;
      largest = Math.max(largest, difference);
      squares += values[i] * values[i];
    }
    count += values.length;
  }
  return largest <= tolerance * Math.sqrt(squares / count);
}
