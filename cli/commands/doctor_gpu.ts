/** What `doctor` does with a GPU beyond looking at it: the self-test, and measuring kernels (`--tune`). */
import { plural } from "../../core/base/plural.ts";
import { UserError } from "../../core/base/errors.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { CASE_TOLERANCE } from "../../core/cases/case.ts";
import { architecture } from "../../core/cases/networks.ts";
import type { Precision } from "../../core/engine/engine.ts";
import type { TrainingOptions } from "../../core/engine/training.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { DICE_AND_CROSS_ENTROPY } from "../../core/graph/loss.ts";
import { openModel } from "../../core/predict/model/model_folder.ts";
import type { Compiled, GpuEngine, TunedConvolution } from "../../gpu/engine.ts";
import { nameOfWay } from "../../gpu/refused.ts";
import { findAdapter } from "../engines/gpu_probe.ts";
import type { GpuRecord } from "../engines/gpu_record.ts";
import { measureCacheOnce, openWithoutRefused, recordOf, testAgainstCpu } from "../engines/gpu_start.ts";
import type { SelfTestReport } from "../engines/self_test.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { formatSeconds } from "../terminal.ts";
import type { CommandContext } from "./command.ts";

export interface GpuTest {
  /** False if the GPU computes wrong results or fails altogether. */
  readonly right: boolean;
  readonly lines: readonly string[];
}

/** Tests the GPU that would be used; nothing where there is none, or only a software adapter that was not asked for. */
export async function testGpu(
  allowSoftware: boolean,
  { count }: Pick<CommandContext, "count">,
): Promise<GpuTest | undefined> {
  const adapter = await findAdapter();
  if (!adapter || (adapter.software && !allowSoftware)) return undefined;
  const record = await recordOf(adapter);
  const remarks = record.ignored === undefined ? [] : [record.ignored];
  // A driver may take minutes to compile all kernels.
  const onCase = count("testing the GPU against the CPU", "bar");
  try {
    const { engine, value } = await openWithoutRefused(record, { allowSoftware }, async (engine) => {
      const test = await testAgainstCpu(engine, record, { allowSoftware }, onCase);
      const { compiled } = engine;
      if (test.report.failures.length === 0) await measureCacheOnce(engine, record);
      return { ...test, compiled };
    });
    await engine[Symbol.asyncDispose]();
    const { report, isRight, avoided, notKept, compiled } = value;
    if (notKept !== undefined) remarks.push(`What is found out about the GPU is not kept: ${notKept}`);
    const tested = avoided === undefined ? describeTest(report, compiled, record) : describeFindings(record);
    return { right: isRight, lines: [...tested, ...remarks] };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { right: false, lines: [`The self-test could not be done: ${error.message}`, ...remarks] };
  }
}

function describeTest(
  { cases, skipped, failures, halfFailures, worst, seconds }: SelfTestReport,
  { kernels, milliseconds }: Compiled,
  record: GpuRecord,
) {
  if (failures.length > 0) {
    return [
      `THE GPU COMPUTES WRONG RESULTS and will not be used: ${failures.length} of ${cases} tests differ from the CPU.`,
      ...failures.map((failure) => `- ${failure}`),
      "Update or change the graphics driver. Nothing else can be done about it here.",
    ];
  }
  const right = halfFailures.length > 0 ? `All but ${halfFailures.length} of ${cases} tests` : `All ${cases} tests`;
  const halves = halfFailures.length > 0
    ? [
      "With 16-bit floats (shader-f16) it computes wrong: they are not used, and --precision f16 is refused.",
      ...halfFailures.map((failure) => `- ${failure}`),
    ]
    : skipped > 0
    ? ["Without 16-bit floats (shader-f16): --precision f16 is not possible."]
    : [];
  return [
    `${right} give what the CPU gives, in ${formatSeconds(seconds)}; the largest difference is ` +
    `${worst.toExponential(1)} of the results' spread (${CASE_TOLERANCE.f32} is allowed).`,
    `Of that time its driver took ${formatSeconds(milliseconds / 1000)} to compile ${plural(kernels, "kernel")}.`,
    ...halves,
    ...describeFindings(record),
  ];
}

function describeFindings(
  { path, findings: { convolutions, precision, models, refused, cache } }: GpuRecord,
): string[] {
  const tuned = Object.keys(convolutions).length;
  const tried = Object.keys(precision).length;
  const kept = path === undefined ? "" : ` Kept in ${path}.`;
  const kernels = tuned > 0
    ? `Kernels are tuned for ${plural(tuned, "shape")} of convolutions`
    : "Kernels are not tuned (--tune measures which are the fastest)";
  return [
    `${kernels}; --precision auto has tried ${plural(tried, "model")}.${kept}`,
    ...Object.entries(models).filter(([, { passed }]) => !passed).map(([key, { why }]) =>
      `A model is not computed here in ${key.split(" ").at(-1)}: its ${why}.`
    ),
    ...(cache ? [describeCache(cache)] : []),
    ...Object.entries(refused).map(([key, { name, why }]) =>
      nameOfWay(key) === undefined
        ? `The driver does not take the kernel "${name}" (${why}): it is done without.`
        : `IT COMPUTES WRONG BY "${name}" (${why}): layers are computed another way, which gives what the CPU gives.`
    ),
  ];
}

function describeCache(
  { bytes, milliseconds, usualMilliseconds }: NonNullable<GpuRecord["findings"]["cache"]>,
): string {
  const gain = milliseconds < usualMilliseconds
    ? `${(100 * (1 - milliseconds / usualMilliseconds)).toFixed(0)} % faster than the usual size`
    : "as usual; no other size is faster";
  return `Convolutions are done in pieces of ${bytes / 2 ** 20} MiB (${gain}).`;
}

interface Network {
  readonly name: string;
  readonly graph: Graph;
  readonly patch: Vec3;
  /** Of a training. */
  readonly batch: number;
}

/**
 * Measures the convolutions of models' networks, and the gradients of their trainings, and keeps what is fastest.
 * @returns what there is to say; `done` is false if it could not be done
 */
export async function tuneGpu(
  models: readonly string[] | undefined,
  allowSoftware: boolean,
  { print }: Pick<CommandContext, "print">,
): Promise<{ readonly done: boolean; readonly lines: readonly string[] }> {
  const adapter = await findAdapter();
  if (!adapter || (adapter.software && !allowSoftware)) {
    const why = adapter
      ? `${adapter.name} is a software adapter (--allow_software_gpu).`
      : "There is no GPU to measure on.";
    return { done: false, lines: [why] };
  }
  const record = await recordOf(adapter);
  const networks = models ? await Promise.all(models.map(networkOf)) : usualNetworks(adapter.software);
  const all = new Map<string, TunedConvolution>();
  // What is measured next is measured with it.
  const start = { allowSoftware, warn: print };
  const { engine: first } = await openWithoutRefused(record, start, (engine) => measureCacheOnce(engine, record));
  await first[Symbol.asyncDispose]();
  const { engine, value: notKept } = await openWithoutRefused(
    record,
    start,
    async (engine) => {
      for (const network of networks) {
        print(`measuring for ${network.name}`);
        await tuneNetwork(engine, network, record, all, print);
        const convolutions = Object.fromEntries(
          [...all].map(([key, { candidate, milliseconds }]) => [key, { candidate, milliseconds }]),
        );
        const notKept = await record.add({ convolutions });
        if (notKept !== undefined) return notKept;
      }
      return undefined;
    },
  );
  await engine[Symbol.asyncDispose]();
  if (notKept !== undefined) return { done: false, lines: [`What was measured is not kept: ${notKept}`] };
  return { done: true, lines: summary([...all.values()], record) };
}

/** Any loss: its kernels are not measured. */
const LOSS: TrainingOptions["loss"] = {
  target: { kind: "labels" },
  batchDice: false,
  ...DICE_AND_CROSS_ENTROPY,
};

/** Measures what is not in `all` yet, and puts it there. */
async function tuneNetwork(
  engine: GpuEngine,
  { graph, patch, batch }: Network,
  { findings: { selfTest } }: GpuRecord,
  all: Map<string, TunedConvolution>,
  print: CommandContext["print"],
): Promise<void> {
  const usable = (precision: Precision) =>
    engine.supports(precision) && (precision === "f32" || selfTest?.halvesFailed === undefined);
  for (const precision of (["f32", "f16"] as const).filter(usable)) {
    const training = { patch, batch, precision, loss: LOSS, outputWeights: graph.outputs.map(() => 1) };
    for (const options of [{ patch, batch: 1, precision }, training]) {
      await engine.tune(graph, options, { skip: (key) => all.has(key), onTuned });
    }
  }

  function onTuned(tuned: TunedConvolution, done: number, of: number): void {
    const { key, candidate, milliseconds, untuned, untunedMilliseconds } = tuned;
    all.set(key, tuned);
    const gain = candidate === untuned ? "as forecast" : `${untuned} takes ${untunedMilliseconds.toFixed(2)} ms`;
    print(`[${done}/${of}] ${key}: ${candidate}, ${milliseconds.toFixed(2)} ms (${gain})`);
  }
}

function summary(all: readonly TunedConvolution[], { path }: GpuRecord): string[] {
  const sum = (pick: (tuned: TunedConvolution) => number) => all.reduce((total, tuned) => total + pick(tuned), 0);
  const wrong = all.flatMap((tuned) => tuned.wrong.map((name) => `${tuned.key}: ${name}`));
  return [
    `${plural(all.length, "shape")}: ${
      sum(({ milliseconds }) => milliseconds).toFixed(1)
    } ms with the measured kernels, ` +
    `${
      sum(({ untunedMilliseconds }) => untunedMilliseconds).toFixed(1)
    } ms with those that are forecast to be the fastest.`,
    ...(wrong.length > 0
      ? [`Kernels whose results were not those of the others, and which are not used: ${wrong.join("; ")}`]
      : []),
    `Kept in ${path}; --deterministic leaves it aside.`,
  ];
}

async function networkOf(folder: string): Promise<Network> {
  using model = await openModel(folder, {
    folds: undefined,
    checkpointName: "checkpoint_final.pth",
    assumePlansNetwork: true,
  });
  const { patchSize, batchSize } = model.configuration;
  return { name: folder, graph: model.graph, patch: patchSize, batch: batchSize };
}

/** One convolution and one transposed convolution: enough to see that measuring works. */
const SMALL: Network = {
  name: "two small layers",
  graph: {
    nodes: [
      { kind: "input", channels: 8 },
      { kind: "conv", input: 0, channels: 8, kernel: [3, 3, 3], stride: [1, 1, 1], weight: "conv.weight" },
      { kind: "transposedConv", input: 1, channels: 8, stride: [2, 2, 2], weight: "up.weight" },
    ],
    outputs: [2],
  },
  patch: [8, 8, 8],
  batch: 1,
};

/** What nnU-Net's planner makes of large images; on a software adapter something that takes seconds. */
function usualNetworks(isSoftware: boolean): Network[] {
  if (isSoftware) return [SMALL];
  const deep = architecture({ featuresPerStage: [32, 64, 128, 256, 320, 320], convsPerStageDecoder: [2, 2, 2, 2, 2] });
  const flat = architecture({
    dimensions: 2,
    featuresPerStage: [32, 64, 128, 256, 512, 512, 512, 512],
    convsPerStageDecoder: new Array(7).fill(2),
  });
  return [
    {
      name: "nnU-Net's usual 3-D network, patch 128 x 128 x 128",
      graph: buildGraph(deep, 1, 3),
      patch: [128, 128, 128],
      batch: 2,
    },
    {
      name: "nnU-Net's usual 2-D network, patch 512 x 512",
      graph: buildGraph(flat, 1, 3),
      patch: [1, 512, 512],
      batch: 12,
    },
  ];
}
