import { assert, assertEquals, assertFails } from "../assert.ts";
import { UserError } from "../../core/base/errors.ts";
import type { TrainingOptions } from "../../core/engine/training.ts";
import { planBackward } from "../../core/graph/backward.ts";
import { fuseGraph } from "../../core/graph/fuse.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { planTraining } from "../../cpu/training/plan.ts";
import { architecture } from "../../core/cases/networks.ts";

const OPTIONS: TrainingOptions = {
  patch: [8, 8, 8],
  batch: 2,
  precision: "f32",
  loss: { target: { kind: "labels" }, batchDice: false, smooth: 1e-5, diceWeight: 1, crossEntropyWeight: 1 },
  outputWeights: [2 / 3, 1 / 3, 0],
};
const FEATURES = { featuresPerStage: [4, 6, 8, 8] };
const DEEP = { deepSupervision: true };

Deno.test("All outputs with a loss are computed, the others' heads keep their values", () => {
  const plan = planTraining(buildGraph(architecture(FEATURES), 1, 3, DEEP), OPTIONS);
  assertEquals(plan.outputs.map((output) => output?.grid), [[8, 8, 8], [4, 4, 4], undefined]);
  const still = plan.layout.parameters.filter(({ hasGradient }) => !hasGradient).map(({ name }) => name);
  assertEquals(still, ["decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"]);
});

Deno.test("Every parameter's gradient is computed once, and those of biases before a norm not at all", () => {
  const graph = buildGraph(architecture({ ...FEATURES, family: "ResidualEncoderUNet" }), 1, 3, DEEP);
  const network = fuseGraph(graph, OPTIONS.patch, graph.outputs.slice(0, 2));
  const { steps } = planBackward(network);
  const convolutions = network.steps.filter((step) => step.kind === "conv" || step.kind === "transposedConv");
  const weights = steps.flatMap((step) => (step.kind === "weight" ? [step] : []));
  assertEquals(weights.map(({ conv }) => conv.output).sort(), convolutions.map(({ output }) => output).sort());
  for (const { conv, bias } of weights) {
    assertEquals(bias, conv.kind === "transposedConv" || /seg_layers/.test(conv.weight ?? ""));
  }
  const norms = graph.nodes.filter(({ kind }) => kind === "instanceNorm");
  assertEquals(steps.filter((step) => step.kind === "view").length, norms.length);
});

Deno.test("A residual sum's gradient becomes that of its first input without a copy", () => {
  const graph = buildGraph(architecture({ ...FEATURES, family: "ResidualEncoderUNet" }), 1, 3);
  const network = fuseGraph(graph, OPTIONS.patch);
  const { sharedGradients } = planBackward(network);
  const sums = network.steps.filter((step) => step.kind === "add");
  assertEquals(sharedGradients.size, sums.length);
  for (const { inputs: [[{ tensor }]], output } of sums) assertEquals(sharedGradients.get(tensor), output);
});

Deno.test("The arena is smaller than everything in it, and a larger batch needs more", () => {
  const graph = buildGraph(architecture(FEATURES), 1, 3, DEEP);
  const small = planTraining(graph, OPTIONS);
  const large = planTraining(graph, { ...OPTIONS, batch: 4 });
  assert(large.arena.bytes > small.arena.bytes);
  assert(small.arena.bytes < 1.2 * small.arena.lowerBound);
  assertEquals(large.layout, small.layout);
});

Deno.test("What cannot be trained is refused by name", async () => {
  const graph = buildGraph(architecture(FEATURES), 1, 3, DEEP);
  await assertFails(() => planTraining(graph, { ...OPTIONS, precision: "f16" }), UserError, "f16");
  await assertFails(() => planTraining(graph, { ...OPTIONS, outputWeights: [1] }), RangeError, "1 output weights");
});
