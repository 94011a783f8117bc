/**
 * Times the gradients of a U-Net's convolutions on the CPU engine's workers, beside torch on the same machine, in turns, where
 * NNUNET_BENCH_PYTHON names a Python that has it. GFLOP/s are of the direct form.
 * Run: deno task bench gradient [--threads N] [--batch N] [--runs N] [--all] [--weight] [part of a layer's name]
 */
import process from "node:process";
import { createStream } from "../../cpu/stream.ts";
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { TIMED_NETWORKS } from "../../core/cases/networks.ts";
import type { DataGradientProblem, WeightGradientProblem } from "../../kernels/wasm/conv/problem.ts";
import { planDataGradient } from "../../kernels/wasm/conv/plan_data_gradient.ts";
import { planWeightGradient, weightGradientChoices } from "../../kernels/wasm/conv/plan_weight_gradient.ts";
import { weightGradientPairs } from "../../kernels/wasm/conv/weight_gradient_sides.ts";
import { gradientOutputGrid } from "../../kernels/operators/conv/gradient_problem.ts";
import type { Operator } from "../../kernels/wasm/kernel.ts";
import { emitModule } from "../../kernels/wasm/module.ts";
import { WASM_KERNELS } from "../../cpu/wasm_kernels.ts";
import { noise } from "../engine/run_operator.ts";
import { type Layer, layersOf } from "./layers.ts";
import { startTorch } from "./torch_process.ts";
import { say } from "./say.ts";

/** The layers of a 3-D and of a 2-D network, those that are timed for their forward pass. */
const LAYERS: readonly Layer[] = ["64", "2d"].flatMap((name) => layersOf(TIMED_NETWORKS[name]));

/** Milliseconds: wall time, or with one thread CPU time, which other programs on the machine disturb less. */
function now(threads: number): number {
  if (threads > 1) return performance.now();
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

/** Best time of an operator in milliseconds, on the workers; `slots` are the operands' bytes. */
async function time(operator: Operator, slots: Record<string, number>, threads: number, runs: number): Promise<number> {
  await using stream = await createStream({ threads, module: emitModule(WASM_KERNELS) });
  const { memory } = stream;
  const addresses = new Map<string, number>();
  for (const [slot, bytes] of Object.entries({ ...slots, ...operator.temporaries })) {
    const { address } = memory.allocate(bytes, slot);
    addresses.set(slot, address);
    const values = noise(Math.min(bytes / 4, 1 << 16), addresses.size);
    const target = new Float32Array(memory.memory.buffer, address, bytes / 4);
    for (let i = 0; i < target.length; i += values.length) target.set(values.subarray(0, target.length - i), i);
  }
  const addressOf = (slot: string) => addresses.get(slot) ?? fail(`there is no slot ${slot}`);
  const encoded = stream.encode(operator.calls.map((call) => ({ call, addressOf })));
  let best = Infinity;
  for (let i = 0; i < runs; i++) {
    const start = now(threads);
    stream.submit(encoded, []);
    await stream.settled();
    best = Math.min(best, now(threads) - start);
  }
  return best;
}

function fail(message: string): never {
  throw new Error(message);
}

export async function bench(args: readonly string[]): Promise<number> {
  const option = (name: string, otherwise: number) => {
    const at = args.indexOf(name);
    return at < 0 ? otherwise : Number(args[at + 1]);
  };
  const [threads, batch, runs] = [option("--threads", 2), option("--batch", 2), option("--runs", 6)];
  const filter = args.filter((arg, i) => !arg.startsWith("--") && !/^--(threads|batch|runs)$/.test(args[i - 1] ?? ""));
  const python = Deno.env.get("NNUNET_BENCH_PYTHON");
  using torch = python ? startTorch(python, "torch_gradient.py", threads) : undefined;
  say(`${threads} threads, batch ${batch}; ms (forecast, GFLOP/s), torch's ms, ratio`);
  for (const l of LAYERS) {
    if (filter.length > 0 && !filter.some((part) => l.name.includes(part))) continue;
    const inputs = l.parts.reduce((a, b) => a + b);
    const common = {
      name: l.name,
      batch,
      inputGrid: l.grid,
      kernel: l.kernel,
      stride: l.stride,
      transposed: l.transposed,
      outputGradient: { slot: "dy", channelStride: padToFour(l.outputs), channelOffset: 0, parts: [l.outputs] },
    };
    const operand = { channelStride: padToFour(inputs), channelOffset: 0, parts: l.parts };
    const weightProblem: WeightGradientProblem = {
      ...common,
      input: { slot: "x", ...operand, normSlot: "norm" },
      weightGradientSlot: "dw",
    };
    const dataProblem: DataGradientProblem = {
      ...common,
      weightSlot: "w",
      inputGradient: { slot: "dx", ...operand },
      accumulate: false,
    };
    const weights = inputs * l.outputs * voxelCount(l.kernel) * 4;
    const tensor = (grid: Vec3, channels: number) => batch * voxelCount(grid) * padToFour(channels) * 4;
    const slots = {
      x: tensor(l.grid, inputs),
      dx: tensor(l.grid, inputs),
      dy: tensor(gradientOutputGrid(common), l.outputs),
      norm: batch * 3 * padToFour(inputs) * 4,
      w: weights,
      dw: weights,
    };
    const report = async (operator: Operator, theirs: number | undefined) => {
      const ms = await time(operator, slots, threads, runs);
      const forecast = operator.coreSeconds * 1e3 / threads;
      const beside = theirs === undefined ? "" : `  torch ${theirs.toFixed(1)}  ratio ${(ms / theirs).toFixed(2)}`;
      say(
        `  ${ms.toFixed(1).padStart(8)} (${forecast.toFixed(1)}, ${
          (operator.flops / ms / 1e6).toFixed(0)
        })  ${operator.algorithm}${beside}`,
      );
      return ms;
    };
    say(l.name);
    const best = async (...of: readonly ("weight" | "data")[]) =>
      torch && Math.min(...await torch.run({ ...l, inputs, batch, of, runs: Math.min(runs, 4) }));
    const weight = await report(planWeightGradient(weightProblem), await best("weight"));
    if (args.includes("--all")) {
      for (
        const choice of weightGradientPairs(weightProblem).flatMap((pair) => weightGradientChoices(weightProblem, pair))
          .slice(1)
      ) {
        await report(planWeightGradient(weightProblem, () => choice), undefined);
      }
    }
    if (args.includes("--weight")) continue;
    const data = await report(planDataGradient(dataProblem), await best("data"));
    const both = await best("weight", "data");
    if (both === undefined) continue;
    const ratio = ((weight + data) / both).toFixed(2);
    say(`  ${(weight + data).toFixed(1).padStart(8)} both; torch ${both.toFixed(1)}  ratio ${ratio}`);
  }
  return 0;
}
