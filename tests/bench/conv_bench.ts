/**
 * Times every convolution of a plain U-Net on one thread, beside what 128-bit FMA could do at most on this machine right now.
 * Times are CPU time, so that other programs on the machine disturb little.
 * Run: deno task bench conv [64|96|128|2d] [--all: every algorithm] [part of a layer's name]
 */
import process from "node:process";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { TIMED_NETWORKS } from "../../core/cases/networks.ts";
import { planConv, planTransposedConv } from "../../kernels/wasm/conv/plan_conv.ts";
import { directChoice, planDirect } from "../../kernels/wasm/conv/plan_direct.ts";
import { planWinograd, winogradChoices } from "../../kernels/wasm/conv/plan_winograd.ts";
import { convOutputGrid } from "../../kernels/operators/conv/problem.ts";
import type { ConvOperator, ConvProblem } from "../../kernels/wasm/conv/problem.ts";
import { type ConvCase, createMachine, makeData, packWeights, prepare, problemOf } from "../engine/conv_harness.ts";
import { type Layer, layersOf } from "./layers.ts";
import { measureRoofline } from "./roofline.ts";

/** Milliseconds of CPU time so far. */
function cpuNow(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

interface Timing {
  readonly algorithm: string;
  readonly milliseconds: number;
  readonly packMilliseconds: number;
  readonly forecast: number;
  readonly flops: number;
}

function time(layer: Layer, plan: (problem: ConvProblem) => ConvOperator, rounds: number): Timing {
  const c: ConvCase = { ...layer, batch: 1 };
  const problem = problemOf(c);
  const operator = plan(problem);
  const { grid, stride, kernel } = layer;
  const output: Vec3 = layer.transposed
    ? [grid[0] * stride[0], grid[1] * stride[1], grid[2] * stride[2]]
    : convOutputGrid(grid, kernel, stride);
  const scratch = operator.calls.reduce((sum, call) => sum + call.scratchBytes, 0);
  const temporaries = Object.values(operator.temporaries).reduce((a, b) => a + b, 0);
  const channels = layer.parts.reduce((a, b) => a + b, 4);
  const tensors = 4 * (voxelCount(grid) * channels + voxelCount(output) * (layer.outputs + 4));
  const bytes = tensors + operator.weightBytes + scratch + temporaries + (operator.statistics?.bytes ?? 0);
  const machine = createMachine(Math.ceil((bytes + (operator.packing?.sourceBytes ?? 0)) / 2 ** 20) + 8);
  const data = makeData(c);
  prepare(machine, c, data, problem, operator, output);
  const start = cpuNow();
  packWeights(machine, data, operator, problem.weightSlot);
  const packMilliseconds = cpuNow() - start;
  let best = Infinity;
  for (let i = 0; i < rounds; i++) {
    const from = cpuNow();
    machine.run(operator);
    best = Math.min(best, cpuNow() - from);
  }
  return {
    algorithm: operator.algorithm,
    milliseconds: best,
    packMilliseconds,
    forecast: operator.coreSeconds * 1e3,
    flops: operator.flops,
  };
}

/** The best of so many counts: neighbours on the machine disturb caches even where CPU time is measured. */
const ROUNDS = 8;

export async function bench(args: readonly string[]): Promise<number> {
  const network = args.find((arg) => arg in TIMED_NETWORKS) ?? "64";
  const filter = args.find((arg) => arg !== network && !arg.startsWith("--")) ?? "";
  const all = args.includes("--all");
  const roofline = await measureRoofline(1, cpuNow);
  const lines: string[] = [`roofline of one core: ${roofline.toFixed(1)} GFLOP/s`];
  lines.push(
    "layer                                          algorithm                     times     ms  forecast  GFLOP/s  of roofline",
  );
  let [total, totalForecast, totalFlops, totalPack] = [0, 0, 0, 0];
  for (const layer of layersOf(TIMED_NETWORKS[network])) {
    if (!layer.name.includes(filter)) continue;
    const plans: ((problem: ConvProblem) => ConvOperator)[] = [];
    if (layer.transposed) plans.push(({ kernel: _, ...problem }) => planTransposedConv(problem));
    else {
      plans.push(planConv);
      if (all) {
        plans.push((problem) => planDirect(problem, directChoice(problem)));
        const count = winogradChoices(problemOf({ ...layer, batch: 1 })).length;
        for (let i = 0; i < count; i++) plans.push((problem) => planWinograd(problem, winogradChoices(problem)[i]));
      }
    }
    plans.forEach((plan, i) => {
      const t = time(layer, plan, ROUNDS);
      const gflops = t.flops / t.milliseconds / 1e6;
      lines.push(
        `${layer.name.padEnd(46)} ${t.algorithm.padEnd(30)} ${layer.times} ${t.milliseconds.toFixed(1).padStart(8)} ` +
          `${t.forecast.toFixed(1).padStart(8)} ${gflops.toFixed(0).padStart(8)} ${
            (gflops / roofline).toFixed(2).padStart(8)
          }`,
      );
      if (i > 0) return;
      total += layer.times * t.milliseconds;
      totalForecast += layer.times * t.forecast;
      totalPack += layer.times * t.packMilliseconds;
      totalFlops += layer.times * t.flops;
    });
  }
  lines.push(
    `all ${total.toFixed(0)} ms, forecast ${totalForecast.toFixed(0)} ms, ${
      (totalFlops / total / 1e6).toFixed(0)
    } GFLOP/s; packing ${totalPack.toFixed(0)} ms`,
  );
  await Deno.stdout.write(new TextEncoder().encode(lines.join("\n") + "\n"));
  return 0;
}
