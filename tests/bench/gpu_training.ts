/** The training half of gpu_bench.ts: steps of the default network, their parts on the device, memory, and gradients against the CPU's. */
import { prepareTraining, TIMED_SGD, type TimedTraining } from "../../core/cases/training.ts";
import type { Precision } from "../../core/engine/engine.ts";
import type { TrainingEngine } from "../../core/engine/training.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import type { GpuEngine } from "../../gpu/engine.ts";
import { median } from "./measurements.ts";
import type { TorchProcess } from "./torch_process.ts";
import { kindOf } from "./training_bench.ts";

const GIB = 2 ** 30;

export interface TrainingRuns {
  readonly net: TimedTraining;
  readonly precisions: readonly Precision[];
  readonly runs: number;
  readonly say: (line: string) => void;
}

/** In f16 gradients are scaled, as GradScaler starts to. */
const optionsOf = (precision: Precision) => ({ ...TIMED_SGD, lossScale: precision === "f16" ? 2 ** 12 : 1 });

/** The same steps in torch: best milliseconds by type; what failed is said. */
export async function trainInTorch(torch: TorchProcess, { net, runs, say }: TrainingRuns) {
  const { options: { patch: [edge], batch }, features } = net;
  const best: Record<string, number> = {};
  for (const dtype of ["fp16", "tf32", "fp32"]) {
    try {
      best[dtype] = Math.min(...await torch.run({ edge, batch, features, dtype, runs, train: true }));
      say(`torch ${dtype}, a training step, batch ${batch}: best ${best[dtype].toFixed(2)} ms`);
    } catch (error) {
      say(`torch ${dtype}, a training step, batch ${batch}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return best;
}

/** Times and memory of training steps; each of their parts by the device's clock. */
export async function measureTraining(
  engine: GpuEngine,
  { net, precisions, runs, say }: TrainingRuns,
  torch: Readonly<Record<string, number>>,
) {
  const all: Record<string, unknown>[] = [];
  for (const precision of precisions) {
    const before = engine.memoryUse().used;
    using program = await prepareTraining(engine, net, precision);
    const times: number[] = [];
    for (let run = 0; run < runs + 2; run++) {
      const start = performance.now();
      await engine.trainStep(program, optionsOf(precision));
      if (run >= 2) times.push(performance.now() - start);
    }
    const [best, taken] = [Math.min(...times), engine.memoryUse().used - before];
    const flops = program.steps.reduce((sum, step) => sum + step.flops, 0);
    const { parameters, activations, scratch } = program.memory;
    const forecast = parameters + activations + scratch;
    const parts = await engine.timeTraining(program);
    const kinds: Record<string, number> = {};
    parts.forEach((milliseconds, i) => {
      const kind = kindOf(program.steps[i].name);
      kinds[kind] = (kinds[kind] ?? 0) + milliseconds;
    });
    const device = parts.reduce((a, b) => a + b, 0);
    all.push({
      batch: net.options.batch,
      precision,
      best,
      median: median(times),
      teraflops: flops / best / 1e9,
      device,
      kinds,
      ...(torch.fp16 !== undefined && { ofTorchFp16: best / torch.fp16 }),
      forecastGiB: forecast / GIB,
      takenGiB: taken / GIB,
      steps: program.steps.map(({ name, algorithm, seconds }, i) => ({
        name,
        algorithm,
        milliseconds: parts[i],
        forecast: seconds * 1e3,
      })),
    });
    const ratio = torch.fp16 === undefined ? "" : `, ${(best / torch.fp16).toFixed(2)} of torch fp16`;
    say(
      `a training step in ${precision}, batch ${net.options.batch}: best ${best.toFixed(2)} ms (on the device ${
        device.toFixed(2)
      }), ${(flops / best / 1e9).toFixed(2)} TFLOP/s of the direct form${ratio}; memory ${
        (taken / GIB).toFixed(2)
      } GiB, forecast ${(forecast / GIB).toFixed(2)}`,
    );
    const largest = Object.entries(kinds).sort(([, a], [, b]) => b - a).slice(0, 5);
    say(`  ${largest.map(([kind, milliseconds]) => `${kind} ${milliseconds.toFixed(2)} ms`).join(", ")}`);
  }
  return all;
}

/**
 * Gradients of one step against the CPU engine's: error as a share of each tensor's largest value, the worst and the median tensor's. With
 * nnU-Net's slope of 0.01 a voxel next to 0 may fall on either side, so the worst can be large where the median is not.
 */
export async function compareGradients(gpu: GpuEngine, { net, precisions, say }: TrainingRuns) {
  await using cpu = await createCpuEngine();
  const wanted = await gradientsOf(cpu, net, "f32");
  const all: Record<string, { readonly worst: number; readonly tensor: string; readonly median: number }> = {};
  for (const precision of precisions) {
    const actual = await gradientsOf(gpu, net, precision);
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
    all[precision] = { worst: real[0].error, tensor: real[0].name, median: median(real.map(({ error }) => error)) };
    const { worst, tensor, median: middle } = all[precision];
    say(
      `gradients in ${precision} against the CPU: ${worst.toExponential(1)} of the largest of ${tensor}, ${
        middle.toExponential(1)
      } of the median tensor`,
    );
  }
  return all;
}

async function gradientsOf(
  engine: TrainingEngine,
  net: TimedTraining,
  precision: Precision,
): Promise<Map<string, Float32Array>> {
  using program = await prepareTraining(engine, net, precision);
  await engine.trainStep(program, optionsOf(precision));
  return await engine.readGradients(program);
}
