/** Whether the GPU computes what the CPU does, at the size of real use: a forward pass and the gradients of a training step. */
import { timedNetwork } from "../../../core/cases/networks.ts";
import { prepareTraining, TIMED_SGD, type TimedTraining, timedTraining } from "../../../core/cases/training.ts";
import type { Engine, Precision } from "../../../core/engine/engine.ts";
import type { TrainingEngine } from "../../../core/engine/training.ts";
import { createCpuEngine } from "../../../cpu/engine.ts";
import { median } from "../measurements.ts";
import { type EnginePart, precisionsOf } from "./engine_part.ts";
import { cube, type Sizes } from "./sizes.ts";

/**
 * Differences allowed, as shares of the logits' standard deviation, and of the labels that may differ. Rounding alone is a tenth of these;
 * a tile of wrong results among two million voxels is more.
 */
const ALLOWED = {
  f32: { worst: 1e-3, rootMeanSquare: 1e-4, labels: 1e-3, gradients: 1e-2 },
  f16: { worst: 0.3, rootMeanSquare: 2e-2, labels: 1e-2, gradients: 0.3 },
} as const;

const CLASSES = 3;

export async function measureParity(part: EnginePart): Promise<void> {
  const { engine, sizes, limit } = part;
  await using cpu = await createCpuEngine();
  if (limit.allows("the forward pass")) await compareForward(part, await logitsOf(cpu, sizes, "f32"));
  if (!limit.allows("gradients")) return;
  const net = timedTraining(cube(sizes.gradientEdge), 1, sizes.features);
  const wanted = await gradientsOf(cpu, net, "f32");
  for (const precision of precisionsOf(engine)) {
    if (limit.allows(`gradients in ${precision}`)) await compareGradients(part, net, precision, wanted);
  }
}

async function compareForward({ engine, sizes, limit, report }: EnginePart, wanted: Float32Array): Promise<void> {
  const deviation = deviationOf(wanted);
  for (const precision of precisionsOf(engine)) {
    if (!limit.allows(`the forward pass in ${precision}`)) continue;
    const actual = await logitsOf(engine, sizes, precision);
    const { worst, rootMeanSquare } = differenceOf(actual, wanted, deviation);
    const different = differentLabels(actual, wanted);
    report.measure(`${precision}: worst`, worst, "of the spread");
    report.measure(`${precision}: root mean square`, rootMeanSquare, "of the spread");
    report.measure(`${precision}: labels that differ`, different, "of all");
    const line = `${precision} against the CPU: ${worst.toExponential(1)} of the spread at worst, ` +
      `${rootMeanSquare.toExponential(1)} on average, ${(100 * different).toFixed(3)} % of the labels differ`;
    const allowed = ALLOWED[precision];
    // Written so that NaN is wrong.
    const right = worst <= allowed.worst && rootMeanSquare <= allowed.rootMeanSquare && different <= allowed.labels;
    if (right) report.say(line);
    else report.wrong(line);
  }
}

async function logitsOf(engine: Engine, { edge, features }: Sizes, precision: Precision): Promise<Float32Array> {
  using prepared = await timedNetwork(edge, features, CLASSES).prepare(engine, precision);
  prepared.run();
  return await engine.downloadOutput(prepared.program, 0);
}

function deviationOf(values: Float32Array): number {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
}

/** The largest and the mean difference, as shares of `deviation`; NaN where a value is none. */
function differenceOf(actual: Float32Array, wanted: Float32Array, deviation: number) {
  let [worst, squares] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    const difference = Math.abs(actual[i] - wanted[i]);
    worst = Math.max(worst, difference);
    squares += difference * difference;
  }
  return { worst: worst / deviation, rootMeanSquare: Math.sqrt(squares / wanted.length) / deviation };
}

function differentLabels(actual: Float32Array, wanted: Float32Array): number {
  const voxels = wanted.length / CLASSES;
  let different = 0;
  for (let i = 0; i < voxels; i++) different += Number(labelAt(actual, i, voxels) !== labelAt(wanted, i, voxels));
  return different / voxels;
}

function labelAt(logits: Float32Array, voxel: number, voxels: number): number {
  let label = 0;
  for (let c = 1; c < CLASSES; c++) if (logits[voxel + c * voxels] > logits[voxel + label * voxels]) label = c;
  return label;
}

/**
 * Differences as shares of each tensor's largest value; the median tensor's decides. With nnU-Net's slope of 0.01 a voxel next to 0 may fall
 * on either side, so the worst can be large where nothing is wrong.
 */
async function compareGradients(
  { engine, report }: EnginePart,
  net: TimedTraining,
  precision: Precision,
  wanted: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  const actual = await gradientsOf(engine, net, precision);
  const errors = [...wanted].map(([name, values]) => {
    let [error, largest] = [0, 0];
    values.forEach((value, i) => {
      error = Math.max(error, Math.abs((actual.get(name)?.[i] ?? NaN) - value));
      largest = Math.max(largest, Math.abs(value));
    });
    return { name, error: error / largest };
  });
  // Biases before a norm have none: theirs is rounding.
  const real = errors.filter(({ name }) => !name.endsWith(".conv.bias")).sort((a, b) => b.error - a.error);
  const [worst] = real;
  const middle = median(real.map(({ error }) => error));
  report.measure(`${precision}: gradients, median tensor`, middle, "of the largest");
  report.detail(`${precision}: gradients, worst tensor`, worst);
  const line = `gradients in ${precision} against the CPU: ${worst.error.toExponential(1)} of the largest of ` +
    `${worst.name}, ${middle.toExponential(1)} of the median tensor`;
  const right = middle <= ALLOWED[precision].gradients && real.every(({ error }) => Number.isFinite(error));
  if (right) report.say(line);
  else report.wrong(line);
}

async function gradientsOf(
  engine: TrainingEngine,
  net: TimedTraining,
  precision: Precision,
): Promise<Map<string, Float32Array>> {
  using program = await prepareTraining(engine, net, precision);
  await engine.trainStep(program, sgdOf(precision));
  return await engine.readGradients(program);
}

/** In f16 gradients are scaled, as GradScaler starts to. */
export const sgdOf = (precision: Precision) => ({ ...TIMED_SGD, lossScale: precision === "f16" ? 2 ** 12 : 1 });
