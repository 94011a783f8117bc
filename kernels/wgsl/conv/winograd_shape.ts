/** The numbers of a Winograd convolution: tiles, points, how many tiles a workgroup and a chunk take. */
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";
import type { Matrix, SchemeTriple } from "../../operators/conv/scheme.ts";
import type { ThreadRange } from "../emit/ranges.ts";
import type { WgslOperand } from "../kernel.ts";
import type { TouchedBox } from "./touched.ts";
import { type ConvLimits, type WgslConvProblem, writtenGrid } from "./problem.ts";
import { type Axis, ceilDiv, productOf, vec } from "../../operators/arithmetic.ts";
import { channelLayout } from "../../operators/tensor.ts";

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
  /** Inputs, points, and outputs, of a tile along each axis. */
  readonly inputs: Vec3;
  readonly points: Vec3;
  readonly outputs: Vec3;
  /** Zero padding before the first tile's inputs. */
  readonly pads: Vec3;
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
const transformedAxes = (points: Vec3) => ([2, 1, 0] as const).filter((axis) => points[axis] > 1);

/** Sizes of the box a unit holds in workgroup memory in each phase of the input transform, which makes points of inputs axis by axis. */
export function inputPhases(points: Vec3, inputs: Vec3): { readonly axis: Axis; readonly size: Vec3 }[] {
  let size = inputs;
  return transformedAxes(points).map((axis) => {
    const before = size;
    size = vec((i) => i === axis ? points[i] : size[i]);
    return { axis, size: before };
  });
}

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

/** Threads for each tile and block, so that the widest of the phases has one a line. */
const rowsOf = (phases: readonly { readonly axis: Axis; readonly size: Vec3 }[]) =>
  Math.max(...phases.map(({ axis, size }) => productOf(size) / size[axis]));

/** Tiles and blocks for a workgroup: as many as memory and threads allow, a power of two, blocks first (they are read together). */
function groupFor(limits: ConvLimits, blocks: number, vec4s: number, rows: number): TransformGroup | undefined {
  const most = Math.min(
    Math.floor(limits.workgroupMemoryBytes / 16 / vec4s),
    Math.floor(limits.workgroupThreads / rows),
    // Enough for reads of whole cache lines and full warps; more only makes fewer, longer workgroups.
    rows >= 32 ? 8 : 32,
  );
  if (most < 1) return undefined;
  const perGroup = Math.min(powerBelow(most), powerBelow(2 * blocks - 1));
  return { blocks: perGroup, tiles: Math.max(1, powerBelow(most / perGroup)), rows };
}

/** @returns nothing where a tile does not fit the device's workgroup memory or threads. */
export function winogradShape(problem: WgslConvProblem, schemes: SchemeTriple): WinogradShape | undefined {
  const outputGrid = writtenGrid(problem);
  const inputs = vec((i) => schemes[i].inputs);
  const points = vec((i) => schemes[i].points);
  const outputs = vec((i) => schemes[i].outputs);
  // Output 2i of a strided axis' data gradient is the first that input i reaches.
  const pads = vec((i) => problem.gradientGrid && schemes[i].stride > 1 ? 0 : (schemes[i].taps - 1) / 2);
  const tileGrid = vec((i) => ceilDiv(outputGrid[i], outputs[i]));
  if (productOf(points) === 1) return undefined;
  const inputBlocks = channelLayout(problem.input.parts).padded / 4;
  const outputBlocks = padToFour(problem.outputChannels) / 4;
  const input = inputGroup(problem.limits, inputBlocks, points, inputs);
  const output = groupFor(
    problem.limits,
    outputBlocks,
    outputMemory(points, outputs),
    rowsOf(outputPhases(points, outputs)),
  );
  if (!input || !output) return undefined;
  const parts = ceilDiv(productOf(tileGrid), output.tiles);
  return {
    schemes,
    outputGrid,
    tileGrid,
    inputs,
    points,
    outputs,
    pads,
    inputBlocks,
    outputBlocks,
    input,
    output,
    parts,
    sampleTiles: parts * output.tiles,
  };
}

/** What a workgroup of an input transform does; nothing where a tile does not fit. */
export function inputGroup(
  limits: ConvLimits,
  blocks: number,
  points: Vec3,
  inputs: Vec3,
): TransformGroup | undefined {
  return groupFor(limits, blocks, inputMemory(points, inputs), rowsOf(inputPhases(points, inputs)));
}

export const DEFAULT_CACHE_BYTES = 24 << 20;

/**
 * Tiles of a chunk, counted over all tiles of the batch: two arrays of so many bytes a tile within the cache and within a binding each.
 * @param grain Tiles of a workgroup of the transforms, of which a chunk takes whole ones.
 * @param asked About so many tiles, as far as a binding allows, instead of what the cache holds.
 */
export function chunkTiles(
  { cacheBytes = DEFAULT_CACHE_BYTES, maxBindingBytes }: ConvLimits,
  tiles: number,
  grain: number,
  [a, b]: readonly [number, number],
  asked?: number,
): number {
  const all = ceilDiv(tiles, grain) * grain;
  const bound = Math.floor(maxBindingBytes / Math.max(a, b));
  // Too few tiles would leave the products without rows: the cache is exceeded then, the binding never.
  const wanted = Math.min(asked ?? Math.max(Math.floor(cacheBytes / (a + b)), 64), bound);
  if (all <= wanted) return all;
  // Whole register tiles where there are so many: rows of a product come by 64.
  const unit = wanted >= 64 ? Math.max(64, grain) : grain;
  return Math.max(grain, Math.floor(wanted / unit) * unit);
}

/** vec4 that the input transform keeps of a tile and block: what the last phase reads. */
export function inputMemory(points: Vec3, inputs: Vec3): number {
  return productOf(inputPhases(points, inputs).at(-1)?.size ?? [1]);
}

/** vec4 that the output transform keeps of a tile and block: what the first phase leaves; sums of the statistics need less. */
export function outputMemory(points: Vec3, outputs: Vec3): number {
  const [{ axis, size }] = outputPhases(points, outputs);
  return productOf(size) / size[axis] * outputs[axis];
}

/** Which transformed weight each point (in the order z, y, x) is multiplied with. */
export function weightOfPoints(schemes: SchemeTriple): number[] {
  const [z, y, x] = schemes;
  return z.weightOfPoint.flatMap((wz) =>
    y.weightOfPoint.flatMap((wy) => x.weightOfPoint.map((wx) => (wz * y.weight.length + wy) * x.weight.length + wx))
  );
}

/** An input transform: what makes the points of a tensor's tiles. */
export interface InputSide {
  readonly operand: WgslOperand;
  readonly grid: Vec3;
  readonly batch: number;
  /** points x inputs, along each axis. */
  readonly matrices: readonly [Matrix, Matrix, Matrix];
  /** Inputs and points of a tile, inputs from one tile to the next, and zero padding before the first. */
  readonly inputs: Vec3;
  readonly points: Vec3;
  readonly steps: Vec3;
  readonly pads: Vec3;
  readonly tileGrid: Vec3;
  readonly sampleTiles: number;
  readonly blocks: number;
  readonly group: TransformGroup;
}

/** The input transform of a convolution. */
export function inputSide({ input, inputGrid, batch }: WgslConvProblem, s: WinogradShape): InputSide {
  const { inputs, points, pads, tileGrid, sampleTiles, schemes: [z, y, x] } = s;
  return {
    operand: input,
    grid: inputGrid,
    batch,
    inputs,
    points,
    pads,
    tileGrid,
    sampleTiles,
    matrices: [z.input, y.input, x.input],
    steps: vec((i) => s.schemes[i].step),
    blocks: s.inputBlocks,
    group: s.input,
  };
}

/** How boxes of a tensor lie that tiles read or write: their size, how far they are apart, what lies before the first. */
type TileBoxes = Pick<InputSide, "tileGrid" | "sampleTiles" | "inputs" | "steps" | "pads">;

/** The boxes that a convolution's tiles write. */
export const outputBoxes = ({ tileGrid, sampleTiles, outputs }: WinogradShape): TileBoxes => ({
  tileGrid,
  sampleTiles,
  inputs: outputs,
  steps: outputs,
  pads: [0, 0, 0],
});

/** Voxels that tiles [start, end), counted over samples, read or write. */
export function tileBox(boxes: TileBoxes, { start, end }: ThreadRange): TouchedBox {
  const { sampleTiles, tileGrid, steps, pads, inputs } = boxes;
  const [first, last] = [start, end - 1];
  const samples = [Math.floor(first / sampleTiles), Math.floor(last / sampleTiles)] as const;
  const tiles = productOf(tileGrid);
  const [a, b] = [first % sampleTiles, last % sampleTiles].map((t) => Math.min(t, tiles - 1));
  const plane = tileGrid[1] * tileGrid[2];
  const planes = [Math.floor(a / plane), Math.floor(b / plane)] as const;
  const rows = planes[0] === planes[1]
    ? [Math.floor(a % plane / tileGrid[2]), Math.floor(b % plane / tileGrid[2])] as const
    : [0, tileGrid[1] - 1] as const;
  const reach = (axis: 0 | 1, [from, to]: readonly [number, number]) => {
    return [from * steps[axis] - pads[axis], to * steps[axis] - pads[axis] + inputs[axis] - 1] as const;
  };
  return { samples, planes: reach(0, planes), rows: reach(1, rows) };
}
