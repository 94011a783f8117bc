/** Sums of overlapping patches on a GPU. */
import {
  type AccumulateOf,
  coverOf,
  type FinishPlanesOf,
  type PatchCover,
  type PlaneRun,
  planeRuns,
  type RingShape,
} from "../../operators/volume/accumulate.ts";
import { padToFour } from "../../../core/base/shape.ts";
import {
  activationView,
  type ArrayLayout,
  type ArrayView,
  arrayView,
  touchedSegments,
  wholeView,
} from "../emit/views.ts";
import { cutRanges, cutToFit, type ThreadRange, type Walk, walkedSegment } from "../emit/ranges.ts";
import { f32, i32, threadKernel, threadMain, u32 } from "../emit/thread_kernel.ts";
import { boxOf, extent } from "./box.ts";
import type { SlotLayout, WgslDispatch, WgslOperator } from "../kernel.ts";

/** A ring whose voxels are whole blocks of four channels: a channel stride of padToFour(channels). */
export type RingGeometry = RingShape;

export interface Accumulate extends AccumulateOf<RingGeometry> {
  /** f32; elements are vec4, padToFour(channels) / 4 of them a voxel. */
  readonly logits: ArrayLayout;
  /** f32; elements are single f32, one a voxel. */
  readonly weightSums: ArrayLayout;
  /** As vec4 of its type. */
  readonly output: SlotLayout;
  /** f32 (z, y, x) of the patch; elements are single f32. */
  readonly importance: ArrayLayout;
}

export interface FinishPlanes extends FinishPlanesOf<RingGeometry> {
  readonly logits: ArrayLayout;
  readonly weightSums: ArrayLayout;
}

/**
 * A thread adds four channels of a voxel. Threads go through the part of the ring that the patch covers in the ring's order, so that
 * ring and sums, read and written, are walked in order; patch and importance, only read, are followed by strides, which are negative
 * where the input was flipped. Planes beyond the ring's end are a dispatch of their own, so no voxel is touched by two threads.
 */
export function planAccumulate(spec: Accumulate): WgslOperator {
  const cover = coverOf(spec);
  const { voxels } = cover;
  const padded = padToFour(spec.ring.channels);
  return {
    algorithm: "accumulate",
    dispatches: cover.runs.flatMap((run) => accumulateRun(spec, run, cover)),
    temporaries: {},
    flops: voxels * padded * 2,
    bytes: voxels * (padded * (spec.output.type === "f16" ? 10 : 12) + (spec.addWeight ? 12 : 4)),
  };
}

function accumulateRun(spec: Accumulate, run: PlaneRun, cover: PatchCover): WgslDispatch[] {
  const { ring, output, importance } = spec;
  const { count: [, rows, columns], outputStep, importanceStep } = cover;
  const blocks = padToFour(ring.channels) / 4;
  const importanceStart = cover.importanceStart(run.plane);
  const outputStart = cover.outputStart(run.plane);
  const ringStart = cover.ringStart(run.plane);

  const planeThreads = rows * columns * blocks;
  const ringVoxel = (thread: number) => {
    const voxel = Math.floor(thread / blocks);
    const row = Math.floor(voxel / columns);
    return ringStart + (Math.floor(row / rows) * ring.rows + row % rows) * ring.columns + voxel % columns;
  };
  const logits: Walk = {
    layout: spec.logits,
    elementOf: (thread) => ringVoxel(thread) * blocks + thread % blocks,
  };
  const sums: Walk = { layout: spec.weightSums, elementOf: ringVoxel };
  const viewsOf = (range: ThreadRange): ArrayView[] => {
    const box = boxOf(range, planeThreads, columns * blocks, columns);
    const [outputFirst, outputLast] = extent(box, outputStep, outputStart);
    const outputs = [outputFirst * blocks, outputLast * blocks + blocks - 1] as const;
    const weights = extent(box, importanceStep, importanceStart);
    return [
      activationView("patch_logits", output, "read", touchedSegments(output, [outputs])),
      arrayView("importance", importance, "f32", "read", touchedSegments(importance, [weights])),
      ringView("logits", logits, "vec4<f32>", range),
      ...(spec.addWeight ? [ringView("sums", sums, "f32", range)] : []),
    ];
  };
  const walks = spec.addWeight ? [logits, sums] : [logits];
  const ranges = cutToFit(run.planes * planeThreads, walks, [planeThreads, columns * blocks], viewsOf);
  return ranges.map((range) => {
    const uniforms = {
      // Of the part of the ring that the patch covers.
      rows: u32(rows),
      columns: u32(columns),
      ring_rows: u32(ring.rows),
      ring_columns: u32(ring.columns),
      ring_start: u32(ringStart),
      // In voxels, along planes, rows and columns of the ring.
      patch_start: i32(outputStart),
      patch_step_plane: i32(outputStep[0]),
      patch_step_row: i32(outputStep[1]),
      patch_step_column: i32(outputStep[2]),
      importance_start: i32(importanceStart),
      importance_step_plane: i32(importanceStep[0]),
      importance_step_row: i32(importanceStep[1]),
      importance_step_column: i32(importanceStep[2]),
      scale: f32(spec.scale),
    };
    const text = `${threadMain("thread")}
  let block = thread % ${blocks}u;
  let voxel = thread / ${blocks}u;
  let line = voxel / p.columns;
  let column = voxel % p.columns;
  let row = line % p.rows;
  let plane = line / p.rows;
  let at = p.ring_start + (plane * p.ring_rows + row) * p.ring_columns + column;
  let from_patch = u32(p.patch_start + i32(plane) * p.patch_step_plane + i32(row) * p.patch_step_row +
    i32(column) * p.patch_step_column);
  let importance = load_importance(u32(p.importance_start + i32(plane) * p.importance_step_plane +
    i32(row) * p.importance_step_row + i32(column) * p.importance_step_column));
  let value = load_patch_logits(from_patch * ${blocks}u + block);
  let element = at * ${blocks}u + block;
  store_logits(element, fma(value, vec4f(importance * p.scale), load_logits(element)));
${spec.addWeight ? "  if (block == 0u) { store_sums(at, load_sums(at) + importance); }\n" : ""}}
`;
    return threadKernel("accumulate", viewsOf(range), range, text, uniforms);
  });
}

/** By its bits: a shader's compiler may take all numbers to be finite. All threads that write write the same. */
const FLAG_NON_FINITE = `  let exponents = bitcast<vec4u>(value) & vec4u(0x7f800000u);
  if (any(exponents == vec4u(0x7f800000u))) { store_flag(0u, 1.0); }
`;

/** A thread divides four channels of a voxel; planes up to the ring's end are one walk. */
export function planFinishPlanes(spec: FinishPlanes): WgslOperator {
  const { ring, from, to } = spec;
  const blocks = padToFour(ring.channels) / 4;
  const plane = ring.rows * ring.columns;
  const dispatches = planeRuns(from, to - from, ring.planes).flatMap((run) => {
    const start = run.plane % ring.planes * plane;
    const logits: Walk = { layout: spec.logits, elementOf: (thread) => start * blocks + thread };
    const sums: Walk = { layout: spec.weightSums, elementOf: (thread) => start + Math.floor(thread / blocks) };
    return cutRanges(run.planes * plane * blocks, [logits, sums]).map((range) => {
      const views = [
        ringView("logits", logits, "vec4<f32>", range),
        { ...ringView("sums", sums, "f32", range), access: "read" as const },
        ...(spec.flagSlot === undefined ? [] : [wholeView("flag", spec.flagSlot, "f32", "read_write")]),
      ];
      const uniforms = { first_voxel: u32(start), folds: f32(spec.folds) };
      const code = `${threadMain("thread")}
  let element = p.first_voxel * ${blocks}u + thread;
  let factor = 1.0 / (load_sums(p.first_voxel + thread / ${blocks}u) * p.folds);
  let value = load_logits(element) * factor;
  store_logits(element, value);
${spec.flagSlot === undefined ? "" : FLAG_NON_FINITE}}
`;
      return threadKernel("finish planes", views, range, code, uniforms);
    });
  });
  const voxels = (to - from) * plane;
  const bytes = voxels * (blocks * 32 + 4);
  return { algorithm: "finish planes", dispatches, temporaries: {}, flops: voxels * blocks * 4, bytes };
}

function ringView(name: string, walk: Walk, element: ArrayView["element"], range: ThreadRange): ArrayView {
  return { name, slot: walk.layout.slot, element, access: "read_write", segments: walkedSegment(walk, range) };
}
