// deno-lint-ignore-file no-console
/**
 * A whole prediction: the memory and time that the program forecast (they are in its `--report`, and `--verbose` prints them) against
 * those it took, measured from outside.
 *
 *   deno task bench forecast MODEL_FOLDER IMAGES_FOLDER [-- flags of predict_from_modelfolder]
 *
 * For example, a 300^3 volume of 60 classes below 4 GiB, made by `make_bench_models.py OUT big60`:
 *
 *   deno task bench forecast OUT/big60/model OUT/big60/images -- -f 0 -device cpu --max-memory 4G
 *
 * The forecast is for a machine that does nothing else. Where other programs run, too, the processor time tells more than the wall
 * time; with `--threads 1` both should be as forecast.
 */
import { z } from "zod";
import { readJsonFile } from "../../core/base/json.ts";
import { join } from "../../core/base/path.ts";
import { type Measurement, measureProcess } from "./measure_process.ts";
import { predictCommand } from "./predict_bench.ts";

const REPORT = z.object({
  engine: z.object({ kind: z.string(), description: z.string() }),
  cases: z.array(z.object({
    id: z.string(),
    placement: z.string(),
    batch: z.number(),
    tiles: z.number(),
    memory: z.record(z.string(), z.number()),
    forecastSeconds: z.number(),
    timings: z.object({ read: z.number(), preprocess: z.number(), network: z.number(), export: z.number() }),
  })).min(1),
});

export async function bench(args: readonly string[]): Promise<number> {
  const cut = args.indexOf("--");
  const [model, images] = cut < 0 ? args : args.slice(0, cut);
  const flags = cut < 0 ? [] : args.slice(cut + 1);
  if (!model || !images) {
    console.error("usage: bench forecast MODEL_FOLDER IMAGES_FOLDER [-- flags of predict_from_modelfolder]");
    return 2;
  }
  const out = Deno.makeTempDirSync();
  try {
    const report = join(out, "report.json");
    const run = await measureProcess([...predictCommand(model, images), "-o", out, "--report", report, ...flags]);
    if (run.code !== 0) {
      console.error(`the run ended with exit code ${run.code}:\n${run.stderr.slice(-2000)}`);
      return 1;
    }
    print(REPORT.parse((await readJsonFile(report)).value), run);
    return 0;
  } finally {
    Deno.removeSync(out, { recursive: true });
  }
}

function print({ engine, cases }: z.infer<typeof REPORT>, run: Measurement): void {
  console.log(`engine: ${engine.description}`);
  for (const { id, placement, batch, tiles, memory } of cases) {
    const parts = Object.entries(memory).filter(([name, bytes]) => name !== "total" && bytes > 0)
      .map(([name, bytes]) => `${name} ${megabytes(bytes)}`);
    console.log(`${id}: ${tiles} tiles, batch ${batch}, logits in ${placement}; forecast ${parts.join(", ")}`);
  }
  // The peak is that of the run, so it belongs to the case that takes most.
  const most = cases.reduce((a, b) => (b.memory.total > a.memory.total ? b : a));
  console.log(`memory: ${compare(megabytes(most.memory.total), megabytes(run.peakMB * 1e6), "MB")}`);
  const forecast = cases.reduce((sum, one) => sum + one.forecastSeconds, 0);
  const network = cases.reduce((sum, one) => sum + one.timings.network, 0);
  console.log(`network and resampling: ${compare(forecast, network, "s")}`);
  console.log(`whole run: ${run.seconds.toFixed(1)} s; processor time of all threads: ${run.processorSeconds} s`);
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}

function compare(forecast: number, actual: number, unit: string): string {
  const [a, b] = [forecast, actual].map((value) => value.toFixed(unit === "s" ? 1 : 0));
  const off = (forecast / actual - 1) * 100;
  return `forecast ${a} ${unit}, took ${b} ${unit} (forecast ${off < 0 ? "" : "+"}${off.toFixed(0)} %)`;
}
