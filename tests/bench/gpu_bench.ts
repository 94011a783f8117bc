/**
 * What a GPU gives: its f32 peak with our products, whether it computes what the CPU does, forward passes of the default 3-D network in
 * f32 and f16, training steps of it (gpu_training.ts), as forecast and tuned, beside torch (fp16 autocast, TF32, f32), and device memory
 * as forecast and as taken. Written to tests/bench/results/ADAPTER.json after every part, so that what was measured stays if the machine goes.
 *
 *   deno task bench gpu [--edge 128] [--batches 1,4] [--train-batch 2] [--runs 20] [--train-only] [--no-train] [--no-tune] [--no-parity]
 *                       [--allow_software_gpu] [--out FOLDER]
 *
 * On a bare machine that was given a prepared folder: `. .gpu/enter.sh; deno task bench gpu`. NNUNET_BENCH_PYTHON names a Python that has
 * torch with CUDA; without one torch's part is left out. A whole prediction against upstream: `deno task bench predict ... --gpu`.
 */
import { ensureFolder, writeAtomically } from "../../core/base/files.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import type { Engine, Precision } from "../../core/engine/engine.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { timedNetwork } from "../../core/cases/networks.ts";
import { type TimedTraining, timedTraining } from "../../core/cases/training.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { RAISED_LIMITS } from "../../gpu/adapter.ts";
import { createGpuEngine, type GpuEngine, type Tuning } from "../../gpu/engine.ts";
import { kernelChecksum } from "../../gpu/kernel_checksum.ts";
import { gemmPeakKernel, peakTiles } from "../../kernels/wgsl/conv/peak.ts";
import { compareGradients, measureTraining, trainInTorch } from "./gpu_training.ts";
import { median } from "./measurements.ts";
import { startTorch } from "./torch_process.ts";

const FEATURES = [32, 64, 128, 256, 320, 320];
/** A software adapter shows that the bench works, no more. */
const SOFTWARE_FEATURES = [4, 8];
const GIB = 2 ** 30;

interface Setting {
  readonly edge: number;
  readonly batches: readonly number[];
  readonly runs: number;
  readonly features: readonly number[];
  readonly graph: Graph;
  readonly allowSoftware: boolean;
  /** False: trainings alone. */
  readonly forward: boolean;
  /** The network that is trained, if it is. */
  readonly training?: TimedTraining;
}

export async function bench(args: readonly string[]): Promise<number> {
  const option = (name: string, otherwise: string) => args.includes(name) ? args[args.indexOf(name) + 1] : otherwise;
  const allowSoftware = args.includes("--allow_software_gpu");
  await using engine = await createGpuEngine({ allowSoftware });
  const { software } = engine.adapter;
  const features = software ? SOFTWARE_FEATURES : FEATURES;
  const edge = Number(option("--edge", software ? "16" : "128"));
  const training = timedTraining([edge, edge, edge], Number(option("--train-batch", "2")), features);
  const setting: Setting = {
    features,
    allowSoftware,
    edge,
    forward: !args.includes("--train-only"),
    ...(!args.includes("--no-train") && { training }),
    batches: option("--batches", "1,4").split(",").map(Number),
    runs: Number(option("--runs", software ? "2" : "20")),
    graph: timedNetwork(edge, features).graph,
  };
  const results = await startResults(
    engine,
    setting,
    option("--out", join(fromFileUrl(new URL(".", import.meta.url)), "results")),
  );

  // torch first: what it reaches is what ours is held against.
  const python = Deno.env.get("NNUNET_BENCH_PYTHON");
  const torch = python ? await measureTorch(python, setting) : NO_TORCH;
  await results.add("torch", python ? torch : "NNUNET_BENCH_PYTHON names no Python with torch");
  await results.add("peak", await measurePeak(engine, software ? 256 : 4096));
  if (!args.includes("--no-parity")) await results.add("parity", await measureParity(engine, setting));
  await results.add("untuned", await measureAll(engine, setting, torch));
  if (args.includes("--no-tune")) return 0;
  const tuning = await tune(engine, setting);
  await results.add("tuning", Object.fromEntries(tuning));
  await engine[Symbol.asyncDispose]();
  await using tuned = await createGpuEngine({ allowSoftware, tuning });
  await results.add("tuned", await measureAll(tuned, setting, torch));
  return 0;
}

const runsOf = (engine: GpuEngine, net: TimedTraining, runs: number) => ({
  net,
  precisions: precisionsOf(engine),
  runs,
  say,
});

async function measureAll(engine: GpuEngine, setting: Setting, torch: TorchTimes) {
  const { forward, training, runs } = setting;
  return {
    ...(forward && { networks: await measureNetworks(engine, setting, torch.forward) }),
    ...(training && { training: await measureTraining(engine, runsOf(engine, training, runs), torch.training) }),
  };
}

/** The results' file, written anew with every part. */
async function startResults({ adapter, device }: GpuEngine, setting: Setting, folder: string) {
  const path = join(
    folder,
    `${adapter.name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "")}.json`,
  );
  await ensureFolder(folder, "making the results' folder");
  const { edge, features, runs } = setting;
  const all: Record<string, unknown> = {
    adapter: adapter.name,
    software: adapter.software,
    features: adapter.features,
    limits: Object.fromEntries(RAISED_LIMITS.map((name) => [name, device.limits[name]])),
    deno: Deno.version.deno,
    kernels: await kernelChecksum(),
    when: new Date().toISOString(),
    network: { features, edge, runs },
  };
  say(`${adapter.name} -> ${path}`);
  return {
    async add(name: string, value: unknown): Promise<void> {
      all[name] = value;
      await writeAtomically(path, `${JSON.stringify(all, null, 1)}\n`);
    },
  };
}

interface TorchTime {
  readonly dtype: string;
  readonly batch: number;
  readonly best: number;
  readonly median: number;
}

interface TorchTimes {
  readonly forward: readonly TorchTime[];
  /** Best milliseconds of a step by type. */
  readonly training: Readonly<Record<string, number>>;
}

const NO_TORCH: TorchTimes = { forward: [], training: {} };

async function measureTorch(python: string, setting: Setting): Promise<TorchTimes> {
  const { edge, features, batches, runs, forward, training } = setting;
  using torch = startTorch(python, "torch_gpu.py", 1);
  const times: TorchTime[] = [];
  for (const batch of forward ? batches : []) {
    for (const dtype of ["fp16", "tf32", "fp32"]) {
      try {
        const all = await torch.run({ edge, batch, features, dtype, runs });
        times.push({ dtype, batch, best: Math.min(...all), median: median(all) });
        say(`torch ${dtype}, batch ${batch}: best ${Math.min(...all).toFixed(2)} ms`);
      } catch (error) {
        say(`torch ${dtype}, batch ${batch}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
  return {
    forward: times,
    training: training ? await trainInTorch(torch, { net: training, precisions: [], runs, say }) : {},
  };
}

/** f32 TFLOP/s of large square products, by register tile. */
async function measurePeak({ device, timeOperator }: GpuEngine, size: number) {
  const { limits } = device;
  const tiles = peakTiles({
    workgroupMemoryBytes: limits.maxComputeWorkgroupStorageSize,
    workgroupThreads: limits.maxComputeInvocationsPerWorkgroup,
    maxBindings: limits.maxStorageBuffersPerShaderStage,
    maxBindingBytes: limits.maxStorageBufferBindingSize,
  });
  const bytes = size * size * 4;
  const all: { readonly kernel: string; readonly teraflops: number }[] = [];
  for (const tile of tiles) {
    const operator = gemmPeakKernel(size, tile);
    const milliseconds = await timeOperator(operator, { a: bytes, b: bytes, c: bytes });
    all.push({ kernel: operator.algorithm, teraflops: operator.flops / milliseconds / 1e9 });
  }
  all.sort((a, b) => b.teraflops - a.teraflops);
  say(`f32 peak: ${all[0].teraflops.toFixed(2)} TFLOP/s (${all[0].kernel})`);
  return all;
}

/** One forward pass against the CPU engine's: largest error as a share of the standard deviation, and share of equal labels. */
async function measureParity(gpu: GpuEngine, setting: Setting) {
  const { forward, training } = setting;
  return {
    ...(forward && await measureForwardParity(gpu, setting)),
    ...(training &&
      {
        gradients: await compareGradients(
          gpu,
          runsOf(gpu, timedTraining(training.options.patch, 1, training.features), 1),
        ),
      }),
  };
}

async function measureForwardParity(gpu: GpuEngine, setting: Setting) {
  await using cpu = await createCpuEngine();
  const wanted = await forward(cpu, setting, "f32");
  const mean = wanted.reduce((a, b) => a + b, 0) / wanted.length;
  const deviation = Math.sqrt(wanted.reduce((a, b) => a + (b - mean) ** 2, 0) / wanted.length);
  const all: Record<string, { readonly worst: number; readonly equalLabels: number }> = {};
  for (const precision of precisionsOf(gpu)) {
    const actual = await forward(gpu, setting, precision);
    let worst = 0;
    wanted.forEach((value, i) => worst = Math.max(worst, Math.abs(actual[i] - value)));
    const voxels = wanted.length / 3;
    let equal = 0;
    for (let i = 0; i < voxels; i++) equal += Number(labelAt(actual, i, voxels) === labelAt(wanted, i, voxels));
    all[precision] = { worst: worst / deviation, equalLabels: equal / voxels };
    say(
      `${precision} against the CPU: ${(worst / deviation).toExponential(1)} of the spread, ${
        (100 * equal / voxels).toFixed(3)
      } % of the labels equal`,
    );
  }
  return all;
}

function labelAt(logits: Float32Array, voxel: number, voxels: number): number {
  const [a, b, c] = [logits[voxel], logits[voxel + voxels], logits[voxel + 2 * voxels]];
  return a >= b && a >= c ? 0 : b >= c ? 1 : 2;
}

async function forward(engine: Engine, { edge, features }: Setting, precision: Precision): Promise<Float32Array> {
  using prepared = await timedNetwork(edge, features).prepare(engine, precision);
  prepared.run();
  return await engine.downloadOutput(prepared.program, 0);
}

async function measureNetworks(
  engine: GpuEngine,
  { edge, features, batches, runs }: Setting,
  torch: readonly TorchTime[],
) {
  const all: Record<string, unknown>[] = [];
  for (const batch of batches) {
    for (const precision of precisionsOf(engine)) {
      const before = engine.memoryUse().used;
      using prepared = await timedNetwork(edge, features, 3, batch).prepare(engine, precision);
      const { program, weights } = prepared;
      const times: number[] = [];
      for (let run = 0; run < runs + 2; run++) {
        const start = performance.now();
        engine.run(program, weights);
        await engine.flush();
        if (run >= 2) times.push(performance.now() - start);
      }
      const best = Math.min(...times);
      const flops = program.steps.reduce((sum, step) => sum + step.flops, 0);
      const { memory } = program;
      const forecast = memory.weights + memory.activations + memory.scratch;
      const taken = engine.memoryUse().used - before;
      const amp = torch.find((one) => one.dtype === "fp16" && one.batch === batch);
      const steps = await engine.timeSteps(program, weights);
      all.push({
        batch,
        precision,
        best,
        median: median(times),
        teraflops: flops / best / 1e9,
        ...(amp && { ofTorchFp16: best / amp.best }),
        device: steps.reduce((a, b) => a + b, 0),
        forecastGiB: forecast / GIB,
        takenGiB: taken / GIB,
        steps: program.steps.map(({ name, algorithm }, i) => ({ name, algorithm, milliseconds: steps[i] })),
      });
      say(
        `${precision}, batch ${batch}: best ${best.toFixed(2)} ms (on the device ${
          steps.reduce((a, b) => a + b, 0).toFixed(2)
        }), ` +
          `${(flops / best / 1e9).toFixed(2)} TFLOP/s of the direct form${
            amp ? `, ${(best / amp.best).toFixed(2)} of torch fp16` : ""
          }; ` +
          `memory ${(taken / GIB).toFixed(2)} GiB, forecast ${(forecast / GIB).toFixed(2)}`,
      );
    }
  }
  return all;
}

async function tune(engine: GpuEngine, { graph, edge, batches, forward, training }: Setting): Promise<Tuning> {
  const tuning = new Map<string, string>();
  const patch: Vec3 = [edge, edge, edge];
  for (const precision of precisionsOf(engine)) {
    const forwards = [...new Set([1, ...(engine.adapter.software ? [] : batches)])].map((batch) => ({
      graph,
      options: { patch, batch, precision },
    }));
    const all = [
      ...(forward ? forwards : []),
      ...(training ? [{ graph: training.graph, options: { ...training.options, precision } }] : []),
    ];
    for (const { graph, options } of all) {
      const measured = await engine.tune(graph, options, { skip: (key) => tuning.has(key) });
      for (const { key, candidate, wrong } of measured) {
        tuning.set(key, candidate);
        if (wrong.length > 0) say(`WRONG RESULTS: ${key}: ${wrong.join(", ")}`);
      }
    }
  }
  say(`tuned ${tuning.size} shapes`);
  return tuning;
}

function precisionsOf(engine: GpuEngine): Precision[] {
  return (["f32", "f16"] as const).filter(engine.supports);
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
