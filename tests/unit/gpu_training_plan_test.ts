/** Plans of trainings on a GPU; no device involved. */
import type { TrainingOptions } from "../../core/engine/training.ts";
import { itemsOf } from "../../core/lowering/training.ts";
import { gradientSlot } from "../../core/lowering/training_context.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { layOutParameters } from "../../gpu/training/parameters.ts";
import { planTraining } from "../../gpu/training/plan.ts";
import { joinRows, splitRows } from "../../gpu/training/shared_plan.ts";
import { problemsOf } from "../../gpu/tune.ts";
import { wantedOf } from "../../gpu/tuning.ts";
import { measuredCandidates } from "../../kernels/wgsl/conv/measured.ts";
import type { WantedCandidate } from "../../kernels/wgsl/conv/plan_conv.ts";
import { BASE_LIMITS } from "../../kernels/wgsl/conv/problem.ts";
import { assert, assertEquals } from "../assert.ts";
import { architecture } from "../../core/cases/networks.ts";

const DEFAULT = architecture({ featuresPerStage: [32, 64, 128, 256, 320, 320] });
const GRAPH = buildGraph(DEFAULT, 1, 3, { deepSupervision: true });
const OPTIONS: TrainingOptions = {
  patch: [128, 128, 128],
  batch: 2,
  precision: "f32",
  loss: { target: { kind: "labels" }, batchDice: false, smooth: 1e-5, diceWeight: 1, crossEntropyWeight: 1 },
  outputWeights: [8 / 15, 4 / 15, 2 / 15, 1 / 15, 0],
};
const LARGE_GPU = { ...BASE_LIMITS, workgroupMemoryBytes: 32768, maxBindingBytes: 2 ** 31 - 256 };

Deno.test("a training of the default network on two patches of 128^3 takes less than 5 GiB in f32, 2.7 GiB in f16", () => {
  for (const [precision, most] of [["f32", 5], ["f16", 2.7]] as const) {
    const { buffers } = planTraining(GRAPH, { ...OPTIONS, precision }, LARGE_GPU);
    assert(buffers.bytes < most * 2 ** 30, `${precision}: ${buffers.bytes / 2 ** 30} GiB`);
  }
});

Deno.test("a device that binds 128 MiB at a time can train the default network", () => {
  const { steps, blocks } = planTraining(GRAPH, OPTIONS, BASE_LIMITS);
  for (const { name, bindings, workgroups } of steps.flatMap(({ operator }) => operator.dispatches)) {
    assert(bindings.length <= BASE_LIMITS.maxBindings, `${name} binds ${bindings.length}`);
    assert(workgroups.every((n) => n >= 1 && n <= 65535), `${name}: ${workgroups}`);
  }
  const segments = [...blocks.values()].flatMap((block) => block.segments);
  assert(Math.max(...segments.map(({ bytes }) => bytes)) <= BASE_LIMITS.maxBindingBytes);
});

Deno.test("parameters without a gradient lie apart from those that have one, each where a binding may begin", () => {
  const untrained = ["decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"];
  const { layout } = planTraining(GRAPH, OPTIONS, BASE_LIMITS);
  assertEquals(layout.parameters.filter(({ hasGradient }) => !hasGradient).map(({ name }) => name), untrained);
  for (const { name, chunk, offset, length, hasGradient } of layout.parameters) {
    assertEquals(layout.chunks[chunk].trained, hasGradient, name);
    assertEquals(offset * 4 % 256, 0, name);
    assert(offset + length <= layout.chunks[chunk].floats, name);
    const others = layout.parameters.filter((other) => other.chunk === chunk && other.offset > offset);
    assert(others.every((other) => other.offset >= offset + length), name);
  }
  const small = layOutParameters(GRAPH, new Set(layout.parameters.map(({ name }) => name)), 24 * 2 ** 20);
  assert(small.chunks.every(({ floats }) => floats * 4 <= 24 * 2 ** 20));
});

Deno.test("measured ways of gradients are taken where they are named", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [8, 16] }), 1, 3, { deepSupervision: true });
  const options: TrainingOptions = { ...OPTIONS, patch: [16, 16, 16], outputWeights: [1] };
  const problems = problemsOf(graph, options, BASE_LIMITS);
  const tuning = new Map<string, string>();
  for (
    const kind of [
      "weight gradient 3x3x3/1x1x1 batch 2 of 16x16x16 8@",
      "data gradient 3x3x3/2x2x2 batch 2 of 8x8x8 16@",
    ]
  ) {
    const [key, problem] = [...problems].find(([key]) => key.startsWith(kind)) ?? ["", undefined];
    assert(problem !== undefined, [...problems.keys()].join("\n"));
    tuning.set(key, measuredCandidates(problem).at(-1)?.name ?? "");
  }
  const algorithms = (wanted?: WantedCandidate) =>
    planTraining(graph, options, BASE_LIMITS, wanted).steps.map(({ operator }) => operator.algorithm);
  const usual = algorithms();
  const changed = algorithms(wantedOf(tuning)).filter((way, i) => way !== usual[i]);
  assertEquals(new Set(changed), new Set(tuning.values()));
});

Deno.test("what is measured of a training can be told from the steps of its plan", () => {
  const noted = new Set<string>();
  const note: WantedCandidate = ({ name, step = name }) => void noted.add(step);
  const { steps } = planTraining(GRAPH, OPTIONS, BASE_LIMITS, note);
  const convolutions = steps.map(({ name }) => name).filter((name) =>
    /^(data gradient |weight gradient |)(transposed )?conv /.test(name)
  );
  assertEquals([...noted].sort(), convolutions.sort());
  assert(
    ["weight gradient ", "data gradient "].every((kind) => convolutions.some((name) => name.startsWith(kind))),
  );
});

Deno.test("gradients of wide 3x3x3 layers are Winograd's, those of heads and transposed convolutions direct", () => {
  const algorithms = new Map(
    planTraining(GRAPH, OPTIONS, LARGE_GPU).steps.map(({ name, operator }) => [name, operator.algorithm]),
  );
  const of = (name: string) => [...algorithms].find(([step]) => step.startsWith(name))?.[1] ?? "";
  for (const layer of ["encoder.stages.0.0.convs.1", "encoder.stages.3.0.convs.1", "decoder.stages.4.convs.0"]) {
    assert(of(`weight gradient conv ${layer}.conv `).startsWith("weight gradient winograd 4x4x4"), layer);
    assert(of(`data gradient conv ${layer}.conv `).startsWith("winograd 4x4x4"), layer);
  }
  assert(of("data gradient conv encoder.stages.3.0.convs.0.conv ").startsWith("winograd 4*2x4*2x4*2"));
  for (const layer of ["conv decoder.seg_layers.4", "transposed conv decoder.transpconvs.4"]) {
    assert(of(`weight gradient ${layer} `).startsWith("weight gradient direct"), layer);
    assert(of(`data gradient ${layer} `).startsWith("direct"), layer);
  }
});

Deno.test("a share's gradients are done in buckets, of which the last holds the first layers alone", () => {
  const share = { first: 1, of: 2 };
  const plan = planTraining(
    GRAPH,
    { ...OPTIONS, batch: 1, share, loss: { ...OPTIONS.loss, batchDice: true } },
    LARGE_GPU,
  );
  assert(plan.shared !== undefined);
  const { buckets, needs, meetings, updateAt } = plan.shared;
  assertEquals(meetings.length, 1);
  const [{ at: totalsAt }] = meetings;
  const trained = [...plan.layout.chunks.keys()].filter((chunk) => plan.layout.chunks[chunk].trained);
  assertEquals(buckets.flatMap(({ chunks }) => chunks).toSorted((a, b) => a - b), trained);
  assertEquals(buckets.at(-1)?.chunks, [0]);
  assert(
    buckets.length > 2 && needs.bucketFloats.every((floats) => floats * 4 < 96 * 2 ** 20),
    `${needs.bucketFloats}`,
  );
  const chunkOf = new Map(plan.layout.parameters.map(({ name, chunk }) => [gradientSlot(name), chunk]));
  for (const { chunks, before } of buckets) {
    const later = plan.steps.slice(before, updateAt).flatMap(({ operator }) => operator.dispatches);
    const written = later.flatMap(({ bindings }) => bindings).filter(({ access }) => access === "read_write");
    assert(!written.some(({ slot }) => chunks.includes(chunkOf.get(slot) ?? -1)), `chunks ${chunks} are not done`);
  }
  // 5 sums of 4 padded channels, of 4 outputs.
  assertEquals(needs.rowFloats, 80);
  assert(plan.steps.slice(0, totalsAt).every(({ operator }) => operator.algorithm !== "loss backward"));
  // Without batch Dice, losses of 4 outputs are all that shares hear of each other.
  const alone = planTraining(GRAPH, { ...OPTIONS, batch: 1, share }, LARGE_GPU).shared;
  assertEquals([alone?.needs.rowFloats, alone?.meetings, alone?.ownLosses], [4, [], true]);
  const rows = joinRows([Float32Array.of(1, 2, 3, 4), Float32Array.of(5, 6)], [2, 1]);
  assertEquals([...rows], [1, 2, 5, 3, 4, 6]);
  assertEquals(splitRows(rows, [2, 1]).map((row) => [...row]), [[1, 2, 3, 4], [5, 6]]);
});

Deno.test("shares meet for the largest cross-entropies byte by byte, and for every batch norm there and back", () => {
  const share = { first: 0, of: 2 };
  const topK = { percent: 10, labelSmoothing: 0 };
  const options: TrainingOptions = { ...OPTIONS, batch: 1, share, loss: { ...OPTIONS.loss, topK } };
  const top = planTraining(GRAPH, options, LARGE_GPU).shared;
  assertEquals(top?.ownLosses, false);
  // 5 sums of 4 padded channels and 256 counts, three times counts alone, the sum of those above the k-th; of 4 outputs.
  const widths = top?.meetings.map(({ gathered }) => gathered.reduce((sum, { floats }) => sum + floats, 0));
  assertEquals(widths, [4 * (20 + 256), 4 * 256, 4 * 256, 4 * 256, 4]);
  assert(top?.meetings.every(({ isOfTraining }) => !isOfTraining));
  const stages = architecture({ featuresPerStage: [8, 16], norm: { kind: "batch", eps: 1e-5, affine: true } });
  const graph = buildGraph(stages, 1, 3);
  const plan = planTraining(
    graph,
    { ...OPTIONS, patch: [16, 16, 16], batch: 1, share, outputWeights: [1] },
    LARGE_GPU,
  );
  const norms = graph.nodes.filter(({ kind }) => kind === "batchNorm").length;
  assert(plan.shared !== undefined);
  const { meetings, ownLosses } = plan.shared;
  assertEquals([meetings.length, ownLosses], [2 * norms, true]);
  const validated = new Set(itemsOf(plan, plan.steps, "validation"));
  assert(meetings.every(({ at, isOfTraining }) => isOfTraining && !validated.has(plan.steps[at - 1])));
});
