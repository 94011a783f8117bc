/**
 * Where the open planes of logits are: a ring on the engine, or a scratch file with a window of it on the engine at a time.
 * Both give the same sums bit for bit, since a window is loaded with what the file holds before anything is added to it.
 */
import type { Vec3 } from "../../base/shape.ts";
import type { Engine } from "../../engine/engine.ts";
import type { LogitRing } from "../../engine/volume.ts";
import { freeArray } from "../../base/free_array.ts";
import { type ScratchFile, scratchFile } from "./scratch_file.ts";
import { SPILLED_PLANES } from "./stream_candidates.ts";
import type { Range, StreamPlan, TileWindow } from "./stream.ts";

/** Part of the cross-section that can be added to; `shift` (z, y, x) is added to a placement's origin to get the ring's. */
export interface OpenWindow {
  readonly ring: LogitRing;
  readonly shift: Vec3;
}

/** The open planes of one case. */
export interface LogitStore extends AsyncDisposable {
  /** Planes [from, to) start at zero; they must not have been open before. */
  open(planes: Range): Promise<void>;
  /** Brings a window of planes [from, to) onto the engine. */
  acquire(window: TileWindow, planes: Range): Promise<OpenWindow>;
  /** Keeps what was added to the window. */
  release(window: TileWindow, planes: Range): Promise<void>;
  /** Planes [from, to) are complete. */
  close(planes: Range): void;
  /** A ring that holds closed planes [from, to), divided by their weights; at most `planesAtOnce`, asked for in ascending order. */
  read(planes: Range): Promise<LogitRing>;
  readonly planesAtOnce: number;
  /** Whether a logit of the planes that are final was NaN or infinite. */
  hasNonFinite(): Promise<boolean>;
}

/** What a store is made for. */
export interface LogitStoreOptions {
  readonly engine: Engine;
  readonly plan: StreamPlan;
  readonly channels: number;
  readonly folds: number;
  /** Folder of the scratch file of a spilled store. */
  readonly scratchFolder: string;
}

/** Makes the store that the plan names. */
export function createLogitStore(options: LogitStoreOptions): LogitStore {
  return options.plan.placement === "memory" ? residentStore(options) : spilledStore(options);
}

function residentStore({ engine, plan, channels, folds }: LogitStoreOptions): LogitStore {
  const ring = allocateRing(engine, plan, channels, { planes: plan.planes, rows: plan.size[1], columns: plan.size[2] });
  const plane = ring.rows * ring.columns;
  return {
    planesAtOnce: plan.planes,
    open(planes) {
      for (const [slot, count] of slotRanges(planes, ring.planes)) {
        engine.clear(ring.logits, slot * plane * ring.channelStride, count * plane * ring.channelStride);
        engine.clear(ring.weightSums, slot * plane, count * plane);
      }
      return Promise.resolve();
    },
    acquire: () => Promise.resolve({ ring, shift: [0, 0, 0] }),
    release: () => Promise.resolve(),
    close: ([from, to]) => engine.finishPlanes(ring, from, to, folds),
    read: () => Promise.resolve(ring),
    hasNonFinite: () => isFlagged(engine, ring),
    [Symbol.asyncDispose]: async () => {
      await engine.flush().catch(() => {});
      disposeRing(ring);
    },
  };
}

/** Open planes in a file, a window of their cross-section on the engine. */
interface Spill {
  readonly engine: Engine;
  readonly plan: StreamPlan;
  readonly folds: number;
  readonly file: ScratchFile;
  /** One allocation serves windows of all sizes; each gets a ring of its own shape over it. */
  readonly window: LogitRing;
  /** Whole planes that are final. */
  readonly finished: LogitRing;
  /** Elements of a voxel. */
  readonly stride: number;
  /** Of a plane in the file, and where its weight sums begin. */
  readonly planeBytes: number;
  readonly sumsAt: number;
}

function spilledStore({ engine, plan, channels, folds, scratchFolder }: LogitStoreOptions): LogitStore {
  const [depth, rows, columns] = plan.size;
  const stride = engine.ringStride(channels);
  const area = Math.max(...plan.windows.map((window) => width(window.rows) * width(window.columns)));
  const planes = Math.min(SPILLED_PLANES, depth);
  const spill: Spill = {
    engine,
    plan,
    folds,
    window: allocateRing(engine, plan, channels, { planes: plan.planes, rows: 1, columns: area }),
    finished: allocateRing(engine, plan, channels, { planes, rows, columns }),
    file: scratchFile(scratchFolder),
    stride,
    planeBytes: 4 * rows * columns * (stride + 1),
    sumsAt: 4 * rows * columns * stride,
  };
  const { file, window, finished } = spill;
  let loaded = 0;
  return {
    planesAtOnce: finished.planes,
    open: (opened) => {
      clearPlanes(spill, opened);
      return Promise.resolve();
    },
    acquire: (part, open) => loadWindow(spill, part, open),
    release: (part, open) => saveWindow(spill, part, open),
    close: () => {},
    async read([from, to]) {
      await loadPlanes(spill, [Math.max(from, loaded), to]);
      loaded = Math.max(loaded, to);
      return finished;
    },
    hasNonFinite: () => isFlagged(engine, finished),
    [Symbol.asyncDispose]: async () => {
      file[Symbol.dispose]();
      await engine.flush().catch(() => {});
      disposeRing(window);
      disposeRing(finished);
    },
  };
}

function clearPlanes({ file, plan, planeBytes }: Spill, [from, to]: Range): void {
  const zeros = new Uint8Array(planeBytes);
  for (let plane = from; plane < to; plane++) file.write((plane % plan.planes) * planeBytes, zeros);
  freeArray(zeros);
}

function ringOf({ window }: Spill, part: TileWindow): LogitRing {
  return { ...window, rows: width(part.rows), columns: width(part.columns) };
}

/** Visits the runs of a window in one plane of the file: byte position, and element range in the window's plane. */
function forEachRun(
  { plan }: Spill,
  part: TileWindow,
  visit: (voxelInPlane: number, voxelInWindow: number, voxels: number) => void,
): void {
  const columns = plan.size[2];
  const wide = width(part.columns);
  if (wide === columns) return visit(part.rows[0] * columns, 0, width(part.rows) * columns);
  for (let row = part.rows[0]; row < part.rows[1]; row++) {
    visit(row * columns + part.columns[0], (row - part.rows[0]) * wide, wide);
  }
}

async function loadWindow(spill: Spill, part: TileWindow, [from, to]: Range): ReturnType<LogitStore["acquire"]> {
  const { engine, plan, file, stride, planeBytes, sumsAt } = spill;
  // An idle engine takes uploads in place; a busy one would have to keep a copy of each until its turn.
  await engine.flush();
  const ring = ringOf(spill, part);
  const voxels = ring.rows * ring.columns;
  const logits = new Float32Array(voxels * stride);
  const sums = new Float32Array(voxels);
  for (let plane = from; plane < to; plane++) {
    const slot = plane % plan.planes;
    forEachRun(spill, part, (inPlane, inWindow, count) => {
      const at = slot * planeBytes;
      file.read(at + 4 * inPlane * stride, bytesOf(logits, inWindow * stride, count * stride));
      file.read(at + sumsAt + 4 * inPlane, bytesOf(sums, inWindow, count));
    });
    engine.upload(ring.logits, logits, slot * voxels * stride);
    engine.upload(ring.weightSums, sums, slot * voxels);
  }
  freeArray(logits);
  freeArray(sums);
  const shift: [number, number, number] = [0, 0, 0];
  shift[plan.axes[1]] = -part.rows[0];
  shift[plan.axes[2]] = -part.columns[0];
  return { ring, shift };
}

async function saveWindow(spill: Spill, part: TileWindow, [from, to]: Range): Promise<void> {
  const { engine, plan, file, stride, planeBytes, sumsAt } = spill;
  const ring = ringOf(spill, part);
  const voxels = ring.rows * ring.columns;
  for (let plane = from; plane < to; plane++) {
    const slot = plane % plan.planes;
    const logits = await engine.download(ring.logits, slot * voxels * stride, voxels * stride);
    const sums = await engine.download(ring.weightSums, slot * voxels, voxels);
    forEachRun(spill, part, (inPlane, inWindow, count) => {
      const at = slot * planeBytes;
      file.write(at + 4 * inPlane * stride, bytesOf(logits, inWindow * stride, count * stride));
      file.write(at + sumsAt + 4 * inPlane, bytesOf(sums, inWindow, count));
    });
    freeArray(logits);
    freeArray(sums);
  }
}

/** Brings planes that are final to the engine, and divides them by their weights. */
async function loadPlanes(spill: Spill, [from, to]: Range): Promise<void> {
  if (from >= to) return;
  const { engine, plan, folds, file, finished, stride, planeBytes, sumsAt } = spill;
  await engine.flush();
  const voxels = finished.rows * finished.columns;
  const logits = new Float32Array(voxels * stride);
  const sums = new Float32Array(voxels);
  for (let plane = from; plane < to; plane++) {
    const at = (plane % plan.planes) * planeBytes;
    file.read(at, bytesOf(logits, 0, logits.length));
    file.read(at + sumsAt, bytesOf(sums, 0, sums.length));
    const slot = plane % finished.planes;
    engine.upload(finished.logits, logits, slot * logits.length);
    engine.upload(finished.weightSums, sums, slot * sums.length);
  }
  engine.finishPlanes(finished, from, to, folds);
  freeArray(logits);
  freeArray(sums);
}

function allocateRing(
  engine: Engine,
  plan: StreamPlan,
  channels: number,
  { planes, rows, columns }: { readonly planes: number; readonly rows: number; readonly columns: number },
): LogitRing {
  const voxels = planes * rows * columns;
  const channelStride = engine.ringStride(channels);
  const nonFinite = engine.alloc("f32", 1, "mark of non-finite logits");
  engine.clear(nonFinite);
  return {
    nonFinite,
    logits: engine.alloc("f32", voxels * channelStride, "logit ring"),
    weightSums: engine.alloc("f32", voxels, "weight sums"),
    channels,
    channelStride,
    planes,
    rows,
    columns,
    axes: plan.axes,
    depth: plan.size[0],
  };
}

async function isFlagged(engine: Engine, { nonFinite }: LogitRing): Promise<boolean> {
  return nonFinite !== undefined && (await engine.download(nonFinite))[0] !== 0;
}

function disposeRing(ring: LogitRing): void {
  ring.nonFinite?.[Symbol.dispose]();
  ring.logits[Symbol.dispose]();
  ring.weightSums[Symbol.dispose]();
}

/** The slots of planes [from, to) as up to two contiguous pieces [first slot, count]. */
function slotRanges([from, to]: Range, planes: number): [number, number][] {
  if (to <= from) return [];
  const first = from % planes;
  const before = Math.min(to - from, planes - first);
  const rest = to - from - before;
  return rest > 0 ? [[first, before], [0, rest]] : [[first, before]];
}

function width([from, to]: Range): number {
  return to - from;
}

function bytesOf(array: Float32Array, offset: number, length: number): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset + 4 * offset, 4 * length);
}
