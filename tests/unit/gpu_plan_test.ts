/** What the GPU engine plans before it allocates: shared buffers, segments, weights; no device involved. */
import type { BlockLifetime } from "../../core/graph/memory_plan.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { planBuffers } from "../../gpu/buffer_plan.ts";
import { planProgram, tensorLayout } from "../../gpu/program_plan.ts";
import { BASE_LIMITS } from "../../kernels/wgsl/conv/problem.ts";
import { assert, assertEquals } from "../assert.ts";
import { architecture } from "../engine/networks.ts";

Deno.test("blocks that live at the same time never share a buffer, and those that do not may", () => {
  const blocks = Array.from({ length: 60 }, (_, i): BlockLifetime => {
    const first = (i * 37) % 50;
    return { name: `block ${i}`, bytes: 16 * (1 + (i * 7919) % 97), first, last: first + (i * 13) % 9 };
  });
  const plan = planBuffers(blocks);
  for (const a of blocks) {
    const buffer = plan.buffers.get(a.name) ?? -1;
    assert(plan.sizes[buffer] >= a.bytes);
    for (const b of blocks) {
      const meet = a !== b && a.first <= b.last && b.first <= a.last;
      assert(!meet || plan.buffers.get(b.name) !== buffer, `${a.name} and ${b.name} share a buffer`);
    }
  }
  assert(plan.sizes.length < blocks.length / 2);
  assertEquals(planBuffers(blocks.toReversed()), plan);
});

Deno.test("tensors are cut between planes, else rows, else voxels, into pieces of about one size", () => {
  const group = { channelStride: 8, grid: [10, 6, 5] as const };
  const cut = (bytes: number) => tensorLayout("t", 2, group, "f32", bytes);
  assertEquals(cut(2 ** 20), { slot: "t", length: 1200, type: "f32", segments: 1, segmentLength: 1200 });
  for (const [bytes, grain] of [[16 * 200, 60], [16 * 59, 10], [16 * 9, 2]]) {
    const { segments, segmentLength, length } = cut(bytes);
    assert(segmentLength * 16 <= bytes && segmentLength % grain === 0, `${bytes}: ${segmentLength}`);
    assert(segments * segmentLength >= length && (segments - 1) * segmentLength < length);
  }
});

Deno.test("activations take half as much in f16; the network's input and output stay f32", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [8, 16] }), 1, 3);
  const [whole, half] = (["f32", "f16"] as const).map((precision) =>
    planProgram(graph, { patch: [16, 16, 16], batch: 1, precision }, BASE_LIMITS)
  );
  const tensors = ({ blocks, input, output }: typeof whole) =>
    [...blocks].filter(([slot]) => slot.startsWith("tensor:") && slot !== input.slot && slot !== output.slot)
      .reduce((sum, [, { bytes }]) => sum + bytes, 0);
  assertEquals(tensors(half) * 2, tensors(whole));
  assertEquals([half.input.type, half.output.type], ["f32", "f32"]);
});

Deno.test("weights lie in the same places whatever the batch and the precision", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [4, 8, 20] }), 1, 2);
  const signatures = [1, 2, 7].flatMap((batch) =>
    (["f32", "f16"] as const).map((precision) =>
      planProgram(graph, { patch: [8, 12, 16], batch, precision }, BASE_LIMITS).weights.signature
    )
  );
  assertEquals(new Set(signatures).size, 1);
});
