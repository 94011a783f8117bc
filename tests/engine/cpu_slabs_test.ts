/** Outputs that lie over their dying inputs: less memory, the same bits. */
import { createCpuEngine } from "../../cpu/engine.ts";
import { planProgram } from "../../cpu/program_plan.ts";
import { convOverInput, upsampledConv } from "../../cpu/slabs.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import type { NetworkArchitecture } from "../../core/network/architecture.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import type { ConvOperator, ItemRow } from "../../kernels/wasm/conv/problem.ts";
import type { KernelCall } from "../../kernels/wasm/kernel.ts";
import { assert, assertEquals } from "../assert.ts";
import { architecture } from "../../core/cases/networks.ts";
import { randomValues, randomWeights } from "../../core/cases/random_data.ts";

type Options = Partial<NetworkArchitecture> & { readonly featuresPerStage: readonly number[] };

const NETS: Readonly<Record<string, { readonly options: Options; readonly patch: Vec3; readonly batch: number }>> = {
  "a plain net": { options: { featuresPerStage: [8, 12, 16] }, patch: [32, 24, 16], batch: 1 },
  "a batch of two": { options: { featuresPerStage: [8, 12] }, patch: [24, 16, 32], batch: 2 },
  "sizes that tiles do not divide": { options: { featuresPerStage: [12, 20] }, patch: [46, 18, 22], batch: 2 },
  "thick slices": {
    options: {
      featuresPerStage: [8, 12, 16],
      kernelSizes: [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
      strides: [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    },
    patch: [20, 32, 32],
    batch: 1,
  },
  "large kernels": {
    options: { featuresPerStage: [8, 12], kernelSizes: [[5, 3, 3], [5, 5, 5]] },
    patch: [32, 16, 16],
    batch: 1,
  },
  "three convolutions a stage and batch norm": {
    options: {
      featuresPerStage: [8, 12],
      blocksPerStage: [3, 3],
      convsPerStageDecoder: [3],
      norm: { kind: "batch", eps: 1e-5, affine: true },
    },
    patch: [32, 16, 16],
    batch: 2,
  },
  "a residual encoder": {
    options: { family: "ResidualEncoderUNet", featuresPerStage: [16, 16], blocksPerStage: [2, 1] },
    patch: [32, 24, 32],
    batch: 1,
  },
};

async function outputs(net: (typeof NETS)[string], slabItems: number): Promise<Float32Array[]> {
  const { options, patch, batch } = net;
  await using engine = await createCpuEngine({ threads: 3, slabItems });
  using program = await engine.compile(buildGraph(architecture(options), 2, 3), { patch, batch, precision: "f32" });
  using weights = await engine.loadWeights(program, randomWeights());
  using volume = engine.alloc("f32", 2 * voxelCount(patch), "volume");
  engine.upload(volume, randomValues(2 * voxelCount(patch), 3));
  const patches = Array.from(
    { length: batch },
    (_, i) => ({ origin: [2 * i, -i, 3 * i], mirror: [i === 1, false, false] } as const),
  );
  engine.gatherPatches({ volume, channels: 2, grid: patch, patches, program });
  // The input outlives a run.
  for (let run = 0; run < 3; run++) engine.run(program, weights);
  return await Promise.all(patches.map((_, sample) => engine.downloadOutput(program, sample)));
}

for (const [name, net] of Object.entries(NETS)) {
  Deno.test(`Outputs laid over inputs that die take less memory and give the same bits: ${name}`, async () => {
    const graph = buildGraph(architecture(net.options), 2, 3);
    const compile = { patch: net.patch, batch: net.batch, precision: "f32" } as const;
    const [laid, apart] = [1, Infinity].map((slabItems) => planProgram(graph, compile, slabItems));
    assert(
      laid.steps.some(({ operator }) => operator.algorithm.includes("in place")),
      "nothing was laid over anything",
    );
    assert(laid.arena.bytes < apart.arena.bytes, `${laid.arena.bytes} bytes, ${apart.arena.bytes} without`);
    const expected = await outputs(net, Infinity);
    assert(expected.every((sample) => sample.every(Number.isFinite)));
    for (const slabItems of [1, 3]) assertEquals(await outputs(net, slabItems), expected);
  });
}

const ROW_ITEMS = 2;
const BATCH = 2;
const PLANES = 24;

/** An operator of rows of `planes` planes that reads `halo` planes around them; a transposed one writes twice as many. */
function operatorOf(kernel: "conv" | "up", depth: number, planes: number, halo: number): ConvOperator {
  const scatter = kernel === "up" ? 2 : 1;
  const rows = Array.from({ length: depth / planes }, (_, row): ItemRow => ({
    items: ROW_ITEMS,
    reads: [Math.max(0, row * planes - halo), Math.min(depth, (row + 1) * planes + halo)],
    writes: [row * planes * scatter, (row + 1) * planes * scatter],
  }));
  const call = { kernel, params: [], items: BATCH * rows.length * ROW_ITEMS, scratchBytes: 0 };
  const costs = { flops: 0, bytes: 0, coreSeconds: 0, weightBytes: 0, pack: () => {} };
  return { algorithm: kernel, calls: [call], temporaries: {}, ...costs, rows };
}

/** Memory in steps of 64 bytes; each holds the name of the plane that was written there last. */
function planeMemory() {
  const held = new Map<number, string>();
  const each = (
    at: number,
    planeBytes: number,
    from: number,
    to: number,
    visit: (byte: number, plane: number) => void,
  ) => {
    for (let byte = from * planeBytes; byte < to * planeBytes; byte += 64) {
      visit(at + byte, Math.floor(byte / planeBytes));
    }
  };
  return {
    write: (what: string, at: number, planeBytes: number, from: number, to: number) =>
      each(at, planeBytes, from, to, (byte, plane) => held.set(byte, `${what} ${plane}`)),
    check: (what: string, at: number, planeBytes: number, from: number, to: number) =>
      each(at, planeBytes, from, to, (byte, plane) => assertEquals(held.get(byte), `${what} ${plane}`)),
  };
}

/** The rows of a call. */
function rowsOf({ firstItem = 0, items }: KernelCall): number[] {
  return Array.from({ length: items / ROW_ITEMS }, (_, i) => firstItem / ROW_ITEMS + i);
}

/** Planes that a convolution's row of two planes reads, within its sample. */
function readsOf(row: number, halo: number): [number, number] {
  const start = Math.floor(row / (PLANES / 2)) * PLANES;
  return [Math.max(start, 2 * row - halo), Math.min(start + PLANES, 2 * row + 2 + halo)];
}

for (const direction of ["ascending", "descending"] as const) {
  Deno.test(`Slabs ${direction} overwrite nothing that is still to be read`, () => {
    for (const [inputPlane, outputPlane] of [[64, 64], [128, 64], [64, 192], [320, 256]]) {
      for (const halo of [0, 1, 3]) {
        const operator = operatorOf("conv", PLANES, 2, halo);
        const conv = { operator, batch: BATCH, inputPlanes: PLANES, outputPlanes: PLANES };
        const [input, output] = [inputPlane, outputPlane].map((planeBytes) => ({
          planeBytes,
          bytes: BATCH * PLANES * planeBytes,
        }));
        const laid = convOverInput(conv, input, output, direction, 3 * ROW_ITEMS);
        assert(laid !== undefined && laid.offset % 64 === 0);
        const memory = planeMemory();
        memory.write("input", 0, inputPlane, 0, BATCH * PLANES);
        const done: number[] = [];
        for (const call of laid.operator.calls) {
          // Threads run a slab's items in any order: here all of them have written before one of them reads.
          for (const row of rowsOf(call)) memory.write("output", laid.offset, outputPlane, 2 * row, 2 * row + 2);
          for (const row of rowsOf(call)) memory.check("input", 0, inputPlane, ...readsOf(row, halo));
          done.push(...rowsOf(call));
        }
        memory.check("output", laid.offset, outputPlane, 0, BATCH * PLANES);
        assertEquals(done.sort((a, b) => a - b), Array.from({ length: BATCH * PLANES / 2 }, (_, row) => row));
      }
    }
  });

  Deno.test(`An upsampled tensor and its reader in slabs ${direction} overwrite nothing that is still to be read`, () => {
    const plane = 128;
    const tensor = { bytes: BATCH * PLANES * plane, planeBytes: plane };
    const up = { operator: operatorOf("up", 12, 3, 0), batch: BATCH, inputPlanes: 12, outputPlanes: PLANES };
    const conv = {
      operator: operatorOf("conv", PLANES, 2, 1),
      batch: BATCH,
      inputPlanes: PLANES,
      outputPlanes: PLANES,
    };
    const laid = upsampledConv(up, conv, { skip: tensor, upsampled: tensor, output: tensor }, direction, 2 * ROW_ITEMS);
    assert(laid !== undefined);
    const { operator: { calls }, upsampledOffset, outputOffset } = laid;
    const memory = planeMemory();
    memory.write("skip", 0, plane, 0, BATCH * PLANES);
    for (const call of calls) {
      const rows = rowsOf(call);
      if (call.kernel === "up") {
        for (const row of rows) memory.write("up", upsampledOffset, plane, 6 * row, 6 * row + 6);
        continue;
      }
      for (const row of rows) memory.write("output", outputOffset, plane, 2 * row, 2 * row + 2);
      for (const row of rows) {
        memory.check("skip", 0, plane, ...readsOf(row, 1));
        memory.check("up", upsampledOffset, plane, ...readsOf(row, 1));
      }
    }
    memory.check("output", outputOffset, plane, 0, BATCH * PLANES);
    assert(Math.abs(outputOffset) < tensor.bytes / 2, "the shift is most of the tensor");
  });
}
