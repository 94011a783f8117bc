/** How a convolution's product reads its input: rows are output voxels, k runs over taps and channels. */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { type ArrayView, inSegment } from "../emit/views.ts";
import type { WgslOperand } from "../kernel.ts";
import { unroll, wgsl } from "../emit/template.ts";
import { type GemmText, plainA } from "./gemm.ts";
import { productOf } from "../../operators/arithmetic.ts";

export interface Gather {
  readonly input: WgslOperand;
  readonly inputGrid: Vec3;
  readonly outputGrid: Vec3;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  /** Channels in memory. */
  readonly padded: number;
  /** Real channels, 1 or 2, if k runs over these alone: [tap][channel], four at a time. Absent: [tap][padded channel]. */
  readonly dense?: number;
}

/** vec4 along k. */
export function gatherDepth(g: Gather): number {
  return g.dense === undefined ? productOf(g.kernel) * g.padded / 4 : padToFour(productOf(g.kernel) * g.dense) / 4;
}

/** The norm of four channels of a sample as three variables; nothing without a norm. */
export function normLets(input: WgslOperand, sample: string, block: string): string {
  if (input.normSlot === undefined) return "";
  const stride = input.channelStride / 4;
  return wgsl`
let norm_at = ${sample} * ${3 * stride}u + ${input.channelOffset / 4}u + ${block};
let scale = load_input_norm(norm_at);
let shift = load_input_norm(norm_at + ${stride}u);
let slope = load_input_norm(norm_at + ${2 * stride}u);`;
}

/** A function `normalise(value, scale, shift, slope)`; empty without a norm. */
export function normaliseFunction(input: WgslOperand): string {
  return input.normSlot === undefined ? "" : wgsl`
fn normalise(value: vec4f, scale: vec4f, shift: vec4f, slope: vec4f) -> vec4f {
  let t = fma(value, scale, shift);
  return max(t, t * slope);
}`;
}

export const normalised = (input: WgslOperand, value: string) =>
  input.normSlot === undefined ? value : `normalise(${value}, scale, shift, slope)`;

/** The element of the input voxel (z, y, x) (expressions) of a sample. */
export function voxelElement(input: WgslOperand, grid: Vec3, sample: string, [z, y, x]: readonly string[]): string {
  const voxel = `((${sample} * ${grid[0]}u + ${z}) * ${grid[1]}u + ${y}) * ${grid[2]}u + ${x}`;
  return `(${voxel}) * ${input.channelStride / 4}u + ${input.channelOffset / 4}u`;
}

type Reading = Pick<GemmText, "functions" | "rowSetup" | "kept" | "depthSetup" | "fetchA" | "finishA">;

/** Functions and splices of {@link GemmText} that read the view `input`; `sample` must be known by then. */
export function gatherText(g: Gather, view: ArrayView): Reading {
  const [, oy, ox] = g.outputGrid;
  const [pz, py, px] = g.kernel.map((k) => (k - 1) >> 1);
  const [sz, sy, sx] = g.stride;
  const common = wgsl`
${normaliseFunction(g.input)}

/// The input voxel under the first tap of an output voxel; far outside for rows beyond the last.
fn place_of(row: u32) -> vec3i {
  if (row >= ${voxelCount(g.outputGrid)}u) { return vec3i(-1000000); }
  let at = vec3u(row / ${oy * ox}u, row / ${ox}u % ${oy}u, row % ${ox}u);
  return vec3i(at * vec3u(${sz}u, ${sy}u, ${sx}u)) - vec3i(${pz}, ${py}, ${px});
}

fn tap_offset(tap: u32) -> vec3i {
  return vec3i(vec3u(tap / ${g.kernel[1] * g.kernel[2]}u, tap / ${g.kernel[2]}u % ${g.kernel[1]}u, tap % ${
    g.kernel[2]
  }u));
}

fn is_inside(at: vec3i) -> bool {
  let u = vec3u(at);
  return u.x < ${g.inputGrid[0]}u && u.y < ${g.inputGrid[1]}u && u.z < ${g.inputGrid[2]}u;
}

fn element_of(sample: u32, at: vec3i) -> u32 {
  let u = vec3u(at);
  return ${voxelElement(g.input, g.inputGrid, "sample", ["u.x", "u.y", "u.z"])};
}
`;
  const rowSetup = (i: number, row: string) => `let place_${i} = place_of(${row});`;
  return { rowSetup, ...(g.dense === undefined ? tapText(g, common, view) : denseText(g, common)) };
}

/** k4 is a tap and a block of four channels. Values wait raw, as they are stored; norm and zero padding come when they are needed. */
function tapText(g: Gather, common: string, view: ArrayView): Omit<Reading, "rowSetup"> {
  const blocks = g.padded / 4;
  const { normSlot } = g.input;
  return {
    functions: wgsl`
${common}
/// As stored, without conversion.
fn raw_input(i: u32) -> ${view.element} {
  ${inSegment(view, "i", (element) => `return ${element};`)}
}
`,
    kept: (loads) =>
      [
        ...unroll(loads, (i) => `var a_${i} = ${view.element}(); var inside_${i} = false;`),
        ...(normSlot === undefined ? [] : ["scale", "shift", "slope"].map((name) => `var ${name} = vec4f(0.0);`)),
      ].join("\n"),
    depthSetup: wgsl`
let tap = k4 / ${blocks}u;
let block = k4 % ${blocks}u;
let offset = tap_offset(tap);
${normLets(g.input, "sample", "block").replaceAll(/let (scale|shift|slope)/g, "$1")}`,
    fetchA: (i) =>
      `inside_${i} = tap < ${productOf(g.kernel)}u && is_inside(place_${i} + offset); ` +
      // Outside, something that is bound is read, and dropped.
      `a_${i} = raw_input(select(p.${view.name}_0, element_of(sample, place_${i} + offset) + block, inside_${i}));`,
    finishA: (i) => `select(vec4f(0.0), ${normalised(g.input, `vec4f(a_${i})`)}, inside_${i})`,
  };
}

/** Images have a channel or two: four taps of one channel, or two of two, make a vec4, so that no product is with padding. */
function denseText(g: Gather, common: string): Omit<Reading, "rowSetup"> {
  const taps = productOf(g.kernel);
  const channels = g.dense ?? 1;
  const lanes = channels === 1 ? "x" : "xy";
  const perVec = 4 / channels;
  const [parameters, norms] = g.input.normSlot === undefined
    ? ["", ""]
    : [", scale: vec4f, shift: vec4f, slope: vec4f", ", scale, shift, slope"];
  const voxels = unroll(perVec, (i) => `tapped(sample, place, k4 * ${perVec}u + ${i}u${norms}).${lanes},`);
  return {
    functions: wgsl`
${common}
/// The voxel under a tap, normalised.
fn tapped(sample: u32, place: vec3i, tap: u32${parameters}) -> vec4f {
  let at = place + tap_offset(tap);
  if (tap >= ${taps}u || !is_inside(at)) { return vec4f(0.0); }
  return ${normalised(g.input, "load_input(element_of(sample, at))")};
}

/// The real channels of consecutive taps.
fn gather(sample: u32, place: vec3i, k4: u32${parameters}) -> vec4f {
  return vec4f(
    ${voxels}
  );
}
`,
    ...plainA((i) => `gather(sample, place_${i}, k4${norms})`),
    depthSetup: normLets(g.input, "sample", "0u"),
  };
}
