/**
 * What a GPU gives, within a budget of time: `nnunet doctor`; results against the CPU's; torch's times on the same card; passes and training
 * steps of the default 3-D network in f32 and f16, with the host's and the device's time apart; memory as forecast, as taken and as the
 * driver counts it; a training with its augmentation; a whole CT, upstream's predict beside it; results and times on Dawn's WebGPU, where
 * that can be loaded and takes the GPU (gpu/dawn.ts); and what tuning gains in the time that is left. Every part has a share of the budget,
 * and is cut or skipped by name when it is used up.
 *
 *   deno task bench gpu [--budget 540] [--small] [--parts doctor,forward,...] [--compare FILE...] [--out FOLDER]
 *                       [--edge 128] [--batches 1,4] [--train-batch 2] [--runs 20] [--ct 400x512x512] [--classes 25]
 *                       [--webgpu dawn[:TOGGLE,...]] [--allow_software_gpu]
 *
 * Results go to FOLDER/ADAPTER.json (tests/bench/results), which is whole at any moment and holds what was measured by then. --compare
 * prints them beside others; with --budget 0 nothing is measured and the files alone are compared. --small: in sizes for a software
 * adapter, where it is the default. --webgpu dawn: all of the engine's own parts, doctor's self-test first, on Dawn in the place of Deno's
 * WebGPU, in a file of its own to compare. Exit code 1: the GPU computes wrong results, or a part failed. NNUNET_BENCH_PYTHON names a
 * Python that has torch with CUDA, and for upstream's predict nnunetv2 2.5.1; else python3 is tried, and what is absent is left out.
 */
import { UserError } from "../../core/base/errors.ts";
import { ensureFolder } from "../../core/base/files.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { recordOf } from "../../cli/engines/gpu_start.ts";
import { type AdapterFacts, factsOf, RAISED_LIMITS, requestAdapter } from "../../gpu/adapter.ts";
import { kernelChecksum } from "../../gpu/kernel_checksum.ts";
import { runParts } from "./gpu/budget.ts";
import { parseWebGpu } from "./gpu/dawn.ts";
import { type BenchSetting, type Found, gpuParts } from "./gpu/parts.ts";
import { killAll } from "./gpu/processes.ts";
import {
  columnName,
  comparison,
  describeBeside,
  describeGoals,
  endPart,
  goalsOf,
  keepingReport,
  newPart,
  type PartResults,
  readResults,
  type Results,
  resultsWriter,
} from "./gpu/results.ts";
import { FULL, type Sizes, sizesSchema, SMALL } from "./gpu/sizes.ts";
import { say } from "./say.ts";

const DOING = "running the GPU bench";

export async function bench(args: readonly string[]): Promise<number> {
  try {
    return await run(args);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    say(error.message);
    return error.parts.doing === DOING ? 2 : 1;
  }
}

async function run(args: readonly string[]): Promise<number> {
  const options = parse(args);
  const others = await Promise.all(
    options.compare.map(async (path) => ({ name: columnName(path), results: await readResults(path) })),
  );
  const budget = numberOf(options, "--budget", 540, 0);
  if (budget === 0) {
    comparison(others).forEach(say);
    return 0;
  }
  const measured = await measure(options, budget);
  if (!measured) return 1;
  const { path, results } = measured;
  describeGoals(goalsOf(results)).forEach(say);
  describeBeside(results).forEach(say);
  if (others.length > 0) comparison([{ name: columnName(path), results }, ...others]).forEach(say);
  const parts = Object.values(results.parts);
  const wrong = parts.some(({ wrong }) => wrong.length > 0);
  if (wrong) say("THE GPU COMPUTES WRONG RESULTS");
  return wrong || parts.some(({ state }) => state === "failed") ? 1 : 0;
}

async function measure(options: Options, budget: number): Promise<{ path: string; results: Results } | undefined> {
  const asked = options.values.get("--webgpu") ?? "deno";
  const webgpu = parseWebGpu(asked, DOING);
  const adapter = await requestAdapter();
  if (!adapter) {
    say("There is no GPU that WebGPU can use; `nnunet doctor` says more.");
    return undefined;
  }
  const facts = factsOf(adapter);
  const allowSoftware = options.switches.has("--allow_software_gpu");
  if (facts.software && !allowSoftware) {
    say(`${facts.name} is a software adapter (--allow_software_gpu)`);
    return undefined;
  }
  const results: Results = {
    ...await describe(facts, adapter),
    ...(webgpu.kind !== "deno" && { webgpu: asked }),
    budget,
    sizes: sizesOf(options, facts.software),
    parts: {},
  };
  const out = options.values.get("--out") ?? join(fromFileUrl(new URL(".", import.meta.url)), "results");
  await ensureFolder(out, "making the results' folder");
  const named = webgpu.kind === "deno" ? facts.name : `${facts.name} ${asked}`;
  const path = join(out, `${named.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "")}.json`);
  say(`${facts.name} -> ${path}`);
  const folder = await Deno.makeTempDir({ prefix: "nnunet-bench-" });
  const stop = () => {
    killAll();
    Deno.removeSync(folder, { recursive: true });
    Deno.exit(130);
  };
  Deno.addSignalListener("SIGINT", stop);
  try {
    const { description, device } = adapter.info;
    await measureParts(options, facts, results, path, { folder, webgpu, adapter: description || device });
  } finally {
    Deno.removeSignalListener("SIGINT", stop);
    await Deno.remove(folder, { recursive: true });
  }
  return { path, results };
}

async function measureParts(
  options: Options,
  facts: AdapterFacts,
  results: Results,
  path: string,
  setting: Pick<BenchSetting, "folder" | "webgpu" | "adapter">,
): Promise<void> {
  const { sizes, software, budget } = results;
  let record: ReturnType<typeof recordOf> | undefined;
  const found = async (): Promise<Found> => {
    // Asked for the first time when `doctor` has written it.
    const { findings: { refused, cache } } = await (record ??= recordOf(facts));
    return { refused: Object.keys(refused), ...(cache && { cacheBytes: cache.bytes }) };
  };
  const partOf = (name: string): PartResults => results.parts[name] ??= newPart();
  const clock = () => performance.now();
  const write = resultsWriter(path, results);
  const all = gpuParts({
    ...setting,
    sizes,
    clock,
    allowSoftware: software,
    onCpu: software,
    found,
    // A machine may go at any moment.
    reportOf: (name) => keepingReport(partOf(name), say, () => void write().catch(() => {})),
  });
  await runParts(chosen(options, all), budget, clock, async (name, end) => {
    endPart(partOf(name), end);
    const { state, cut } = partOf(name);
    const why = end.why ?? cut.join("; ");
    say(`${name}: ${state} after ${end.seconds.toFixed(1)} s${why ? ` (${why})` : ""}`);
    await write();
  });
}

async function describe(facts: AdapterFacts, adapter: GPUAdapter) {
  return {
    format: "nnunet GPU bench 1" as const,
    adapter: facts.name,
    software: facts.software,
    features: [...facts.features],
    limits: Object.fromEntries(RAISED_LIMITS.map((name) => [name, Number(adapter.limits[name])])),
    deno: Deno.version.deno,
    kernels: await kernelChecksum(),
    when: new Date().toISOString(),
  };
}

interface Options {
  readonly values: ReadonlyMap<string, string>;
  readonly switches: ReadonlySet<string>;
  readonly compare: readonly string[];
}

const VALUES = [
  "--webgpu",
  "--budget",
  "--parts",
  "--out",
  "--edge",
  "--batches",
  "--train-batch",
  "--runs",
  "--ct",
  "--classes",
];
const SWITCHES = ["--small", "--allow_software_gpu"];

function wrongUsage(problem: string): UserError {
  return new UserError({ doing: DOING, problem, remedy: "see the head of tests/bench/gpu_bench.ts" });
}

function parse(args: readonly string[]): Options {
  const values = new Map<string, string>();
  const switches = new Set<string>();
  const compare: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const name = args[i];
    const value = args[i + 1];
    if (SWITCHES.includes(name)) switches.add(name);
    else if (name === "--compare") {
      while (i + 1 < args.length && !args[i + 1].startsWith("--")) compare.push(args[++i]);
      if (compare.length === 0) throw wrongUsage("--compare needs files");
    } else if (!VALUES.includes(name)) throw wrongUsage(`there is no option ${name}`);
    else if (value === undefined || value.startsWith("--")) throw wrongUsage(`${name} needs a value`);
    else values.set(args[i++], value);
  }
  return { values, switches, compare };
}

function numberOf({ values }: Options, name: string, otherwise: number, least: number): number {
  const value = Number(values.get(name) ?? otherwise);
  if (Number.isFinite(value) && value >= least) return value;
  throw wrongUsage(`${name} ${values.get(name)}: a number of at least ${least} is needed`);
}

function sizesOf(options: Options, software: boolean): Sizes {
  const base = software || options.switches.has("--small") ? SMALL : FULL;
  const list = (name: string, otherwise: readonly number[], between: string) =>
    options.values.get(name)?.split(between).map(Number) ?? otherwise;
  const edge = numberOf(options, "--edge", base.edge, 1);
  const parsed = sizesSchema.safeParse({
    ...base,
    edge,
    gradientEdge: Math.min(edge, base.gradientEdge),
    batches: list("--batches", base.batches, ","),
    trainBatch: numberOf(options, "--train-batch", base.trainBatch, 1),
    runs: numberOf(options, "--runs", base.runs, 1),
    ct: list("--ct", base.ct, "x"),
    classes: numberOf(options, "--classes", base.classes, 2),
  });
  if (parsed.success) return parsed.data;
  const [{ path, message }] = parsed.error.issues;
  throw wrongUsage(`${path.join(" ")}: ${message}`);
}

function chosen<P extends { readonly name: string }>({ values }: Options, parts: readonly P[]): P[] {
  const names = values.get("--parts")?.split(",");
  if (!names) return [...parts];
  const known = parts.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw wrongUsage(`there is no part ${unknown}; parts are ${known.join(", ")}`);
  return parts.filter(({ name }) => names.includes(name));
}
