/** Sums of overlapping patches on the CPU. */
import {
  type AccumulateOf,
  coverOf,
  type FinishPlanesOf,
  type RingGeometry,
} from "../../operators/volume/accumulate.ts";
import { padToFour } from "../../../core/base/shape.ts";
import { distance, laneBits, walk } from "../elementwise/simd.ts";
import { type Expr, f32, f32x4, i32, i64, v128 } from "../emit/expression.ts";
import { type FunctionBuilder, type Kernel, kernelOf, type Local } from "../emit/module_builder.ts";
import type { Operator } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";

export interface Accumulate extends AccumulateOf<RingGeometry> {
  readonly logitsSlot: string;
  readonly weightSumsSlot: string;
  readonly outputSlot: string;
  /** f32 (z, y, x) of the patch. */
  readonly importanceSlot: string;
}

export interface FinishPlanes extends FinishPlanesOf<RingGeometry> {
  readonly logitsSlot: string;
  readonly weightSumsSlot: string;
}

const ACCUMULATE_FIELDS = {
  /** The first voxel of the planes in the ring, and the output voxel and importance that go there. */
  logits: "address",
  weightSums: "address",
  output: "address",
  importance: "address",
  channels: "i32",
  channelStride: "i32",
  /** Channels of the output, padded. */
  padded: "i32",
  planes: "i32",
  rows: "i32",
  columns: "i32",
  /** In voxels, along the ring's axes; negative where the output is flipped. */
  ringPlaneStep: "i32",
  ringRowStep: "i32",
  outputPlaneStep: "i32",
  outputRowStep: "i32",
  outputColumnStep: "i32",
  importancePlaneStep: "i32",
  importanceRowStep: "i32",
  importanceColumnStep: "i32",
  planesPerItem: "i32",
  rowsPerItem: "i32",
  itemsPerPlane: "i32",
  addWeight: "i32",
  scale: "f32",
} as const satisfies ParamTypes;

const FINISH_FIELDS = {
  logits: "address",
  weightSums: "address",
  flag: "address",
  channels: "i32",
  channelStride: "i32",
  ringPlanes: "i32",
  rows: "i32",
  columns: "i32",
  from: "i32",
  rowsPerItem: "i32",
  itemsPerPlane: "i32",
  hasFlag: "i32",
  folds: "f32",
} as const satisfies ParamTypes;

const ITEM_BYTES = 64 * 1024;

/** Planes walked together where they are neighbours in the output, so that its cache lines and pages are used whole. */
const NEIGHBOUR_PLANES = 8;

/** One call for each run of planes up to the ring's end; one item: some rows of one plane or of a few. */
export function planAccumulate(spec: Accumulate): Operator {
  const { ring } = spec;
  const padded = padToFour(ring.channels);
  const cover = coverOf(spec);
  const { count, voxels, outputStep, importanceStep } = cover;
  const planesPerItem = ring.axes[0] === 2 ? NEIGHBOUR_PLANES : 1;
  const rowsPerItem = rowsOfItem(count[1], count[2], padded);
  const itemsPerPlane = Math.ceil(count[1] / rowsPerItem);
  const bytes = voxels * (padded * 12 + (spec.addWeight ? 12 : 4));
  const calls = cover.runs.map(({ plane, planes }) => {
    const to = cover.ringStart(plane);
    const params = listParams(ACCUMULATE_FIELDS, {
      logits: { slot: spec.logitsSlot, offset: to * ring.channelStride * 4 },
      weightSums: { slot: spec.weightSumsSlot, offset: to * 4 },
      output: { slot: spec.outputSlot, offset: cover.outputStart(plane) * padded * 4 },
      importance: { slot: spec.importanceSlot, offset: cover.importanceStart(plane) * 4 },
      channels: ring.channels,
      channelStride: ring.channelStride,
      padded,
      planes,
      rows: count[1],
      columns: count[2],
      ringPlaneStep: ring.rows * ring.columns,
      ringRowStep: ring.columns,
      outputPlaneStep: outputStep[0],
      outputRowStep: outputStep[1],
      outputColumnStep: outputStep[2],
      importancePlaneStep: importanceStep[0],
      importanceRowStep: importanceStep[1],
      importanceColumnStep: importanceStep[2],
      planesPerItem,
      rowsPerItem,
      itemsPerPlane,
      addWeight: spec.addWeight ? 1 : 0,
      scale: spec.scale,
    });
    const items = Math.ceil(planes / planesPerItem) * itemsPerPlane;
    return { kernel: "accumulate_patch", params, items, scratchBytes: 0 };
  });
  return {
    algorithm: "accumulate",
    calls,
    temporaries: {},
    flops: voxels * padded * 2,
    bytes,
    coreSeconds: bytes / 12e9,
  };
}

/** One item: some rows of one plane. */
export function planFinishPlanes(spec: FinishPlanes): Operator {
  const { ring } = spec;
  const rowsPerItem = rowsOfItem(ring.rows, ring.columns, ring.channelStride);
  const itemsPerPlane = Math.ceil(ring.rows / rowsPerItem);
  const voxels = (spec.to - spec.from) * ring.rows * ring.columns;
  const bytes = voxels * (ring.channelStride * 8 + 4);
  const params = listParams(FINISH_FIELDS, {
    logits: { slot: spec.logitsSlot },
    weightSums: { slot: spec.weightSumsSlot },
    flag: { slot: spec.flagSlot ?? spec.logitsSlot },
    hasFlag: spec.flagSlot === undefined ? 0 : 1,
    channels: ring.channels,
    channelStride: ring.channelStride,
    ringPlanes: ring.planes,
    rows: ring.rows,
    columns: ring.columns,
    from: spec.from,
    rowsPerItem,
    itemsPerPlane,
    folds: spec.folds,
  });
  const items = (spec.to - spec.from) * itemsPerPlane;
  return {
    algorithm: "finish planes",
    calls: items === 0 ? [] : [{ kernel: "finish_planes", params, items, scratchBytes: 0 }],
    temporaries: {},
    flops: voxels * ring.channels,
    bytes,
    coreSeconds: bytes / 12e9,
  };
}

function rowsOfItem(rows: number, columns: number, channelStride: number): number {
  return Math.min(Math.max(1, rows), Math.max(1, Math.ceil(ITEM_BYTES / Math.max(1, columns * channelStride * 4))));
}

/**
 * Walks a voxel's channels: four at a time, then those left over one at a time, so that nothing behind them is written.
 * `to` ends behind the last channel.
 */
function eachChannel(f: FunctionBuilder, channels: Expr<"i32">, to: Local<"i64">) {
  const whole = f.local("i64", distance(i32.and(channels, -4), 4));
  const rest = f.local("i64", distance(i32.and(channels, 3), 4));
  const end = f.local("i64");
  return (four: () => void, one: () => void) => {
    f.set(end, i64.add(to, whole));
    walk(f, to, end, 16, four);
    f.set(end, i64.add(to, rest));
    walk(f, to, end, 4, one);
  };
}

const accumulateKernel = kernelOf("accumulate_patch", ACCUMULATE_FIELDS, (f, p, item) => {
  const ringVoxel = f.local("i64", distance(p.channelStride, 4));
  const outputVoxel = f.local("i64", distance(p.padded, 4));
  const channelBytes = f.local("i64", distance(p.channels, 4));
  const plane = f.local("i32", i32.mul(i32.divU(item, p.itemsPerPlane), p.planesPerItem));
  const planesLeft = f.local("i32", i32.sub(p.planes, plane));
  const planes = f.local("i32", i32.min(planesLeft, p.planesPerItem));
  const first = f.local("i32", i32.mul(i32.remU(item, p.itemsPerPlane), p.rowsPerItem));
  const end = f.local("i32", i32.min(f.local("i32", i32.add(first, p.rowsPerItem)), p.rows));
  const weight = f.local("f32");
  const weights = f.local("v128");
  const one = f.local("i32", 1);
  /** A pointer into a grid of `unit` bytes a voxel that starts at `base`, and how far it goes along each axis. */
  const walker = (base: Expr<"i64">, unit: Expr<"i64">, steps: readonly Expr<"i32">[]) => {
    const [planeStep, rowStep, columnStep] = steps.map((step) => f.local("i64", distance(step, unit)));
    const column = f.local("i64");
    return { base, planeStep, rowStep, columnStep, column, at: f.local("i64") };
  };
  const four = f.local("i64", 4);
  const importanceSteps = [p.importancePlaneStep, p.importanceRowStep, p.importanceColumnStep];
  const to = walker(p.logits, ringVoxel, [p.ringPlaneStep, p.ringRowStep, one]);
  const sums = walker(p.weightSums, four, [p.ringPlaneStep, p.ringRowStep, one]);
  const from = walker(p.output, outputVoxel, [p.outputPlaneStep, p.outputRowStep, p.outputColumnStep]);
  const importance = walker(p.importance, four, importanceSteps);
  const walkers = [to, sums, from, importance];
  const channels = eachChannel(f, p.channels, to.at);
  const addVoxel = () => {
    f.if(p.addWeight, () => f.storeF32(sums.at, f32.add(f32.load(sums.at), f32.load(importance.at))));
    f.set(weight, f32.mul(f32.load(importance.at), p.scale));
    f.set(weights, f32x4.splat(weight));
    channels(() => {
      f.storeV128(to.at, f32x4.add(v128.load(to.at), f32x4.mul(v128.load(from.at), weights)));
      f.add(from.at, 16);
    }, () => {
      f.storeF32(to.at, f32.add(f32.load(to.at), f32.mul(f32.load(from.at), weight)));
      f.add(from.at, 4);
    });
  };
  f.for(first, end, 1, (row) => {
    for (const w of walkers) {
      f.set(w.column, i64.add(i64.add(w.base, distance(plane, w.planeStep)), distance(row, w.rowStep)));
    }
    f.countdown(p.columns, () => {
      for (const w of walkers) f.set(w.at, w.column);
      f.countdown(planes, () => {
        addVoxel();
        // The pointers to channels stand behind the last one.
        f.add(to.at, i64.sub(to.planeStep, channelBytes));
        f.add(from.at, i64.sub(from.planeStep, channelBytes));
        f.add(sums.at, sums.planeStep);
        f.add(importance.at, importance.planeStep);
      });
      for (const w of walkers) f.add(w.column, w.columnStep);
    });
  });
});

const finishKernel = kernelOf("finish_planes", FINISH_FIELDS, (f, p, item) => {
  const voxelBytes = f.local("i64", distance(p.channelStride, 4));
  const padding = f.local("i64", distance(i32.sub(p.channelStride, p.channels), 4));
  const plane = i32.add(p.from, i32.divU(item, p.itemsPerPlane));
  const first = f.local("i32", i32.mul(i32.remU(item, p.itemsPerPlane), p.rowsPerItem));
  const left = f.local("i32", i32.sub(p.rows, first));
  const count = f.local("i32", i32.mul(i32.min(left, p.rowsPerItem), p.columns));
  const row = i32.add(i32.mul(i32.remU(plane, p.ringPlanes), p.rows), first);
  const voxel = f.local("i64", distance(row, i64.extendS(p.columns)));
  const to = f.local("i64", i64.add(p.logits, i64.mul(voxel, voxelBytes)));
  const sums = f.local("i64", i64.add(p.weightSums, i64.shl(voxel, 2)));
  const channels = eachChannel(f, p.channels, to);
  const [factor, factors] = [f.local("f32"), f.local("v128")];
  const [value, values] = [f.local("f32"), f.local("v128")];
  // A finite number times zero is zero, NaN and the infinities become NaN, which stays in the sums.
  const zero = v128.const(0, 0, 0, 0);
  const [zeroSum, zeros] = [f.local("f32", f32.const(0)), f.local("v128", zero)];
  f.countdown(count, () => {
    f.set(factor, f32.div(1, f32.mul(f32.load(sums), p.folds)));
    f.set(factors, f32x4.splat(factor));
    channels(() => {
      f.set(values, f32x4.mul(v128.load(to), factors));
      f.storeV128(to, values);
      f.set(zeros, f32x4.add(zeros, f32x4.mul(values, zero)));
    }, () => {
      f.set(value, f32.mul(f32.load(to), factor));
      f.storeF32(to, value);
      f.set(zeroSum, f32.add(zeroSum, f32.mul(value, 0)));
    });
    f.add(to, padding);
    f.add(sums, 4);
  });
  const isFinite = i32.and(i32.eq(laneBits(f32x4.eq(zeros, zero)), 15), f32.eq(zeroSum, 0));
  f.if(i32.and(p.hasFlag, i32.eqz(isFinite)), () => f.storeF32(p.flag, f32.const(1)));
});

export const ACCUMULATE_KERNELS: readonly Kernel[] = [accumulateKernel, finishKernel];
