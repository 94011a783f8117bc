/** That core/cases leaves nothing out: every operator of the kernels is planned by some case, and every kernel belongs to one. */
import { Session } from "node:inspector/promises";
import { fromFileUrl, join, toFileUrl } from "../../core/base/path.ts";
import { type CaseEngine, type EngineCase, refusal, trainerOf } from "../../core/cases/case.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import type { Precision } from "../../core/engine/engine.ts";
import { openModel } from "../../core/predict/model/model_folder.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { plannedKernels } from "../../gpu/kernel_checksum.ts";
import { assert, assertEquals } from "../assert.ts";
import { modelNames } from "../golden/predict_agreement.ts";
import { readTrace, TRACES } from "../golden/training/trace_data.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));

/** Paths of a folder's modules, relative to the root. */
async function modulesOf(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(ROOT, folder))) {
    if (isDirectory) found.push(...await modulesOf(`${folder}/${name}`));
    else if (name.endsWith(".ts")) found.push(`${folder}/${name}`);
  }
  return found.sort();
}

/** Exported functions of a folder, "path name", that `run` never calls. */
async function functionsNotCalled(folder: string, run: () => Promise<unknown>): Promise<string[]> {
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
    const exported: string[] = [];
    for (const path of await modulesOf(folder)) {
      const module: Record<string, unknown> = await import(toFileUrl(join(ROOT, path)).href);
      for (const [name, value] of Object.entries(module)) {
        if (typeof value === "function") exported.push(`${path} ${name}`);
      }
    }
    await run();
    const { result } = await session.post("Profiler.takePreciseCoverage");
    const called = new Set<string>();
    for (const { url, functions } of result) {
      const path = url.replace(toFileUrl(ROOT).href, "");
      for (const { functionName, ranges: [{ count }] } of functions) {
        if (count > 0) called.add(`${path} ${functionName}`);
      }
    }
    return exported.filter((one) => !called.has(one));
  } finally {
    session.disconnect();
  }
}

/** What runs on the host, and what only benches and tests measure. */
const NO_OPERATOR = /\/(pack|peak)\.ts |LimitError$|packedLayout$|trainedConvCandidates$|withoutChunk$/;

Deno.test("every operator of the GPU's kernels is planned by a case, so the checksum changes with it", async () => {
  const missing = await functionsNotCalled("kernels/wgsl", () => plannedKernels(ENGINE_CASES));
  assertEquals(missing.filter((name) => !NO_OPERATOR.test(name)), []);
});

Deno.test("every operator of the CPU's kernels is run by a case", async () => {
  await using engine = await createCpuEngine({ threads: 1 });
  const missing = await functionsNotCalled("kernels/wasm", async () => {
    for (const one of ENGINE_CASES) if (refusal(engine, one, "f32") === undefined) await one.run(engine, "f32");
  });
  // The other functions write the kernels, when the program is built.
  assertEquals(missing.filter((name) => / plan[A-Z]/.test(name)), []);
});

/** What a kernel is, without its sizes: "winograd input transform". */
const kindOf = (name: string) => name.replaceAll(/[\d*x/]*\d[\d*x/]*/g, "").replaceAll(/ +/g, " ").trim();

async function kindsOf(cases: readonly EngineCase[]): Promise<Set<string>> {
  return new Set((await plannedKernels(cases)).map(({ name }) => kindOf(name)));
}

Deno.test("every kernel that stored models and trainings need is one of the cases'", async () => {
  const root = join(ROOT, "tests/golden/models");
  const needed: EngineCase[] = [];
  const add = (
    name: string,
    family: EngineCase["family"],
    compile: (engine: CaseEngine, precision: Precision) => Promise<Disposable>,
  ) =>
    needed.push({
      name,
      family,
      precisions: ["f32", "f16"],
      forecast: () => [],
      async run(engine, precision) {
        (await compile(engine, precision))[Symbol.dispose]();
        return {};
      },
    });
  for (const name of modelNames(root)) {
    const options = { folds: undefined, checkpointName: "checkpoint_final.pth", assumePlansNetwork: true };
    using model = await openModel(join(root, "models", name), options);
    const { graph, configuration: { patchSize: patch } } = model;
    add(name, "network", (engine, precision) => engine.compile(graph, { patch, batch: 2, precision }));
  }
  for (const name of TRACES) {
    const { graph, options } = await readTrace(name);
    add(name, "training", (engine, precision) => trainerOf(engine).compileTraining(graph, { ...options, precision }));
  }
  assert(needed.length > TRACES.length + 10, `${needed.length} stored models and trainings`);
  const known = await kindsOf(ENGINE_CASES);
  assertEquals([...await kindsOf(needed)].filter((kind) => !known.has(kind)), []);
});

/** A step decides there which voxels count, or takes means of few voxels: an engine's rounding may decide otherwise. */
const NOT_SELF_TESTED = /^top values' |moments/;

Deno.test("the self-test runs every kind of kernel", async () => {
  const tested = await kindsOf(ENGINE_CASES.filter(({ selfTest }) => selfTest));
  const missing = [...await kindsOf(ENGINE_CASES)].filter((kind) => !tested.has(kind));
  assertEquals(missing.filter((kind) => !NOT_SELF_TESTED.test(kind)), []);
});
