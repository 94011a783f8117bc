/**
 * Speed of the volume kernels on one thread beside what the memory gives: `deno task bench volume`.
 * GB/s counts every byte of the sources and targets once; the best of several runs is shown.
 */
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { f32x4, i64, v128 } from "../../kernels/wasm/emit/expression.ts";
import type { Kernel } from "../../kernels/wasm/emit/module_builder.ts";
import { distance, walk } from "../../kernels/wasm/elementwise/simd.ts";
import { planResidualAdd } from "../../kernels/wasm/elementwise/residual.ts";
import { encodeParams } from "../../kernels/wasm/module.ts";
import type { Operator } from "../../kernels/wasm/kernel.ts";
import { at, listParams, type ParamTypes } from "../../kernels/wasm/params.ts";
import { planAccumulate, planFinishPlanes } from "../../kernels/wasm/volume/accumulate.ts";
import type { RingGeometry } from "../../kernels/operators/volume/accumulate.ts";
import { planGatherPatches } from "../../kernels/wasm/volume/gather.ts";
import { ELEMENTWISE_AND_VOLUME_KERNELS } from "../../kernels/wasm/volume/kernels.ts";
import {
  packResampleTables,
  planResampleToLabels,
  planResampleToProbabilities,
} from "../../kernels/wasm/volume/resample.ts";
import type { MixTable } from "../../kernels/operators/volume/resample.ts";
import { instantiate } from "../engine/run_operator.ts";

const STREAM = { to: "address", from: "address", bytes: "i32" } as const satisfies ParamTypes;

/** What the memory gives: the largest of many values (reads), and to += from * 0.5 (two reads, one write). */
const BASELINES: readonly Kernel[] = [
  {
    name: "stream_read",
    emit: (m) =>
      m.kernel("stream_read", (f, params, item) => {
        const p = f.readParams(params, STREAM);
        const from = f.local("i64", i64.add(p.from, distance(item, i64.extendS(p.bytes))));
        const end = f.local("i64", i64.add(from, i64.extendS(p.bytes)));
        const largest = [0, 1, 2, 3].map(() => f.local("v128", f32x4.splat(0)));
        walk(f, from, end, 64, () => largest.forEach((l, i) => f.set(l, f32x4.pmax(l, v128.load(from, i * 16)))));
        for (const l of largest) f.storeV128(p.to, l);
      }),
  },
  {
    name: "stream_add",
    emit: (m) =>
      m.kernel("stream_add", (f, params, item) => {
        const p = f.readParams(params, STREAM);
        const bytes = i64.extendS(p.bytes);
        const from = f.local("i64", i64.add(p.from, distance(item, bytes)));
        const to = f.local("i64", i64.add(p.to, distance(item, bytes)));
        const end = f.local("i64", i64.add(to, bytes));
        walk(f, to, end, 64, () => {
          for (let i = 0; i < 64; i += 16) {
            f.storeV128(to, f32x4.add(v128.load(to, i), f32x4.mul(v128.load(from, i), f32x4.splat(0.5))), i);
          }
          f.add(from, 64);
        });
      }),
  },
];

const PAGES = 2 ** 15;
const { memory, exports } = instantiate([...ELEMENTWISE_AND_VOLUME_KERNELS, ...BASELINES], PAGES);
const bytes = new Uint8Array(memory.buffer);
// Pages that were never written read as one page of zeros, from the cache.
bytes.fill(0);
const PARAMS_AT = 1024;
const SCRATCH_AT = 2 ** 20;
const SLOTS_AT = 2 ** 25;

/** Fixed places for slots, in order. */
function place(sizes: Record<string, number>): Record<string, number> {
  let end = SLOTS_AT;
  return Object.fromEntries(
    Object.entries(sizes).map(([name, size]) => {
      const start = end;
      end = Math.ceil((end + size) / 4096 + 1) * 4096;
      if (end > PAGES * 65536) throw new RangeError(`${name} does not fit`);
      return [name, start];
    }),
  );
}

function seconds(operator: Operator, slots: Record<string, number>): number {
  let best = Infinity;
  for (let repeat = 0; repeat < 12; repeat++) {
    const start = performance.now();
    for (const call of operator.calls) {
      bytes.set(encodeParams(call.params, (name) => slots[name]), PARAMS_AT);
      const run = exports[call.kernel];
      for (let item = 0; item < call.items; item++) run(BigInt(PARAMS_AT), item, BigInt(SCRATCH_AT));
    }
    best = Math.min(best, performance.now() - start);
  }
  return best / 1000;
}

function report(name: string, voxels: number, time: number, moved: number): void {
  const line =
    `${name.padEnd(64)} ${(time * 1e3).toFixed(1).padStart(8)} ms ${(voxels / time / 1e6).toFixed(1).padStart(8)}` +
    ` Mvoxel/s ${(moved / time / 1e9).toFixed(2).padStart(7)} GB/s\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(line));
}

function linear(from: number, to: number): MixTable {
  const table = { first: new Int32Array(to), second: new Int32Array(to), fraction: new Float32Array(to) };
  for (let j = 0; j < to; j++) {
    const x = Math.min(from - 1, Math.max(0, (j + 0.5) * from / to - 0.5));
    table.first[j] = Math.floor(x);
    table.second[j] = Math.min(from - 1, Math.floor(x) + 1);
    table.fraction[j] = x - Math.floor(x);
  }
  return table;
}

/** Logits as of segmentations, blobs of 24 voxels where one channel is largest; or noise, where every voxel is a boundary. */
function fillLogits(from: number, ring: RingGeometry, blobs: boolean): void {
  const view = new Float32Array(memory.buffer, from, ring.planes * ring.rows * ring.columns * ring.channels);
  let index = 0;
  for (let s = 0; s < ring.planes; s++) {
    for (let u = 0; u < ring.rows; u++) {
      for (let v = 0; v < ring.columns; v++) {
        const blob = (s / 24 | 0) * 7 + (u / 24 | 0) * 5 + (v / 24 | 0) * 3;
        const winner = blob % 3 === 0 ? blob % ring.channels : 0;
        for (let c = 0; c < ring.channels; c++) {
          const noise = Math.imul(index + 12345, 2654435761) >>> 8;
          view[index++] = (blobs && c === winner ? 5 : -5) + noise / 2 ** 24;
        }
      }
    }
  }
}

function stream(): void {
  const size = 256 * 2 ** 20;
  const slots = place({ a: size, b: size });
  const call = (kernel: string, moved: number) => {
    const params = listParams(STREAM, { to: at("a"), from: at("b"), bytes: 2 ** 20 });
    const calls = [{ kernel, params, items: size / 2 ** 20, scratchBytes: 0 }];
    const operator = { algorithm: kernel, calls, temporaries: {}, flops: 0, bytes: 0, coreSeconds: 0 };
    report(`memory: ${kernel}`, size / 4, seconds(operator, slots), moved);
  };
  call("stream_read", size);
  call("stream_add", size * 3);
}

function accumulate(channels: number, patch: Vec3, mirror: readonly [boolean, boolean, boolean], axes: Vec3): void {
  const padded = padToFour(channels);
  const sizes = axes.map((axis) => patch[axis]);
  const size = { planes: sizes[0], rows: sizes[1] + 40, columns: sizes[2] + 40, depth: 1000 };
  const ring = { channels, channelStride: channels, ...size, axes };
  const voxels = voxelCount(patch);
  const slots = place({
    logits: ring.planes * ring.rows * ring.columns * channels * 4,
    sums: ring.planes * ring.rows * ring.columns * 4,
    output: voxels * padded * 4,
    importance: voxels * 4,
  });
  const operator = planAccumulate({
    ring,
    patch,
    placement: { origin: [7, 8, 9], mirror },
    sample: 0,
    scale: 0.125,
    addWeight: true,
    logitsSlot: "logits",
    weightSumsSlot: "sums",
    outputSlot: "output",
    importanceSlot: "importance",
  });
  const name = `accumulate ${channels} x ${patch.join("x")}, mirror ${mirror.map(Number).join("")}, axes ${
    axes.join("")
  }`;
  report(name, voxels, seconds(operator, slots), operator.bytes);
}

function finish(channels: number): void {
  const size = { planes: 96, rows: 96, columns: 96, depth: 1000 };
  const ring = { channels, channelStride: channels, ...size, axes: [0, 1, 2] as Vec3 };
  const voxels = 96 ** 3;
  const slots = place({ logits: voxels * channels * 4, sums: voxels * 4 });
  new Float32Array(memory.buffer, slots.sums, voxels).fill(1);
  const range = { ring, from: 0, to: ring.planes, folds: 1 };
  const operator = planFinishPlanes({ ...range, logitsSlot: "logits", weightSumsSlot: "sums" });
  report(`finish ${channels} channels`, voxels, seconds(operator, slots), operator.bytes);
}

function resample(
  channels: number,
  source: Vec3,
  outputs: Vec3,
  what: "argmax" | "regions" | "softmax",
  blobs = true,
): void {
  const ring = {
    channels,
    channelStride: channels,
    planes: source[0],
    rows: source[1],
    columns: source[2],
    axes: [0, 1, 2] as Vec3,
    depth: source[0],
  };
  const tables = [0, 1, 2].map((axis) => linear(source[axis], outputs[axis]));
  const packed = packResampleTables(
    ring,
    [tables[0], tables[1], tables[2]],
    Array.from({ length: channels }, (_, i) => i),
  );
  const voxels = voxelCount(outputs);
  const logitBytes = voxelCount(source) * channels * 4;
  const targetBytes = what === "softmax" ? voxels * channels * 4 : voxels;
  const slots = place({ logits: logitBytes, tables: packed.length, target: targetBytes });
  bytes.set(packed, slots.tables);
  fillLogits(slots.logits, ring, blobs);
  const range = {
    ring,
    outputs,
    logitsSlot: "logits",
    tablesSlot: "tables",
    targetSlot: "target",
    from: 0,
    to: outputs[0],
  };
  const operator = what === "softmax"
    ? planResampleToProbabilities({ ...range, nonlinearity: what })
    : planResampleToLabels({
      ...range,
      kind: what,
      targetType: "u8",
      view: { offset: 0, strides: [outputs[1] * outputs[2], outputs[2], 1] },
    });
  const name = `${what}${blobs ? "" : " of noise"} ${channels} x ${source.join("x")} -> ${outputs.join("x")}`;
  report(name, voxels, seconds(operator, slots), logitBytes + targetBytes);
}

function gather(channels: number): void {
  const grid: Vec3 = [160, 160, 160];
  const patch: Vec3 = [128, 128, 128];
  const slots = place({
    volume: voxelCount(grid) * channels * 4,
    input: voxelCount(patch) * padToFour(channels) * 4,
  });
  const patches = [{ origin: [5, 6, 7] as Vec3, mirror: [true, false, true] as const }];
  const operator = planGatherPatches({ volumeSlot: "volume", channels, grid, patches, patch, inputSlot: "input" });
  report(`gather ${channels} channels`, voxelCount(patch), seconds(operator, slots), operator.bytes);
}

function residual(channels: number): void {
  const grid: Vec3 = [3072 / channels, 96, 96];
  const size = voxelCount(grid) * channels * 4;
  const slots = place({ a: size, b: size, o: size, n: channels * 12 });
  const operand = (slot: string) => ({
    slot,
    channelStride: channels,
    channelOffset: 0,
    parts: [channels],
    normSlot: "n",
  });
  const target = { slot: "o", channelStride: channels, channelOffset: 0, channels };
  const operator = planResidualAdd({ batch: 1, grid, a: operand("a"), b: operand("b"), target, slope: 0.01 });
  report(`residual sum ${channels} channels`, voxelCount(grid), seconds(operator, slots), operator.bytes);
}

/** Measures everything. */
export function bench(): number {
  stream();
  for (const channels of [32, 128]) residual(channels);
  gather(1);
  gather(4);
  accumulate(25, [96, 96, 96], [false, false, false], [0, 1, 2]);
  accumulate(25, [96, 96, 96], [true, true, true], [0, 1, 2]);
  accumulate(25, [96, 96, 96], [false, false, false], [1, 0, 2]);
  accumulate(25, [96, 96, 96], [false, false, false], [2, 0, 1]);
  accumulate(61, [96, 96, 96], [false, false, false], [0, 1, 2]);
  accumulate(3, [96, 96, 96], [false, false, false], [0, 1, 2]);
  for (const channels of [3, 25, 61]) finish(channels);
  resample(61, [16, 300, 300], [16, 300, 300], "argmax");
  resample(61, [16, 200, 200], [24, 300, 300], "argmax");
  resample(61, [16, 200, 200], [24, 300, 300], "argmax", false);
  resample(61, [24, 300, 300], [16, 200, 200], "argmax");
  resample(25, [107, 170, 170], [160, 256, 256], "argmax");
  resample(25, [64, 256, 256], [64, 256, 256], "argmax");
  resample(3, [64, 256, 256], [96, 400, 400], "argmax");
  resample(3, [64, 256, 256], [96, 400, 400], "regions");
  resample(25, [32, 200, 200], [32, 300, 300], "softmax");
  return 0;
}
