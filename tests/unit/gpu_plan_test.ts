/** What the GPU engine plans before it allocates: shared buffers, segments, weights; no device involved. */
import type { BlockLifetime } from "../../core/graph/memory_plan.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { planBuffers } from "../../gpu/buffer_plan.ts";
import { planProgram } from "../../gpu/program_plan.ts";
import { tensorLayout } from "../../gpu/tensor_layout.ts";
import { problemsOf } from "../../gpu/tune.ts";
import { type Tuning, wantedOf } from "../../gpu/tuning.ts";
import { measuredCandidates } from "../../kernels/wgsl/conv/measured.ts";
import { BASE_LIMITS } from "../../kernels/wgsl/conv/problem.ts";
import { BLOCKS } from "../../kernels/wgsl/conv/tile_storage.ts";
import type { WgslDispatch } from "../../kernels/wgsl/kernel.ts";
import { assert, assertEquals } from "../assert.ts";
import { architecture } from "../../core/cases/networks.ts";

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

Deno.test("in f16 transformed tiles are stored in 16 bits, but those of images, of which one may be a thousand times another", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [32, 64] }), 4, 3);
  const options = { patch: [64, 64, 64], batch: 1, precision: "f16" } as const;
  const ways = [...problemsOf(graph, options, BASE_LIMITS).values()].flatMap((problem) =>
    measuredCandidates(problem).map(({ name }) => ({ name, isOfImage: problem.input.parts[0] === 4 }))
  );
  const isInBlocks = ({ name }: { readonly name: string }) => name.includes(BLOCKS.suffix);
  assert(ways.some(isInBlocks));
  assert(ways.some(({ name, isOfImage }) => isOfImage && name.startsWith("winograd")));
  assertEquals(ways.filter((way) => way.isOfImage && isInBlocks(way)), []);
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

/** What a large GPU allows: bindings of 2 GiB, 48 KiB of workgroup memory. */
const LARGE_GPU = {
  workgroupMemoryBytes: 49152,
  workgroupThreads: 1024,
  maxBindings: 16,
  maxBindingBytes: 2 ** 31 - 256,
};

Deno.test("the default network on a patch of 128^3 takes less than 3 GiB of the device in f32", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [32, 64, 128, 256, 320, 320] }), 1, 3);
  for (const limits of [BASE_LIMITS, LARGE_GPU]) {
    const plan = planProgram(graph, { patch: [128, 128, 128], batch: 1, precision: "f32" }, limits);
    const total = plan.weights.bytes + plan.buffers.bytes + plan.uniformBytes;
    assert(total < 3 * 2 ** 30, `${total / 2 ** 30} GiB`);
  }
});

Deno.test("measured ways of convolutions are taken where they are named, forecasts where not", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [8, 16] }), 1, 3);
  const options = { patch: [16, 16, 16], batch: 2, precision: "f32" } as const;
  const keys = [...problemsOf(graph, options, BASE_LIMITS).keys()];
  assertEquals(new Set(keys).size, keys.length);
  assert(keys.some((key) => key.startsWith("transposed 2x2x2 batch 2 of 8x8x8")), keys.join("\n"));
  const algorithms = (tuning: Tuning) =>
    planProgram(graph, options, BASE_LIMITS, wantedOf(tuning)).steps.map(({ operator }) => operator.algorithm);
  const usual = algorithms(new Map());
  assertEquals(algorithms(new Map([["conv of another shape", "direct 8x32x16"]])), usual);
  const [single, problem] = [...problemsOf(graph, { ...options, batch: 1 }, BASE_LIMITS)]
    .find(([key]) => key.includes(" 8@0/8 f32 normed")) ?? ["", undefined];
  assert(problem !== undefined);
  assertEquals(algorithms(new Map([[single, "a kernel that was there once"]])), usual);
  // Measured for one sample; another batch takes the same scheme and tile, in chunks of its own.
  const name = measuredCandidates(problem).map((candidate) => candidate.name).findLast((one) =>
    one.startsWith("winograd")
  );
  const way = name?.replace(/ by \d+$/, "") ?? "";
  const changed = algorithms(new Map([[single, `${way} by 999`]])).filter((one, i) => one !== usual[i]);
  assert(changed.length > 0 && changed.every((one) => one.startsWith(`${way} by `)), `${way}: ${changed}`);
});

Deno.test("weights are packed and norm tables made by as many kernels as there are forms of them, not layers", () => {
  const graph = buildGraph(architecture({ featuresPerStage: [32, 64, 128, 256, 320, 320] }), 1, 3);
  const { steps, weights } = planProgram(graph, { patch: [128, 128, 128], batch: 1, precision: "f32" }, LARGE_GPU);
  const packing = weights.blocks.flatMap((block) => block.kind === "packed" ? block.kernels() ?? [] : []);
  const tables = steps.flatMap(({ operator }) => operator.dispatches).filter(({ name }) => name.startsWith("norm "));
  const texts = (kernels: readonly WgslDispatch[]) => new Set(kernels.map(({ code }) => code)).size;
  // Four transforms, direct, transposed; statistics in groups, and tables.
  assertEquals([packing.length, texts(packing), texts(tables)], [28, 6, 2]);
  assert(tables.length > 20, `${tables.length}`);
});
