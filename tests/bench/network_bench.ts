/**
 * One forward pass of whole networks on the CPU engine: best and median time, share of the machine's peak, each layer's share and
 * algorithm; beside torch on the same machine, in turns, where NNUNET_BENCH_PYTHON names a Python that has it.
 *
 *   deno task bench network [--threads N] [--runs N] [--layers] [64 96 128 2d]
 */
import { TIMED_NETWORKS, type TimedNetwork } from "../../core/cases/networks.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { median } from "./measurements.ts";
import { measureRoofline } from "./roofline.ts";
import { startTorch, type TorchProcess } from "./torch_process.ts";
import { say } from "./say.ts";

export async function bench(args: readonly string[]): Promise<number> {
  const option = (name: string, otherwise: number) => {
    const at = args.indexOf(name);
    return at < 0 ? otherwise : Number(args[at + 1]);
  };
  const threads = option("--threads", 2);
  const rounds = option("--runs", 3);
  const chosen = Object.entries(TIMED_NETWORKS).filter(([name]) => args.includes(name));
  const python = Deno.env.get("NNUNET_BENCH_PYTHON");
  using torch = python ? startTorch(python, "torch_network.py", threads) : undefined;
  for (const [, net] of chosen.length > 0 ? chosen : Object.entries(TIMED_NETWORKS)) {
    await benchNet(net, threads, rounds, args.includes("--layers"), torch);
  }
  return 0;
}

async function benchNet(
  net: TimedNetwork,
  threads: number,
  rounds: number,
  layers: boolean,
  torch?: TorchProcess,
): Promise<void> {
  const roofline = await measureRoofline(threads);
  await using engine = await createCpuEngine({ threads });
  const { patch, features } = net;
  const dimensions = patch[0] === 1 ? 2 : 3;
  const edge = patch[1];
  const preparing = performance.now();
  using prepared = await net.prepare(engine, "f32");
  const { program, weights } = prepared;
  await engine.flush();
  const ready = performance.now() - preparing;
  const runs = dimensions === 2 || edge <= 64 ? 5 : 2;
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (let run = 0; run < runs; run++) {
      const start = performance.now();
      prepared.run();
      await engine.flush();
      ours.push(performance.now() - start);
    }
    if (torch) theirs.push(...await torch.run({ dimensions, edge, features, runs }));
  }
  const flops = program.steps.reduce((sum, step) => sum + step.flops, 0);
  const forecast = program.steps.reduce((sum, step) => sum + step.seconds * 1e3, 0);
  const best = Math.min(...ours);
  say(
    `plain ${dimensions}-D net ${features.join(", ")} on ${patch.join("x")}, ${threads} threads: best ${
      best.toFixed(0)
    } ms, ` +
      `median ${median(ours).toFixed(0)} ms, forecast ${forecast.toFixed(0)} ms`,
  );
  say(
    `  ${(flops / best / 1e6).toFixed(0)} GFLOP/s of the direct form; 128-bit FMA peak ${roofline.toFixed(0)} GFLOP/s`,
  );
  const { memory } = program;
  const mega = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  say(
    `  memory: weights ${mega(memory.weights)}, activations ${mega(memory.activations)}, scratch ${
      mega(memory.scratch)
    }; made ready in ${ready.toFixed(0)} ms`,
  );
  if (theirs.length > 0) {
    say(
      `  torch: best ${Math.min(...theirs).toFixed(0)} ms, median ${median(theirs).toFixed(0)} ms; ratio of the best ${
        (best / Math.min(...theirs)).toFixed(2)
      }, of the medians ${(median(ours) / median(theirs)).toFixed(2)}`,
    );
  }
  if (!layers) return;
  const first = await engine.timeSteps(program, weights);
  const second = await engine.timeSteps(program, weights);
  const times = first.map((ms, i) => Math.min(ms, second[i]));
  const total = times.reduce((a, b) => a + b, 0);
  program.steps.forEach(({ name, algorithm, flops: work, seconds }, i) => {
    if (times[i] < total / 500) return;
    say(
      `  ${(times[i] / total * 100).toFixed(1).padStart(5)} % ${times[i].toFixed(1).padStart(8)} ms, forecast ${
        (seconds * 1e3).toFixed(1).padStart(7)
      } ms, ${(work / times[i] / 1e6).toFixed(0).padStart(4)} GFLOP/s  ${algorithm.padEnd(28)} ${name}`,
    );
  });
}
