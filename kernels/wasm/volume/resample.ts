/** From logits to labels or probabilities on the CPU: see kernels/operators/volume/resample.ts. */
import {
  checkMixTables,
  type LabelChoice,
  mixEntry,
  type MixTables,
  type ResampleOf,
  sourcePlanes,
  type ToLabels,
  type ToProbabilities,
} from "../../operators/volume/resample.ts";
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";
import type { Operator } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";
import type { RingGeometry } from "../../operators/volume/accumulate.ts";

interface ResampleRange extends ResampleOf<RingGeometry> {
  /** Lengths of the tables along planes, rows and columns. */
  readonly outputs: Vec3;
  readonly logitsSlot: string;
}

export interface ResampleLabels extends ResampleRange, ToLabels {
  readonly kind: LabelChoice["kind"];
  readonly targetSlot: string;
}

export interface ResampleProbabilities extends ResampleRange, ToProbabilities {
  readonly targetSlot: string;
}

/**
 * Bytes before the tables: the most that the last four channels may be, -Infinity in the lanes behind the last channel, so that these
 * never win, whatever they hold (the next voxel's channels, memory that was never written).
 */
export const TAIL_BYTES = 16;
/** Bytes of a table entry: first, second (i32), 1 - fraction, fraction (f32). */
export const ENTRY_BYTES = 16;

export const RESAMPLE_FIELDS = {
  logits: "address",
  tables: "address",
  target: "address",
  padded: "i32",
  channels: "i32",
  channelStride: "i32",
  ringPlanes: "i32",
  ringRows: "i32",
  ringColumns: "i32",
  outPlanes: "i32",
  outRows: "i32",
  outColumns: "i32",
  from: "i32",
  to: "i32",
  /** The output plane that the target starts with. */
  targetPlane: "i32",
  planesPerItem: "i32",
  planeItems: "i32",
  rowsPerItem: "i32",
  /** A power of two. */
  cacheRows: "i32",
  /** In elements of the target; for probabilities the last one is that of two channels. */
  planeStride: "i32",
  rowStride: "i32",
  columnStride: "i32",
} as const satisfies ParamTypes;

/** Source rows and output planes of an item, about: what two neighbouring items share is classified twice. */
const ITEM_ROWS = 16;
const ITEM_PLANES = 32;

/** The constants of a resampling as one block, the same for every range of planes: tail, plane, row and column entries, label values. */
export function packResampleTables(
  ring: RingGeometry,
  tables: MixTables,
  values: readonly number[] = [],
): Uint8Array {
  checkMixTables(ring, tables);
  const entries = tables.reduce((sum, table) => sum + table.first.length, 0);
  const bytes = new Uint8Array(TAIL_BYTES + entries * ENTRY_BYTES + (values.length + 1) * 4);
  const view = new DataView(bytes.buffer);
  for (let lane = 0; lane < 4; lane++) {
    const channel = padToFour(ring.channels) - 4 + lane;
    view.setFloat32(lane * 4, channel < ring.channels ? Infinity : -Infinity, true);
  }
  let at = TAIL_BYTES;
  for (const table of tables) {
    for (let j = 0; j < table.first.length; j++, at += ENTRY_BYTES) {
      const { first, second, fraction } = mixEntry(table, j);
      view.setInt32(at, first, true);
      view.setInt32(at + 4, second, true);
      view.setFloat32(at + 8, 1 - fraction, true);
      view.setFloat32(at + 12, fraction, true);
    }
  }
  // One more, 0: where no region is.
  for (const value of values) {
    view.setInt32(at, value, true);
    at += 4;
  }
  return bytes;
}

/** Interpolates logits and writes one label a voxel. One item: a block of output rows over a block of output planes. */
export function planResampleToLabels(spec: ResampleLabels): Operator {
  const kernel = `resample_${spec.kind}_${spec.targetType}`;
  const size = spec.targetType === "u8" ? 1 : 2;
  const { offset, strides } = spec.view;
  return resample(kernel, spec, { plane: 0, offset: offset * size, strides }, "labels");
}

/** Interpolates logits and writes softmax (over the channels) or sigmoid of them. Items as for the labels. */
export function planResampleToProbabilities(spec: ResampleProbabilities): Operator {
  const kernel = `resample_${spec.nonlinearity}`;
  const plane = spec.outputs[1] * spec.outputs[2];
  const strides: Vec3 = [plane * spec.ring.channels, spec.outputs[2], plane];
  return resample(kernel, spec, { plane: spec.from, offset: 0, strides }, "probabilities");
}

function resample(
  kernel: string,
  spec: ResampleRange & { readonly targetSlot: string },
  place: { readonly plane: number; readonly offset: number; readonly strides: Vec3 },
  what: "labels" | "probabilities",
): Operator {
  const { ring } = spec;
  const padded = padToFour(ring.channels);
  const rowBytes = ring.columns * ring.channelStride * 4;
  const [outPlanes, outRows, outColumns] = spec.outputs;
  const rowsPerItem = Math.min(outRows, Math.max(4, Math.min(64, Math.round(ITEM_ROWS * outRows / ring.rows))));
  const sourceRows = Math.min(ring.rows, Math.ceil(rowsPerItem * ring.rows / outRows) + 2);
  const cacheRows = 2 ** Math.ceil(Math.log2(Math.min(128, sourceRows)));
  const planeItems = Math.ceil((spec.to - spec.from) / ITEM_PLANES);
  const items = Math.ceil(outRows / rowsPerItem) * planeItems;
  const voxels = (spec.to - spec.from) * outRows * outColumns;
  const sources = sourcePlanes(spec, outPlanes);
  const bytes = sources * ring.rows * rowBytes + voxels * (what === "labels" ? 1 : ring.channels * 4);
  const params = listParams(RESAMPLE_FIELDS, {
    logits: { slot: spec.logitsSlot },
    tables: { slot: spec.tablesSlot },
    target: { slot: spec.targetSlot, offset: place.offset },
    padded,
    channels: ring.channels,
    channelStride: ring.channelStride,
    ringPlanes: ring.planes,
    ringRows: ring.rows,
    ringColumns: ring.columns,
    outPlanes,
    outRows,
    outColumns,
    from: spec.from,
    to: spec.to,
    targetPlane: place.plane,
    planesPerItem: ITEM_PLANES,
    planeItems,
    rowsPerItem,
    cacheRows,
    planeStride: place.strides[0],
    rowStride: place.strides[1],
    columnStride: place.strides[2],
  });
  return {
    algorithm: `resample to ${what}`,
    calls: items === 0 ? [] : [{ kernel, params, items, scratchBytes: scratchBytes(spec, what, cacheRows) }],
    temporaries: {},
    flops: voxels * padded * 3,
    bytes,
    coreSeconds: what === "labels"
      ? sources * ring.rows * ring.columns * (8e-9 + padded * 0.17e-9) + voxels * 4e-9
      : voxels * padded * 5e-9,
  };
}

/**
 * Labels: a voxel, tags, the row of agreed channels and the cached rows. Probabilities: two rows mixed along planes, one mixed along
 * rows, an output row.
 */
function scratchBytes({ ring, outputs }: ResampleRange, what: "labels" | "probabilities", cacheRows: number): number {
  const voxel = padToFour(ring.channels) * 4;
  if (what === "probabilities") return 3 * Math.ceil(ring.columns * ring.channelStride / 4) * 16 + outputs[2] * voxel;
  return voxel + cacheRows * 8 + (2 * cacheRows + 1) * Math.ceil(ring.columns / 8) * 16;
}
