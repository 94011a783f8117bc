// deno-lint-ignore-file no-console
/**
 * Whole predictions, this program against the Python nnU-Net on the same machine, in turn: wall time and peak memory.
 *
 *   deno task bench predict MODEL_FOLDER IMAGES_FOLDER [--runs N] [--gpu] [-- flags of predict_from_modelfolder]
 *
 * --gpu: both on the GPU, upstream with CUDA.
 *
 * NNUNET_BENCH_PYTHON names a Python that has nnunetv2 2.5.1; without it only this program is measured.
 */
import { join } from "../../core/base/path.ts";
import { type Measurement, measureProcess } from "./measure_process.ts";
import { describeRuns, median } from "./measurements.ts";
import { ourCommand } from "./our_command.ts";

/** Flags of ours that upstream does not know, and how many values follow. */
const OWN_FLAGS = new Map([["--assume_plans_network", 0], ["--threads", 1], ["--max-memory", 1], ["--report", 1]]);

function upstreamFlags(flags: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < flags.length; i++) {
    const values = OWN_FLAGS.get(flags[i]);
    if (values === undefined) kept.push(flags[i]);
    else i += values;
  }
  return kept;
}

/** The command that predicts with this program; flags and the output folder follow. */
export function predictCommand(model: string, images: string): string[] {
  return [...ourCommand("predict_from_modelfolder"), "-m", model, "-i", images];
}

export async function bench(args: readonly string[]): Promise<number> {
  const cut = args.indexOf("--");
  const own = cut < 0 ? args : args.slice(0, cut);
  const flags = cut < 0 ? [] : args.slice(cut + 1);
  const runs = own.includes("--runs") ? Number(own[own.indexOf("--runs") + 1]) : 3;
  const [model, images] = own;
  if (!model || !images) {
    console.error(
      "usage: bench predict MODEL_FOLDER IMAGES_FOLDER [--runs N] [--gpu] [-- flags of predict_from_modelfolder]",
    );
    return 2;
  }
  const python = Deno.env.get("NNUNET_BENCH_PYTHON");
  const out = Deno.makeTempDirSync();
  const ours: Measurement[] = [];
  const theirs: Measurement[] = [];
  for (let run = 0; run < runs; run++) {
    const gpu = own.includes("--gpu");
    const arguments_ = ["-m", model, "-i", images];
    const ourDevice = ["-device", gpu ? "gpu" : "cpu"];
    const ourOutput = join(out, `ours_${run}`);
    ours.push(await measureProcess([...predictCommand(model, images), ...ourDevice, "-o", ourOutput, ...flags]));
    if (!python) continue;
    const script = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as f; f()";
    theirs.push(
      await measureProcess(
        [python, "-c", script, ...arguments_, "-device", gpu ? "cuda" : "cpu", "-o", join(out, `theirs_${run}`)].concat(
          ["-npp", "1", "-nps", "1"],
          upstreamFlags(flags),
        ),
        { TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD: "1" },
      ),
    );
  }
  Deno.removeSync(out, { recursive: true });
  const failed = [...ours, ...theirs].filter((run) => run.code !== 0);
  for (const run of failed) console.error(`a run ended with exit code ${run.code}:\n${run.stderr.slice(-2000)}`);
  if (failed.length > 0) return 1;
  console.log(describeRuns("nnunet", ours));
  if (theirs.length) {
    console.log(describeRuns("nnUNetv2", theirs));
    const ratios = (pick: (run: Measurement) => number) => ours.map((run, i) => pick(run) / pick(theirs[i]));
    console.log(
      `ratio      wall ${median(ratios((r) => r.seconds)).toFixed(3)}   memory ${
        median(ratios((r) => r.peakMB)).toFixed(3)
      }`,
    );
  }
  return 0;
}
