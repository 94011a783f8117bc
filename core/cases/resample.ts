/** Cases of logits resampled to labels and probabilities. */
import { type Vec3, voxelCount } from "../base/shape.ts";
import type { Engine } from "../engine/engine.ts";
import type { AxisTable, LogitRing } from "../engine/volume.ts";
import { type CaseResult, type EngineCase, type TimedSize } from "./case.ts";
import { randomValues } from "./random_data.ts";
import { floatBytes, makeRing, timedCall, volumeCase, wholeRing } from "./rings.ts";

/** Linear resampling of an axis, or nearest where `nearest`. */
function axisTable(from: number, to: number, nearest = false): AxisTable {
  const first = new Int32Array(to);
  const second = new Int32Array(to);
  const fraction = new Float32Array(to);
  for (let j = 0; j < to; j++) {
    const at = Math.min(Math.max((j + 0.5) * from / to - 0.5, 0), from - 1);
    first[j] = nearest ? Math.floor((j + 0.5) * from / to) : Math.floor(at);
    second[j] = nearest ? first[j] : Math.min(first[j] + 1, from - 1);
    fraction[j] = nearest ? 0 : at - first[j];
  }
  return { first, second, fraction };
}

interface Resampling {
  readonly name: string;
  readonly channels: number;
  readonly depth: number;
  readonly planes: number;
  readonly tables: readonly [AxisTable, AxisTable, AxisTable];
  /** Ranges of output planes, each from source planes that the ring then holds. */
  readonly ranges: readonly (readonly [number, number])[];
}

const RESAMPLINGS: readonly Resampling[] = [
  {
    name: "linear on all axes",
    channels: 3,
    depth: 7,
    planes: 7,
    tables: [axisTable(7, 12), axisTable(9, 14), axisTable(10, 7)],
    ranges: [[0, 5], [5, 12]],
  },
  {
    name: "nearest planes",
    channels: 9,
    depth: 4,
    planes: 4,
    tables: [axisTable(4, 9, true), axisTable(9, 14), axisTable(10, 19)],
    ranges: [[0, 9]],
  },
  {
    name: "identity",
    channels: 4,
    depth: 6,
    planes: 6,
    tables: [axisTable(6, 6), axisTable(9, 9), axisTable(10, 10)],
    ranges: [[0, 1], [1, 6]],
  },
  {
    name: "a ring that wraps around",
    channels: 6,
    depth: 20,
    planes: 7,
    tables: [axisTable(20, 30), axisTable(9, 12), axisTable(10, 13)],
    ranges: [[12, 18]],
  },
];

function ringFor(engine: Engine, { channels, depth, planes }: Resampling): LogitRing & Disposable {
  return makeRing(engine, { channels, planes, rows: 9, columns: 10, axes: [0, 1, 2], depth });
}

async function labels(engine: Engine, resampling: Resampling, kind: "argmax" | "regions"): Promise<CaseResult> {
  const { channels, tables, ranges } = resampling;
  using ring = ringFor(engine, resampling);
  engine.upload(ring.logits, randomValues(ring.logits.length, 31));
  const [depth, rows, columns] = tables.map((table) => table.first.length);
  const voxels = depth * rows * columns;
  using small = engine.alloc("u8", voxels + 4, "labels");
  using wide = engine.alloc("u16", voxels * 2, "labels");
  engine.clear(small);
  engine.clear(wide);
  const values = Array.from({ length: channels }, (_, c) => c * 9 + (c > 0 ? 1 : 0));
  for (const [from, to] of ranges) {
    engine.resampleToLabels({
      ring,
      tables,
      from,
      to,
      rule: { kind, values },
      target: small,
      // Transposed and backwards along the columns.
      view: { offset: 4 + (columns - 1) * depth * rows, strides: [rows, 1, -depth * rows] },
    });
    engine.resampleToLabels({
      ring,
      tables,
      from,
      to,
      rule: { kind, values: values.map((v) => v * 300) },
      target: wide,
      view: { offset: 0, strides: [rows * columns * 2, columns * 2, 2] },
    });
  }
  return { u8: await engine.download(small), u16: await engine.download(wide) };
}

async function probabilities(engine: Engine, resampling: Resampling): Promise<CaseResult> {
  const { channels, tables, ranges } = resampling;
  using ring = ringFor(engine, resampling);
  engine.upload(ring.logits, randomValues(ring.logits.length, 32).map((v) => v * 8));
  const results: Record<string, Float32Array> = {};
  for (const nonlinearity of ["softmax", "sigmoid"] as const) {
    for (const [from, to] of ranges) {
      const length = (to - from) * channels * tables[1].first.length * tables[2].first.length;
      using target = engine.alloc("f32", length, "probabilities");
      engine.resampleToProbabilities({ ring, tables, from, to, nonlinearity, target });
      results[`${nonlinearity} ${from}`] = await engine.download(target);
    }
  }
  return results;
}

/** Logits as of segmentations, blobs of 24 voxels where one channel is largest; or noise, where every voxel is a boundary. */
function uploadLogits(engine: Engine, ring: LogitRing, blobs: boolean): void {
  const { channels, channelStride, planes, rows, columns } = ring;
  const values = new Float32Array(rows * columns * channelStride);
  for (let plane = 0; plane < planes; plane++) {
    for (let voxel = 0; voxel < rows * columns; voxel++) {
      const [row, column] = [Math.floor(voxel / columns), voxel % columns];
      const blob = Math.floor(plane / 24) * 7 + Math.floor(row / 24) * 5 + Math.floor(column / 24) * 3;
      const winner = blob % 3 === 0 ? blob % channels : 0;
      for (let c = 0; c < channels; c++) {
        const noise = Math.imul((plane * rows * columns + voxel) * channels + c + 12345, 2654435761) >>> 8;
        values[voxel * channelStride + c] = (blobs && c === winner ? 5 : -5) + noise / 2 ** 24;
      }
    }
    engine.upload(ring.logits, values, plane * values.length);
  }
}

function timedResampling(
  channels: number,
  source: Vec3,
  outputs: Vec3,
  what: "argmax" | "regions" | "softmax",
  blobs = true,
): TimedSize {
  const name = `${what}${blobs ? "" : " of noise"} ${channels} x ${source.join("x")} -> ${outputs.join("x")}`;
  return timedCall(name, (engine, taken) => {
    const channelStride = engine.ringStride(channels);
    const ring = taken.use(makeRing(engine, { ...wholeRing(channels, source), channelStride }));
    uploadLogits(engine, ring, blobs);
    const [depth, rows, columns] = outputs;
    const tables = [
      axisTable(source[0], depth),
      axisTable(source[1], rows),
      axisTable(source[2], columns),
    ] as const;
    const planes = { ring, tables, from: 0, to: depth };
    const voxels = voxelCount(outputs);
    if (what === "softmax") {
      const target = taken.use(engine.alloc("f32", voxels * channels, "probabilities"));
      return {
        run: () => engine.resampleToProbabilities({ ...planes, nonlinearity: what, target }),
        voxels,
        bytes: floatBytes(channels, source) + floatBytes(channels, outputs),
      };
    }
    const target = taken.use(engine.alloc("u8", voxels, "labels"));
    const rule = { kind: what, values: Array.from({ length: channels }, (_, c) => c) };
    const view = { offset: 0, strides: [rows * columns, columns, 1] } as const;
    return {
      run: () => engine.resampleToLabels({ ...planes, rule, target, view }),
      voxels,
      bytes: floatBytes(channels, source) + voxels,
    };
  });
}

const TIMED = {
  argmax: [
    timedResampling(61, [16, 300, 300], [16, 300, 300], "argmax"),
    timedResampling(61, [16, 200, 200], [24, 300, 300], "argmax"),
    timedResampling(61, [16, 200, 200], [24, 300, 300], "argmax", false),
    timedResampling(61, [24, 300, 300], [16, 200, 200], "argmax"),
    timedResampling(25, [107, 170, 170], [160, 256, 256], "argmax"),
    timedResampling(25, [64, 256, 256], [64, 256, 256], "argmax"),
    timedResampling(3, [64, 256, 256], [96, 400, 400], "argmax"),
  ],
  regions: [timedResampling(3, [64, 256, 256], [96, 400, 400], "regions")],
  probabilities: [timedResampling(25, [32, 200, 200], [32, 300, 300], "softmax")],
} as const;

export const RESAMPLE_CASES: readonly EngineCase[] = RESAMPLINGS.flatMap((resampling, i) => {
  const from = `from logits resampled with ${resampling.name}`;
  const more = (timed: readonly TimedSize[]) => (i === 0 ? { selfTest: true, timed } : {});
  return [
    volumeCase(`labels ${from}`, (engine) => labels(engine, resampling, "argmax"), more(TIMED.argmax)),
    volumeCase(`regions ${from}`, (engine) => labels(engine, resampling, "regions"), more(TIMED.regions)),
    volumeCase(`probabilities ${from}`, (engine) => probabilities(engine, resampling), more(TIMED.probabilities)),
  ];
});
