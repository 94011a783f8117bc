/**
 * Times every convolution of a plain U-Net on one thread, beside what 128-bit FMA could do at most on this machine right now.
 * Times are CPU time, so that other programs on the machine disturb little.
 * Run: deno task bench conv [patch edge] [2d|3d] [name filter]
 */
import process from "node:process";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { planConv, planTransposedConv } from "../../kernels/wasm/conv/plan_conv.ts";
import { directChoice, planDirect } from "../../kernels/wasm/conv/plan_direct.ts";
import { planWinograd, winogradChoices } from "../../kernels/wasm/conv/plan_winograd.ts";
import { convOutputGrid } from "../../kernels/operators/conv/problem.ts";
import type { ConvOperator, ConvProblem } from "../../kernels/wasm/conv/problem.ts";
import { f32x4, v128 } from "../../kernels/wasm/emit/expression.ts";
import type { Kernel } from "../../kernels/wasm/emit/module_builder.ts";
import { emitModule } from "../../kernels/wasm/module.ts";
import { type ConvCase, createMachine, makeData, packWeights, prepare, problemOf } from "../engine/conv_harness.ts";

interface Layer {
  readonly name: string;
  readonly times: number;
  readonly c: ConvCase;
  readonly transposed?: boolean;
}

/** The distinct convolutions of a plain U-Net with two a stage and how often each occurs. */
function plainNetLayers(edge: number, is2d: boolean): Layer[] {
  const features = is2d ? [32, 64, 128, 256, 512, 512, 512] : [32, 64, 128, 256, 320, 320];
  const grid = (level: number): Vec3 => {
    const n = edge >> level;
    return is2d ? [1, n, n] : [n, n, n];
  };
  const kernel: Vec3 = is2d ? [1, 3, 3] : [3, 3, 3];
  const stride: Vec3 = is2d ? [1, 2, 2] : [2, 2, 2];
  const one: Vec3 = [1, 1, 1];
  const base = { batch: 1, norm: true, statistics: true };
  const layers: Layer[] = [];
  const add = (name: string, times: number, c: Omit<ConvCase, "batch" | "statistics" | "norm"> & { norm?: boolean }) =>
    layers.push({ name, times, c: { ...base, ...c } });
  add("first", 1, { grid: grid(0), parts: [1], outputs: features[0], kernel, stride: one, norm: false });
  const last = features.length - 1;
  features.forEach((n, level) => {
    if (level > 0) {
      add(`down ${level}`, 1, { grid: grid(level - 1), parts: [features[level - 1]], outputs: n, kernel, stride });
    }
    add(`same ${level}`, level === last ? 1 : 2, { grid: grid(level), parts: [n], outputs: n, kernel, stride: one });
    if (level < last) {
      add(`decoder ${level}`, 1, { grid: grid(level), parts: [n, n], outputs: n, kernel, stride: one });
      const c: ConvCase = {
        ...base,
        statistics: false,
        grid: grid(level + 1),
        parts: [features[level + 1]],
        outputs: n,
        kernel: stride,
        stride,
      };
      layers.push({ name: `up ${level}`, times: 1, transposed: true, c });
    }
  });
  layers.push({
    name: "head",
    times: 1,
    c: { ...base, statistics: false, grid: grid(0), parts: [features[0]], outputs: 4, kernel: one, stride: one },
  });
  return layers;
}

/** Milliseconds of CPU time so far. */
function cpuNow(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

/** GFLOP/s of twelve independent chains of fused multiply-adds. */
function rooflineGflops(): number {
  const kernel: Kernel = {
    name: "fma",
    emit: (m) =>
      m.kernel("fma", (f, params, item) => {
        const x = f.local("v128", f32x4.splat(0.999));
        const sums = Array.from({ length: 12 }, () => f.local("v128", f32x4.splat(1)));
        f.countdown(item, () => sums.forEach((s) => f.set(s, f32x4.madd(s, x, x))));
        f.storeV128(
          params,
          sums.reduce((a, b) => {
            f.set(a, f32x4.add(a, b));
            return a;
          }),
        );
        f.storeV128(params, v128.load(params));
      }),
  };
  const descriptor = { address: "i64", shared: true, initial: 1n, maximum: 1n };
  const memory = new WebAssembly.Memory(descriptor as unknown as WebAssembly.MemoryDescriptor);
  const module = new WebAssembly.Module(emitModule([kernel]));
  const run = new WebAssembly.Instance(module, { env: { memory } }).exports.fma as (
    p: bigint,
    n: number,
    s: bigint,
  ) => void;
  let best = Infinity;
  for (let i = 0; i < 8; i++) {
    const start = cpuNow();
    run(0n, 2e7, 0n);
    best = Math.min(best, cpuNow() - start);
  }
  return 2e7 * 12 * 8 / best / 1e6;
}

interface Timing {
  readonly algorithm: string;
  readonly milliseconds: number;
  readonly packMilliseconds: number;
  readonly forecast: number;
  readonly flops: number;
}

function time(layer: Layer, plan: (problem: ConvProblem) => ConvOperator, rounds: number): Timing {
  const problem = problemOf(layer.c);
  const operator = plan(problem);
  const { grid, stride, kernel } = layer.c;
  const output: Vec3 = layer.transposed
    ? [grid[0] * stride[0], grid[1] * stride[1], grid[2] * stride[2]]
    : convOutputGrid(grid, kernel, stride);
  const scratch = operator.calls.reduce((sum, call) => sum + call.scratchBytes, 0);
  const temporaries = Object.values(operator.temporaries).reduce((a, b) => a + b, 0);
  const channels = layer.c.parts.reduce((a, b) => a + b, 4);
  const tensors = 4 * (voxelCount(grid) * channels + voxelCount(output) * (layer.c.outputs + 4));
  const bytes = tensors + operator.weightBytes + scratch + temporaries + (operator.statistics?.bytes ?? 0);
  const machine = createMachine(Math.ceil((bytes + (operator.packing?.sourceBytes ?? 0)) / 2 ** 20) + 8);
  const data = makeData(layer.c);
  prepare(machine, layer.c, data, problem, operator, output);
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

/** Arguments: edge of the patch, 2d or 3d, part of a layer's name, anything to time all algorithms. */
export async function bench(
  [edge = "64", dimension = "3d", filter = "", all = ""]: readonly string[],
): Promise<number> {
  const roofline = rooflineGflops();
  const lines: string[] = [`roofline of one core: ${roofline.toFixed(1)} GFLOP/s`];
  lines.push("layer           algorithm                     times     ms  forecast  GFLOP/s  of roofline");
  let [total, totalForecast, totalFlops, totalPack] = [0, 0, 0, 0];
  for (const layer of plainNetLayers(Number(edge), dimension === "2d")) {
    if (!layer.name.includes(filter)) continue;
    const plans: ((problem: ConvProblem) => ConvOperator)[] = [];
    if (layer.transposed) plans.push(({ kernel: _, ...problem }) => planTransposedConv(problem));
    else {
      plans.push(planConv);
      if (all) {
        plans.push((problem) => planDirect(problem, directChoice(problem)));
        const count = winogradChoices(problemOf(layer.c)).length;
        for (let i = 0; i < count; i++) plans.push((problem) => planWinograd(problem, winogradChoices(problem)[i]));
      }
    }
    plans.forEach((plan, i) => {
      const t = time(layer, plan, ROUNDS);
      const gflops = t.flops / t.milliseconds / 1e6;
      lines.push(
        `${layer.name.padEnd(15)} ${t.algorithm.padEnd(30)} ${layer.times} ${t.milliseconds.toFixed(1).padStart(8)} ` +
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
