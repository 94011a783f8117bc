/**
 * Whole training steps (forward, loss, backward, clipping, TIMED_SGD) on the CPU engine: best and median time, memory, each step's share; beside
 * torch on the same machine, in turns, where NNUNET_BENCH_PYTHON names a Python that has nnunetv2.
 *
 *   deno task bench training [--threads N] [--runs N] [--rounds N] [--steps] [hippocampus2 hippocampus9 plain64 plane256]
 */
import { TIMED_TRAININGS, type TimedTraining } from "../../core/cases/training.ts";
import type { TrainingProgram } from "../../core/engine/training.ts";
import { type CpuEngine, createCpuEngine } from "../../cpu/engine.ts";
import { startTorch, type TorchProcess } from "./torch_process.ts";
import { say } from "./say.ts";

export async function bench(args: readonly string[]): Promise<number> {
  const option = (name: string, otherwise: number) => {
    const at = args.indexOf(name);
    return at < 0 ? otherwise : Number(args[at + 1]);
  };
  const threads = option("--threads", 2);
  const chosen = Object.entries(TIMED_TRAININGS).filter(([name]) => args.includes(name));
  const python = Deno.env.get("NNUNET_BENCH_PYTHON");
  using torch = python ? startTorch(python, "torch_training.py", threads) : undefined;
  for (const [name, net] of chosen.length > 0 ? chosen : Object.entries(TIMED_TRAININGS)) {
    const runs = { rounds: option("--rounds", 3), runs: option("--runs", 3) };
    await benchNet(name, net, threads, runs, args.includes("--steps"), torch);
  }
  return 0;
}

async function benchNet(
  name: string,
  net: TimedTraining,
  threads: number,
  { rounds, runs }: { readonly rounds: number; readonly runs: number },
  steps: boolean,
  torch?: TorchProcess,
): Promise<void> {
  const { options: { patch, batch }, features } = net;
  await using engine = await createCpuEngine({ threads });
  using work = await net.prepare(engine, "f32");
  const { program } = work;
  const [ours, theirs]: [number[], number[]] = [[], []];
  await work.run();
  for (let round = 0; round < rounds; round++) {
    for (let run = 0; run < runs; run++) {
      const start = performance.now();
      await work.run();
      ours.push(performance.now() - start);
    }
    if (torch) theirs.push(...await torch.run({ patch, batch, features, runs }));
  }
  const flops = program.steps.reduce((sum, step) => sum + step.flops, 0);
  const { memory } = program;
  const mega = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  const describe = (times: readonly number[]) => {
    const sorted = times.toSorted((a, b) => a - b);
    return `best ${sorted[0].toFixed(0)} ms, median ${sorted[sorted.length >> 1].toFixed(0)} ms`;
  };
  say(`${name}: ${features.join(", ")} on ${patch.join("x")}, batch ${batch}, ${threads} threads`);
  say(`  ${describe(ours)}; ${(flops / Math.min(...ours) / 1e6).toFixed(0)} GFLOP/s of the direct form`);
  say(
    `  memory: parameters ${mega(memory.parameters)}, activations ${mega(memory.activations)}, scratch ${
      mega(memory.scratch)
    }`,
  );
  if (theirs.length > 0) {
    say(`  torch: ${describe(theirs)}; ratio of the best ${(Math.min(...ours) / Math.min(...theirs)).toFixed(2)}`);
  }
  if (steps) await listSteps(engine, program);
}

/** What a step of a training does, from its name: "weight gradient". */
export function kindOf(name: string): string {
  return /^(norm table|\w+ gradient|transposed conv|\w+)/.exec(name)?.[0] ?? name;
}

/** The times of the steps that take more than 1/300 of all, then sums by kind. */
async function listSteps(engine: CpuEngine, program: TrainingProgram): Promise<void> {
  const first = await engine.timeTraining(program);
  const second = await engine.timeTraining(program);
  const times = first.map((ms, i) => Math.min(ms, second[i]));
  const total = times.reduce((a, b) => a + b, 0);
  const kinds = new Map<string, number>();
  times.forEach((ms, i) => {
    const { name, algorithm, flops, seconds } = program.steps[i];
    kinds.set(kindOf(name), (kinds.get(kindOf(name)) ?? 0) + ms);
    if (ms < total / 300) return;
    say(
      `  ${(ms / total * 100).toFixed(1).padStart(5)} % ${ms.toFixed(1).padStart(7)} ms, forecast ${
        (seconds * 1e3).toFixed(1).padStart(6)
      } ms, ${(flops / ms / 1e6).toFixed(0).padStart(4)} GFLOP/s  ${algorithm.padEnd(34)} ${name}`,
    );
  });
  say(`  in all ${total.toFixed(0)} ms, of which`);
  for (const [kind, ms] of [...kinds].toSorted((a, b) => b[1] - a[1])) {
    say(`  ${(ms / total * 100).toFixed(1).padStart(5)} % ${ms.toFixed(1).padStart(7)} ms  ${kind}`);
  }
}
