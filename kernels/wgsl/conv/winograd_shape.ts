/** The numbers of a Winograd convolution: tiles, points, how many tiles a workgroup and a chunk take. */
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";
import type { AxisScheme } from "../../wasm/conv/scheme.ts";
import type { TouchedBox } from "./touched.ts";
import type { ThreadRange } from "../elementwise_segments.ts";
import { ceilDiv, channelLayout, convOutputGrid, productOf, type WgslConvProblem } from "./problem.ts";

export type SchemeTriple = readonly [AxisScheme, AxisScheme, AxisScheme];
export type Axis = 0 | 1 | 2;

export const vec = (f: (axis: Axis) => number): Vec3 => [f(0), f(1), f(2)];

/** What one workgroup of a transform does: `tiles` tiles by `blocks` blocks of four channels, the blocks next to each other. */
export interface TransformGroup {
  readonly tiles: number;
  readonly blocks: number;
  /** Threads for each tile and block: as many as the widest of its phases has. */
  readonly rows: number;
}

export interface WinogradShape {
  readonly schemes: SchemeTriple;
  readonly outputGrid: Vec3;
  /** Tiles of a sample along each axis. */
  readonly tileGrid: Vec3;
  /** Points, and outputs, of a tile along each axis. */
  readonly points: Vec3;
  readonly outputs: Vec3;
  /** Blocks of four input and output channels. */
  readonly inputBlocks: number;
  readonly outputBlocks: number;
  readonly input: TransformGroup;
  readonly output: TransformGroup;
  /** Tiles of a sample, rounded up to whole groups of the output transform; tiles beyond the grid compute zeros. */
  readonly sampleTiles: number;
  /** Parts of a sample's statistics: groups of the output transform. */
  readonly parts: number;
}

/** The axes that are transformed, in the order of the input transform; the output transform goes back. */
export const transformedAxes = (points: Vec3) => ([2, 1, 0] as const).filter((axis) => points[axis] > 1);

/** Sizes of the box a unit holds in workgroup memory in each phase of the output transform, which shrinks it axis by axis. */
export function outputPhases(points: Vec3, outputs: Vec3): { readonly axis: Axis; readonly size: Vec3 }[] {
  let size = points;
  return transformedAxes(points).reverse().map((axis) => {
    const before = size;
    size = vec((i) => i === axis ? outputs[i] : size[i]);
    return { axis, size: before };
  });
}

const powerBelow = (n: number) => 2 ** Math.floor(Math.log2(n));

/** Tiles and blocks for a workgroup: as many as memory and threads allow, a power of two, blocks first (they are read together). */
function groupFor(problem: WgslConvProblem, blocks: number, vec4s: number, rows: number): TransformGroup | undefined {
  const most = Math.min(
    Math.floor(problem.limits.workgroupMemoryBytes / 16 / vec4s),
    Math.floor(problem.limits.workgroupThreads / rows),
    // Enough for reads of whole cache lines and full warps; more only makes fewer, longer workgroups.
    rows >= 32 ? 8 : 32,
  );
  if (most < 1) return undefined;
  const perGroup = Math.min(powerBelow(most), powerBelow(2 * blocks - 1));
  return { blocks: perGroup, tiles: Math.max(1, powerBelow(most / perGroup)), rows };
}

/** @returns nothing where a tile does not fit the device's workgroup memory or threads. */
export function winogradShape(problem: WgslConvProblem, schemes: SchemeTriple): WinogradShape | undefined {
  const outputGrid = convOutputGrid(problem.inputGrid, problem.kernel, problem.stride);
  const points = vec((i) => schemes[i].points);
  const outputs = vec((i) => schemes[i].outputs);
  const tileGrid = vec((i) => ceilDiv(outputGrid[i], outputs[i]));
  const count = productOf(points);
  if (count === 1) return undefined;
  const inputBlocks = channelLayout(problem.input.parts).padded / 4;
  const outputBlocks = padToFour(problem.outputChannels) / 4;
  const inputRows = Math.max(...transformedAxes(points).map((axis) => count / points[axis]));
  const outputRows = Math.max(...outputPhases(points, outputs).map(({ axis, size }) => productOf(size) / size[axis]));
  const input = groupFor(problem, inputBlocks, count, inputRows);
  const output = groupFor(problem, outputBlocks, outputMemory(points, outputs), outputRows);
  if (!input || !output) return undefined;
  const parts = ceilDiv(productOf(tileGrid), output.tiles);
  return {
    ...{ schemes, outputGrid, tileGrid, points, outputs, inputBlocks, outputBlocks, input, output, parts },
    sampleTiles: parts * output.tiles,
  };
}

/** vec4 that the output transform keeps of a tile and block: what the first phase leaves; sums of the statistics need less. */
export function outputMemory(points: Vec3, outputs: Vec3): number {
  const [{ axis, size }] = outputPhases(points, outputs);
  return productOf(size) / size[axis] * outputs[axis];
}

/** Transformed weights of the axes, as a whole and of each point (in the order z, y, x). */
export const weightCount = (schemes: SchemeTriple) => productOf(schemes.map((s) => s.weight.length));

export function weightOfPoints(schemes: SchemeTriple): number[] {
  const [z, y, x] = schemes;
  return z.weightOfPoint.flatMap((wz) =>
    y.weightOfPoint.flatMap((wy) => x.weightOfPoint.map((wx) => (wz * y.weight.length + wy) * x.weight.length + wx))
  );
}

/** Voxels of the output that tiles [start, end), counted over samples, write, or of the input that they read. */
export function tileBox(s: WinogradShape, { start, end }: ThreadRange, side: "input" | "output"): TouchedBox {
  const [first, last] = [start, end - 1];
  const samples = [Math.floor(first / s.sampleTiles), Math.floor(last / s.sampleTiles)] as const;
  const tiles = productOf(s.tileGrid);
  const [a, b] = [first % s.sampleTiles, last % s.sampleTiles].map((t) => Math.min(t, tiles - 1));
  const plane = s.tileGrid[1] * s.tileGrid[2];
  const planes = [Math.floor(a / plane), Math.floor(b / plane)] as const;
  const rows = planes[0] === planes[1]
    ? [Math.floor(a % plane / s.tileGrid[2]), Math.floor(b % plane / s.tileGrid[2])] as const
    : [0, s.tileGrid[1] - 1] as const;
  const reach = (axis: 0 | 1, [from, to]: readonly [number, number]) => {
    const { outputs, stride, points, taps } = s.schemes[axis];
    if (side === "output") return [from * outputs, (to + 1) * outputs - 1] as const;
    const pad = (taps - 1) / 2;
    return [from * outputs * stride - pad, to * outputs * stride - pad + points - 1] as const;
  };
  return { samples, planes: reach(0, planes), rows: reach(1, rows) };
}
