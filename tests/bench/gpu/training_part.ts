/** Training steps: each awaited, all with one wait, the host's time to enqueue one, and what its parts take on the device. */
import { prepareTraining, type TimedTraining, timedTraining } from "../../../core/cases/training.ts";
import type { Precision } from "../../../core/engine/engine.ts";
import type { TrainingProgram } from "../../../core/engine/training.ts";
import { sum } from "../../../kernels/operators/arithmetic.ts";
import { kindOf } from "../training_bench.ts";
import { repeat } from "./budget.ts";
import { type EnginePart, measureTimes, precisionsOf, watchMemory } from "./engine_part.ts";
import { sgdOf } from "./parity_part.ts";
import { cube } from "./sizes.ts";

export async function measureTraining(part: EnginePart): Promise<void> {
  const { sizes: { edge, trainBatch, features }, engine, limit } = part;
  const net = timedTraining(cube(edge), trainBatch, features);
  for (const precision of precisionsOf(engine)) {
    if (limit.allows(precision)) await measureSteps(part, net, precision);
  }
}

async function measureSteps(part: EnginePart, net: TimedTraining, precision: Precision): Promise<void> {
  const { engine, sizes: { runs }, limit, report, clock } = part;
  const memoryReport = await watchMemory(part);
  const start = clock();
  using program = await prepareTraining(engine, net, precision);
  await engine.flush();
  report.measure(`${precision}: ready after`, clock() - start, "ms");
  const step = () => engine.trainStep(program, sgdOf(precision));
  const times = await repeat(clock, limit, { piece: `${precision}: step`, runs }, step);
  if (times.length === 0) return;
  measureTimes(report, `${precision}: step`, times);
  const { parameters, activations, scratch } = program.memory;
  await memoryReport(precision, parameters + activations + scratch);
  const best = Math.min(...times);
  const flops = sum(program.steps.map((one) => one.flops));
  report.measure(`${precision}: direct form`, flops / best / 1e9, "TFLOP/s");
  if (limit.allows(`${precision}: steps in a row`, runs * best)) {
    const from = clock();
    const running = Array.from({ length: runs }, step);
    const recorded = clock();
    await Promise.all(running);
    report.measure(`${precision}: steps in a row`, (clock() - from) / runs, "ms a step");
    report.measure(`${precision}: host`, (recorded - from) / runs, "ms a step");
  }
  if (!limit.allows(`${precision}: parts`, 2 * best)) return;
  const device = await measureParts(part, program, precision);
  report.say(
    `a training step in ${precision}, batch ${net.options.batch}: ${best.toFixed(2)} ms (on the device ${
      device.toFixed(2)
    }), ${(flops / best / 1e9).toFixed(2)} TFLOP/s of the direct form`,
  );
}

/** @returns milliseconds of all parts of a step on the device */
async function measureParts({ engine, report }: EnginePart, program: TrainingProgram, precision: Precision) {
  const parts = await engine.timeTraining(program);
  report.measure(`${precision}: device`, sum(parts), "ms a step");
  const kinds: Record<string, number> = {};
  parts.forEach((milliseconds, i) => {
    const kind = kindOf(program.steps[i].name);
    kinds[kind] = (kinds[kind] ?? 0) + milliseconds;
  });
  report.detail(`${precision}: kinds`, kinds);
  report.detail(
    `${precision}: steps`,
    program.steps.map(({ name, algorithm, seconds }, i) => ({
      name,
      algorithm,
      milliseconds: parts[i],
      forecast: seconds * 1e3,
    })),
  );
  const largest = Object.entries(kinds).sort(([, a], [, b]) => b - a).slice(0, 5);
  report.say(`  ${largest.map(([kind, milliseconds]) => `${kind} ${milliseconds.toFixed(2)} ms`).join(", ")}`);
  return sum(parts);
}
