import { fuseGraph, viewsOf } from "../../core/graph/fuse.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { assert, assertEquals } from "../assert.ts";
import { architecture } from "../../core/cases/networks.ts";

Deno.test("A plain U-Net fuses to its convolutions alone", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [6, 8, 10] }), 1, 3);
  const { steps, tensors, groups, output } = fuseGraph(graph, [16, 16, 16]);
  const convolutions = graph.nodes.filter(({ kind }) => kind === "conv" || kind === "transposedConv");
  assertEquals(steps.map(({ kind }) => kind), convolutions.map(({ kind }) => kind));
  assert(steps.every((step) => step.kind !== "conv" || step.weight !== undefined), "nothing is copied");
  assertEquals(groups[tensors[output].group].members, [output]);
});

Deno.test("Both parts of a concatenation lie in one group, each padded to four channels", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [6, 8] }), 1, 3);
  const { steps, tensors, groups } = fuseGraph(graph, [8, 8, 8]);
  const joined = steps.flatMap(viewsOf).find((view) => view.length === 2);
  assert(joined);
  const [up, skip] = joined.map(({ tensor }) => tensors[tensor]);
  assertEquals([up.group, up.channelOffset], [skip.group, 0]);
  assertEquals([skip.channelOffset, groups[up.group].channelStride], [8, 16]);
  assertEquals(joined.map(({ norm, slope }) => [norm?.kind, slope]), [[undefined, 1], ["instanceNorm", 0.01]]);
});

Deno.test("A residual sum is stored activated, and only norms of convolutions need statistics", () => {
  const graph = buildGraph(
    architecture({
      family: "ResidualEncoderUNet",
      featuresPerStage: [4, 8],
      blocksPerStage: [1, 2],
      convsPerStageDecoder: [1],
    }),
    1,
    2,
  );
  const { steps, tensors } = fuseGraph(graph, [8, 8, 8]);
  const sums = steps.filter((step) => step.kind === "add");
  assertEquals(sums.map(({ slope }) => slope), [0.01, 0.01, 0.01]);
  for (const step of steps) {
    const normed = step.kind === "conv" && step.weight?.includes("seg_layers") === false;
    assertEquals(tensors[step.output].statistics, normed);
  }
});

Deno.test("What leads to no output is left out", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [4, 8, 8] }), 1, 2, { deepSupervision: true });
  const { steps } = fuseGraph(graph, [8, 8, 8]);
  const heads = steps.filter((step) => step.kind === "conv" && step.weight?.includes("seg_layers"));
  assertEquals(graph.outputs.length, 2);
  assertEquals(heads.length, 1);
});

Deno.test("A norm after an activation reads a copy that leaves statistics", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [4, 8], nonlinFirst: true }), 1, 2);
  const { steps, tensors } = fuseGraph(graph, [8, 8, 8]);
  const copies = steps.filter((step) => step.kind === "conv" && step.weight === undefined);
  assert(copies.length > 0 && copies.every((step) => tensors[step.output].statistics));
});
