// deno-lint-ignore-file no-console
/**
 * Whole runs of plan_and_preprocess, this program against the Python nnU-Net on the same machine, in turn: wall time, peak memory,
 * and what lies on the disk afterwards.
 *
 *   deno task bench preprocess NNUNET_RAW ID [--runs N] [--processes N] [--out FOLDER] [-- flags of plan_and_preprocess]
 *
 * NNUNET_BENCH_PYTHON names a Python that has nnunetv2 2.5.1; without it only this program is measured. With --out the folders of
 * the last run are kept. make_ct_dataset.py makes a dataset of CT-like volumes.
 */
import { join } from "../../core/base/path.ts";
import { type Measurement, measureProcess } from "./measure_process.ts";
import { describeRuns, median } from "./measurements.ts";
import { ourCommand } from "./our_command.ts";

const USAGE =
  "usage: bench preprocess NNUNET_RAW ID [--runs N] [--processes N] [--out FOLDER] [-- flags of plan_and_preprocess]";

export async function bench(args: readonly string[]): Promise<number> {
  const cut = args.indexOf("--");
  const own = cut < 0 ? args : args.slice(0, cut);
  const flags = cut < 0 ? [] : args.slice(cut + 1);
  const option = (name: string) => own.includes(name) ? own[own.indexOf(name) + 1] : undefined;
  const [raw, id] = own;
  if (!raw || !id) {
    console.error(USAGE);
    return 2;
  }
  const processes = option("--processes") ?? "2";
  const kept = option("--out");
  const out = kept ?? Deno.makeTempDirSync();
  const command = ["-d", id, "--verify_dataset_integrity", "-npfp", processes, "-np", processes, ...flags];
  const programs = new Map([["nnunet", ourCommand("plan_and_preprocess")]]);
  const python = Deno.env.get("NNUNET_BENCH_PYTHON");
  if (python) {
    const entry =
      "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry as f; f()";
    programs.set("nnUNetv2", [python, "-c", entry]);
  }
  const runs = new Map<string, Measurement[]>();
  const sizes = new Map<string, number>();
  for (let run = 0; run < Number(option("--runs") ?? 3); run++) {
    for (const [name, program] of programs) {
      const folder = join(out, name);
      await Deno.remove(folder, { recursive: true }).catch(() => {});
      await Deno.mkdir(folder, { recursive: true });
      const measured = await measureProcess([...program, ...command], {
        nnUNet_raw: raw,
        nnUNet_preprocessed: folder,
        nnUNet_results: folder,
        nnUNet_def_n_proc: processes,
      });
      if (measured.code !== 0) {
        console.error(`${name} ended with exit code ${measured.code}:\n${measured.stderr.slice(-2000)}`);
        return 1;
      }
      runs.set(name, [...runs.get(name) ?? [], measured]);
      sizes.set(name, await bytesIn(folder));
      console.error(`${name}: ${measured.seconds.toFixed(1)} s, ${measured.peakMB.toFixed(0)} MB`);
    }
  }
  for (const [name, all] of runs) {
    console.log(`${describeRuns(name, all)}  on disk ${((sizes.get(name) ?? 0) / 1e6).toFixed(0).padStart(6)} MB`);
  }
  const [ours, theirs] = [runs.get("nnunet") ?? [], runs.get("nnUNetv2")];
  if (theirs) {
    const ratio = (pick: (run: Measurement) => number) => median(ours.map((one, i) => pick(one) / pick(theirs[i])));
    console.log(`ratio      wall ${ratio((r) => r.seconds).toFixed(3)}   memory ${ratio((r) => r.peakMB).toFixed(3)}`);
  }
  if (kept === undefined) await Deno.remove(out, { recursive: true });
  return 0;
}

async function bytesIn(folder: string): Promise<number> {
  let sum = 0;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    sum += isDirectory ? await bytesIn(path) : (await Deno.stat(path)).size;
  }
  return sum;
}
