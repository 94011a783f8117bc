/**
 * Tuning for what is left of the budget: convolutions and gradients that take a hundredth of a pass or a step at least, the longest first;
 * then the same passes and steps with what was found.
 */
import { timedNetwork } from "../../../core/cases/networks.ts";
import { prepareTraining, timedTraining } from "../../../core/cases/training.ts";
import type { CompileOptions, Precision } from "../../../core/engine/engine.ts";
import type { TrainingOptions } from "../../../core/engine/training.ts";
import type { Graph } from "../../../core/graph/graph.ts";
import { createGpuEngine, type GpuEngine, type GpuEngineOptions } from "../../../gpu/engine.ts";
import { sum } from "../../../kernels/operators/arithmetic.ts";
import { createLimit, type Limit, repeat } from "./budget.ts";
import { type EnginePart, precisionsOf } from "./engine_part.ts";
import { sgdOf } from "./parity_part.ts";
import { cube } from "./sizes.ts";

/** What a shape must take of a pass or a step. */
const WORTH = 0.01;
/** Of the time, for measuring what was found. */
const KEPT = 0.25;

/** A pass or a step that is tuned. */
interface Subject {
  readonly name: string;
  readonly graph: Graph;
  readonly options: CompileOptions | TrainingOptions;
  prepare(engine: GpuEngine): Promise<Prepared>;
}

interface Prepared extends Disposable {
  /** Milliseconds of each of `steps` on the device. */
  time(): Promise<number[]>;
  readonly steps: readonly { readonly name: string }[];
  run(): Promise<unknown>;
}

/** @param options With which an engine is opened that takes what was found */
export async function measureTuning(part: EnginePart, options: GpuEngineOptions): Promise<void> {
  const { engine, report, clock, limit } = part;
  const tuning = new Map<string, string>();
  const found = createLimit(clock, (1 - KEPT) * limit.left(), report.cut);
  const subjects = precisionsOf(engine).flatMap((precision) => subjectsOf(part, precision));
  const measured = new Map<Subject, number>();
  for (const subject of subjects) {
    if (!found.allows(`tuning ${subject.name}`)) continue;
    measured.set(subject, await tuneSubject(part, subject, found, tuning));
    report.detail("choices", Object.fromEntries(tuning));
  }
  report.measure("shapes", tuning.size, "tuned");
  await engine[Symbol.asyncDispose]();
  await using tuned = await createGpuEngine({ ...options, tuning });
  for (const [subject, before] of measured) {
    if (limit.allows(`measuring ${subject.name} again`)) await measureTuned(part, tuned, subject, before);
  }
}

function subjectsOf({ sizes: { edge, features, trainBatch } }: EnginePart, precision: Precision): Subject[] {
  const patch = cube(edge);
  const network = timedNetwork(edge, features);
  const net = timedTraining(patch, trainBatch, features);
  return [{
    name: `${precision} pass`,
    graph: network.graph,
    options: { patch, batch: 1, precision },
    async prepare(engine) {
      const prepared = await network.prepare(engine, precision);
      const { program, weights } = prepared;
      return {
        steps: program.steps,
        time: () => engine.timeSteps(program, weights),
        run: () => {
          engine.run(program, weights);
          return engine.flush();
        },
        [Symbol.dispose]: () => prepared[Symbol.dispose](),
      };
    },
  }, {
    name: `${precision} training step`,
    graph: net.graph,
    options: { ...net.options, precision },
    async prepare(engine) {
      const program = await prepareTraining(engine, net, precision);
      const run = () => engine.trainStep(program, sgdOf(precision));
      await run();
      return {
        steps: program.steps,
        time: () => engine.timeTraining(program),
        run,
        [Symbol.dispose]: () => program[Symbol.dispose](),
      };
    },
  }];
}

/** Puts what is found into `tuning`. @returns milliseconds of the subject on the device before */
async function tuneSubject(
  { engine, report }: EnginePart,
  subject: Subject,
  limit: Limit,
  tuning: Map<string, string>,
): Promise<number> {
  const shares = new Map<string, number>();
  const total = await (async () => {
    using prepared = await subject.prepare(engine);
    await prepared.time();
    const times = await prepared.time();
    const all = sum(times);
    times.forEach((milliseconds, i) => {
      const { name } = prepared.steps[i];
      shares.set(name, (shares.get(name) ?? 0) + milliseconds / all);
    });
    return all;
  })();
  await engine.tune(subject.graph, subject.options, {
    skip: (key) => tuning.has(key),
    worth(steps) {
      const share = sum(steps.map((step) => shares.get(step) ?? 0));
      return share >= WORTH ? share : 0;
    },
    goesOn: (key) => limit.allows(`tuning ${subject.name} from ${key} on`),
    onTuned({ key, candidate, milliseconds, untuned, untunedMilliseconds, wrong }) {
      tuning.set(key, candidate);
      if (wrong.length > 0) report.wrong(`${key}: wrong results of ${wrong.join(", ")}`);
      if (candidate === untuned) return;
      report.say(`${key}: ${candidate} ${milliseconds.toFixed(3)} ms, ${untuned} ${untunedMilliseconds.toFixed(3)} ms`);
    },
  });
  return total;
}

const RUNS = 10;

async function measureTuned({ report, clock, limit }: EnginePart, engine: GpuEngine, subject: Subject, before: number) {
  using prepared = await subject.prepare(engine);
  const times = await repeat(clock, limit, { piece: `${subject.name}, tuned`, runs: RUNS }, prepared.run);
  if (times.length === 0) return;
  report.measure(`${subject.name}: tuned latency`, Math.min(...times), "ms");
  const after = sum(await prepared.time());
  report.measure(`${subject.name}: device before`, before, "ms");
  report.measure(`${subject.name}: device tuned`, after, "ms");
  report.say(
    `${subject.name}, tuned: ${Math.min(...times).toFixed(2)} ms, on the device ${after.toFixed(2)} ms, before ${
      before.toFixed(2)
    }`,
  );
}
