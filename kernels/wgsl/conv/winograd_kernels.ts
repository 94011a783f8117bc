/**
 * The two transforms of a Winograd convolution. Both walk a tile axis by axis in workgroup memory; a thread does one line of one tile
 * and four channels per phase, with its handful of values in registers and the matrix written out as constants.
 *
 * Units are (tile, block of four channels). Units of a workgroup lie side by side in workgroup memory ([position][unit]), so neighbouring
 * threads touch neighbouring vec4 there, and neighbouring channels of one voxel in device memory.
 */
import type { Matrix } from "../../operators/conv/scheme.ts";
import { storeOutput, type WgslConvProblem } from "./problem.ts";
import { unroll, wgsl } from "../emit/template.ts";
import { normalised, normaliseFunction, normLets, voxelElement } from "./gather.ts";
import { mapText } from "./linear_map.ts";
import { type Axis, productOf, vec } from "../../operators/arithmetic.ts";
import { statisticsText } from "./statistics.ts";
import type { TileStorage } from "./tile_storage.ts";
import {
  inputMemory,
  inputPhases,
  type InputSide,
  outputMemory,
  outputPhases,
  type WinogradShape,
} from "./winograd_shape.ts";

/**
 * A phase: `matrix` applied to all lines of a tile along `axis`. Thread `line` of a unit takes the line at (at_z, at_y, at_x) without the
 * axis' own; those beyond the last idle. `read(i)` is the line's i-th value, `write` stores the i-th result.
 */
function phaseText(spec: {
  readonly name: string;
  readonly axis: Axis;
  /** Lines of the phase along the other axes. */
  readonly lines: readonly [Axis, number][];
  readonly matrix: Matrix;
  readonly prepare?: string;
  readonly read: (i: number) => string;
  readonly write: (i: number, value: string) => string;
}): string {
  const { name, axis, lines, matrix } = spec;
  const [[outer], [inner, innerSize]] = lines;
  const values = unroll(matrix[0].length, (i) => `${name}_in_${i}`);
  return wgsl`
// ${name}: lines along ${"zyx"[axis]}
if (line < ${lines[0][1] * innerSize}u) {
  let at_${"zyx"[outer]} = line / ${innerSize}u;
  let at_${"zyx"[inner]} = line % ${innerSize}u;
  ${spec.prepare ?? ""}
  ${values.map((value, i) => `let ${value} = ${spec.read(i)};`)}
  ${mapText(`${name}_out`, matrix, values)}
  ${unroll(matrix.length, (i) => spec.write(i, `${name}_out_${i}`))}
}`;
}

/** The two other axes of a box in order, with the number of lines along each. */
const linesOf = (axis: Axis, size: readonly number[]) =>
  ([0, 1, 2] as const).filter((i) => i !== axis).map((i): [Axis, number] => [i, size[i]]);

/** Position (z, y, x) with `axis` at i and the others where the line is, in a box whose rows have these sizes. */
function positionText(axis: Axis, i: number, size: readonly number[]): string {
  const at = vec((k) => k).map((k) => k === axis ? `${i}u` : `at_${"zyx"[k]}`);
  return `((${at[0]} * ${size[1]}u + ${at[1]}) * ${size[2]}u + ${at[2]})`;
}

/** Who a thread is: its unit, line, block of channels, tile of the chunk and corner of the tile in the grid. */
function unitText(
  { tileGrid, sampleTiles }: Pick<WinogradShape, "tileGrid" | "sampleTiles">,
  group: { readonly tiles: number; readonly blocks: number },
): string {
  const units = group.tiles * group.blocks;
  const [, ty, tx] = tileGrid;
  return wgsl`
let unit = lane % ${units}u;
let line = lane / ${units}u;
let block = group.x * ${group.blocks}u + unit % ${group.blocks}u;
// Tiles are counted over samples; the chunk's first is p.chunk.
let tile = (p.start + group.y) * ${group.tiles}u + unit / ${group.blocks}u;
let row = tile - p.chunk;
let sample = tile / ${sampleTiles}u;
let of_sample = tile % ${sampleTiles}u;
// Beyond the last tile z is beyond the grid.
let tile_at = vec3u(of_sample / ${ty * tx}u, of_sample / ${tx}u % ${ty}u, of_sample % ${tx}u);`;
}

/**
 * V[point][tile][channel] = (B^T x B^T x B^T) of a tile's normalised inputs, zeros outside of the grid. `rows` is the tiles of a chunk.
 * Reads every voxel about (inputs / step)^3 times, from the caches; writes each V once.
 */
export function inputTransformText(header: string, side: InputSide, rows: number, storage: TileStorage): string {
  const { operand: input, grid, batch, points, steps, pads, group } = side;
  const units = group.tiles * group.blocks;
  const axes = inputPhases(points, side.inputs);
  const phases = axes.map(({ axis, size }, phase) => {
    const place = (i: number) => `shared_v[${positionText(axis, i, points)} * ${units}u + unit]`;
    const first = phase === 0;
    const last = phase === axes.length - 1;
    // In the grid, the line's i-th voxel.
    const voxel = (i: number) =>
      vec((k) => k).map((k) => `corner.${"xyz"[k]} + ${k === axis ? i : `i32(at_${"zyx"[k]})`}`);
    return phaseText({
      name: `phase_${phase}`,
      axis,
      lines: linesOf(axis, size),
      matrix: side.matrices[axis],
      ...(first ? { prepare: normLets(input, `min(sample, ${batch - 1}u)`, "min(block, last_block)") } : {}),
      read: (i) => {
        if (!first) return place(i);
        const norms = input.normSlot === undefined ? "" : ", scale, shift, slope";
        return `voxel_at(sample, vec3i(${voxel(i).join(", ")}), block${norms})`;
      },
      write: (i, value) =>
        last
          ? `if (block <= last_block) { store_v((${positionText(axis, i, points)} * ${rows}u + row) * ` +
            `${side.blocks}u + block, ${storage.pack(value)}); }`
          : `${place(i)} = ${value};`,
    });
  });
  const parameters = input.normSlot === undefined ? "" : ", scale: vec4f, shift: vec4f, slope: vec4f";
  return wgsl`
${header}

const last_block = ${side.blocks - 1}u;

${normaliseFunction(input)}
${storage.functions}

fn voxel_at(sample: u32, at: vec3i, block: u32${parameters}) -> vec4f {
  let u = vec3u(at);
  let inside = u.x < ${grid[0]}u && u.y < ${grid[1]}u && u.z < ${grid[2]}u;
  if (!inside || block > last_block || sample >= ${batch}u) { return vec4f(0.0); }
  return ${normalised(input, `load_input(${voxelElement(input, grid, "sample", ["u.x", "u.y", "u.z"])} + block)`)};
}

var<workgroup> shared_v: array<vec4f, ${axes.length > 1 ? inputMemory(points, side.inputs) * units : 1}>;

@compute @workgroup_size(${units * group.rows})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  ${unitText(side, group)}
  let corner = vec3i(tile_at * vec3u(${steps[0]}u, ${steps[1]}u, ${steps[2]}u)) - vec3i(${pads[0]}, ${pads[1]}, ${
    pads[2]
  });
  ${phases.join("\nworkgroupBarrier();\n")}
}
`;
}

/**
 * out = (A^T x A^T x A^T) of M[point][tile][channel] + bias, and the statistics of what it writes: a workgroup's tiles are one part.
 */
export function outputTransformText(
  header: string,
  problem: WgslConvProblem,
  s: WinogradShape,
  rows: number,
  biasElement: number,
  storage: TileStorage,
): string {
  const { output } = problem;
  const { tiles, blocks } = s.output;
  const units = tiles * blocks;
  const phases = outputPhases(s.points, s.outputs);
  // What is left of a tile after the first phase stays where it is; later phases leave gaps.
  const first = phases[0];
  const kept = vec((i) => i === first.axis ? s.outputs[i] : s.points[i]);
  const last = phases[phases.length - 1];
  const written = s.outputs[last.axis];
  const texts = phases.map(({ axis, size }, phase) => {
    const place = (i: number) => `shared_m[${positionText(axis, i, kept)} * ${units}u + unit]`;
    return phaseText({
      name: `phase_${phase}`,
      axis,
      lines: linesOf(axis, size),
      matrix: s.schemes[axis].output,
      read: (i) =>
        phase === 0
          ? storage.unpack(
            `load_m((${
              positionText(axis, i, s.points)
            } * ${rows}u + row) * ${s.outputBlocks}u + min(block, last_block))`,
          )
          : place(i),
      write: (i, value) => axis === last.axis ? `out_${i} = ${value} + bias;` : `${place(i)} = ${value};`,
    });
  });
  const lines = productOf(last.size) / last.size[last.axis];
  const [[outer], [inner, innerSize]] = linesOf(last.axis, last.size);
  const ordinal = vec((k) => k).map((k) => {
    const within = k === last.axis
      ? "0u"
      : k === outer
      ? `line / ${innerSize}u`
      : k === inner
      ? `line % ${innerSize}u`
      : "";
    return `tile_at.${"xyz"[k]} * ${s.outputs[k]}u + ${within}`;
  });
  const grid = s.outputGrid;
  const step = [grid[1] * grid[2], grid[2], 1][last.axis];
  const shares = unroll(tiles, (t) => unroll(lines, (l) => `shared_m[${l * units + t * blocks}u + unit % ${blocks}u]`))
    .flat();
  const statistics = statisticsText({
    channels: problem.outputChannels,
    spread: [{
      values: (add) => unroll(written, (i) => `if (${i}u < within) { ${add(`out_${i}`)} }`).join("\n"),
      mine: `shared_m[line * ${units}u + unit]`,
      shares,
      block: "block",
    }],
    count: `f32(${unroll(tiles, (t) => `voxels_of(tile - unit / ${blocks}u + ${t}u)`).join(" + ")})`,
    part: "p.start + group.y",
    writer: `lane < ${blocks}u`,
  });
  const threads = units * s.output.rows;
  const memory = Math.max(
    phases.length > 1 ? outputMemory(s.points, s.outputs) * units : 1,
    problem.statistics ? threads : 1,
  );
  return wgsl`
${header}

const last_block = ${s.outputBlocks - 1}u;
${storage.functions}

/// Voxels of a tile that are inside the grid.
fn voxels_of(tile: u32) -> u32 {
  let t = tile % ${s.sampleTiles}u;
  let first = vec3u(t / ${s.tileGrid[1] * s.tileGrid[2]}u, t / ${s.tileGrid[2]}u % ${s.tileGrid[1]}u, t % ${
    s.tileGrid[2]
  }u)
    * vec3u(${s.outputs[0]}u, ${s.outputs[1]}u, ${s.outputs[2]}u);
  let grid = vec3u(${grid[0]}u, ${grid[1]}u, ${grid[2]}u);
  let extent = min(grid - min(first, grid), vec3u(${s.outputs[0]}u, ${s.outputs[1]}u, ${s.outputs[2]}u));
  return extent.x * extent.y * extent.z;
}

var<workgroup> shared_m: array<vec4f, ${memory}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  ${unitText(s, s.output)}
  let bias = load_weights(${biasElement}u + min(block, last_block));
  ${unroll(written, (i) => `var out_${i} = vec4f(0.0);`).join(" ")}
  ${texts.join("\nworkgroupBarrier();\n")}
  // This thread's line of outputs: its first voxel, and how many of them are inside the grid.
  let voxel = vec3u(${ordinal.join(", ")});
  let grid = vec3u(${grid[0]}u, ${grid[1]}u, ${grid[2]}u);
  var within = 0u;
  if (line < ${lines}u && all(voxel < grid)) { within = min(${written}u, grid.${"xyz"[last.axis]} - voxel.${
    "xyz"[last.axis]
  }); }
  if (block <= last_block && within > 0u) {
    let at = (((sample * grid.x + voxel.x) * grid.y + voxel.y) * grid.z + voxel.z) * ${output.channelStride / 4}u
      + ${output.channelOffset / 4}u + block;
    ${
    unroll(written, (i) =>
      `if (${i}u < within) { ${storeOutput(problem, `at + ${i * step * output.channelStride / 4}u`, `out_${i}`)} }`)
  }
  }
  ${problem.statistics ? "workgroupBarrier();" : ""}
  ${problem.statistics ? statistics : ""}
}
`;
}
