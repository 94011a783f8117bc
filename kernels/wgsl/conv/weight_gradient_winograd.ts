/**
 * The weight gradient of a Winograd convolution in the transform domain. The forward pass is out = A^T [(G w) * (B^T in)] for every tile, a
 * product for each point; so dL/dw is G^T of the sum over tiles of (A dL/dy) * (B^T in), again a product for each point, whose k are the
 * tiles. F(4x4x4, 3x3x3) does 216 products a tile of 64 outputs where the direct form (weight_gradient_direct.ts) does 27 * 64 = 1728.
 *
 * Per chunk of tiles three dispatches: the forward pass' input transform of `in`, the same kernel with A instead of B^T for dL/dy, and
 * the products (outer.ts), which add to the sums of the chunks before. A last one takes the sums back to the taps. A chunk is so large that
 * both transformed sides stay in the device's L2. Points alone may be too few to keep a device busy: a chunk's tiles are split into parts
 * with sums of their own, which the last dispatch adds in order.
 */
import type { Vec3 } from "../../../core/base/shape.ts";
import { type Matrix, schemesFor, type SchemeTriple, transposed } from "../../operators/conv/scheme.ts";
import { dispatchOf, f32Literal, kernelHeader, threadKernel, threadMain, u32 } from "../emit/thread_kernel.ts";
import { MAX_THREADS } from "../emit/ranges.ts";
import { wholeView } from "../emit/views.ts";
import type { WgslDispatch, WgslOperand } from "../kernel.ts";
import { unroll, wgsl } from "../emit/template.ts";
import { outerName, outerSeconds, outerText, outerThreads, type OuterTile, outerTile, outerTiles } from "./outer.ts";
import { ceilDiv, productOf, vec } from "../../operators/arithmetic.ts";
import { channelLayout } from "../../operators/tensor.ts";
import { gradientOutputGrid } from "../../operators/conv/gradient_problem.ts";
import { NOMINAL } from "./tiles.ts";
import {
  PARTS_SLOT,
  positionText,
  weightGradientCosts,
  type WeightGradientOperator,
  type WeightGradientProblem,
} from "./weight_gradient_problem.ts";
import { storagesOf, type TileStorage } from "./tile_storage.ts";
import { schemeName, V_SLOT } from "./winograd.ts";
import { chunkTiles, inputGroup, type InputSide } from "./winograd_shape.ts";
import { createTexts, planInputTransform } from "./winograd_transform.ts";

/** [point][tile of the chunk][channel]: A dL/dy. */
const GRADIENTS_SLOT = "winograd gradients";
/** Workgroups of 64 threads hide each other's waiting better than few large ones. */
const THREADS = 64;
/** The most bytes of sums: what a training step can spare beside its activations. */
const MOST_SUMS = 256 << 20;

/** All the numbers of one way to do it. */
export interface WeightGradientWinogradChoice {
  readonly schemes: SchemeTriple;
  readonly points: Vec3;
  /** dL/dy and what the convolution read. */
  readonly output: InputSide;
  readonly input: InputSide;
  readonly tile: OuterTile;
  /** Of both sides' tiles. */
  readonly storage: TileStorage;
  /** Tiles of a chunk, counted over samples; slices of k of a part of it; parts. */
  readonly chunk: number;
  readonly slices: number;
  readonly parts: number;
  readonly seconds: number;
}

/** Tells choices apart: scheme, tile of the products, how tiles are stored, chunk. */
export const weightGradientWinogradName = ({ schemes, tile, storage, chunk }: WeightGradientWinogradChoice) =>
  `weight gradient winograd ${schemeName(schemes)} ${outerName(tile)}${storage.suffix} by ${chunk}`;

/** Both sides' tiles; nothing where one does not fit the device's workgroup memory or threads. */
function sidesOf(problem: WeightGradientProblem, schemes: SchemeTriple): readonly [InputSide, InputSide] | undefined {
  const { batch, inputGrid, limits, outputGradient: { channels, ...range } } = problem;
  const outputGrid = gradientOutputGrid(problem);
  const points = vec((i) => schemes[i].points);
  const tileGrid = vec((i) => ceilDiv(outputGrid[i], schemes[i].outputs));
  const side = (
    spec: Pick<InputSide, "operand" | "grid" | "inputs" | "steps" | "pads"> & { matrixOf: (axis: number) => Matrix },
  ): InputSide | undefined => {
    const { matrixOf, ...tiles } = spec;
    const blocks = channelLayout(tiles.operand.parts).padded / 4;
    const group = inputGroup(limits, blocks, points, tiles.inputs);
    return group && {
      ...tiles,
      batch,
      points,
      tileGrid,
      sampleTiles: productOf(tileGrid),
      blocks,
      group,
      matrices: [matrixOf(0), matrixOf(1), matrixOf(2)],
    };
  };
  const operand: WgslOperand = { ...range, parts: [channels] };
  const outputs = vec((i) => schemes[i].outputs);
  const output = side({
    operand,
    grid: outputGrid,
    inputs: outputs,
    steps: outputs,
    pads: [0, 0, 0],
    matrixOf: (axis) => transposed(schemes[axis].output),
  });
  const input = side({
    operand: problem.input,
    grid: inputGrid,
    inputs: vec((i) => schemes[i].inputs),
    steps: vec((i) => schemes[i].step),
    pads: vec((i) => (schemes[i].taps - 1) / 2),
    matrixOf: (axis) => schemes[axis].input,
  });
  return output && input && [output, input];
}

function choose(
  problem: WeightGradientProblem,
  schemes: SchemeTriple,
  storage: TileStorage,
  most?: number,
  wantedChunk?: number,
): WeightGradientWinogradChoice | undefined {
  const sides = sidesOf(problem, schemes);
  if (!sides) return undefined;
  const { limits, batch } = problem;
  const [output, input] = sides;
  const { points } = input;
  const count = productOf(points);
  const tile = outerTile(output.blocks, input.blocks, Math.min(THREADS, limits.workgroupThreads), most);
  const grain = Math.max(output.group.tiles, input.group.tiles);
  const all = batch * input.sampleTiles;
  const bytes = [count * output.blocks * storage.bytes, count * input.blocks * storage.bytes] as const;
  const chunk = chunkTiles(limits, all, grain, bytes, wantedChunk);
  const sumsBytes = count * output.blocks * input.blocks * 64;
  // At least four slices a part, so that what is added to is a small share of what is read.
  const mostParts = Math.min(
    ceilDiv(chunk, 4 * tile.slice),
    Math.floor(Math.min(MOST_SUMS, limits.maxBindingBytes) / sumsBytes),
  );
  if (mostParts < 1 || chunk * Math.max(...bytes) > limits.maxBindingBytes) return undefined;
  const own = tile.a.own * tile.b.own;
  const wantedParts = ceilDiv(NOMINAL.threads, count * outerTiles(tile) * outerThreads(tile) * Math.sqrt(own));
  const slices = ceilDiv(chunk, tile.slice * Math.min(mostParts, wantedParts));
  const parts = ceilDiv(chunk, tile.slice * slices);
  const chunks = ceilDiv(all, chunk);
  // Every transformed value is written once and read once for each tile of the other side; a voxel is read about one and a half times.
  const reads = output.blocks * ceilDiv(tile.b.blocks, tile.b.tile) +
    input.blocks * ceilDiv(tile.a.blocks, tile.a.tile);
  const cached = all * count * storage.bytes * (2.5 * (output.blocks + input.blocks) + reads);
  // Packing is done while the transforms wait for memory.
  const unpacked = 2 * all * count * reads * storage.unpacking;
  const sums = 2 * chunks * parts * sumsBytes;
  const seconds = chunks * (outerSeconds(tile, slices * tile.slice, count * parts) + 3 * NOMINAL.launch) +
    unpacked / NOMINAL.flops + cached / NOMINAL.cache +
    sums / (sumsBytes * parts > CACHED_SUMS ? NOMINAL.memory : NOMINAL.cache) +
    weightGradientCosts(problem).bytes / NOMINAL.memory + NOMINAL.launch;
  return { schemes, points, output, input, tile, storage, chunk, slices, parts, seconds };
}

/** Sums of so many bytes stay in L2 beside a chunk. */
const CACHED_SUMS = 16 << 20;

/**
 * Every combination of schemes, the one forecast to be the fastest first; empty where there is none.
 * @param most The most vec4 of channels of a tile of the products.
 */
export function weightGradientWinogradChoices(
  problem: WeightGradientProblem,
  most?: number,
): WeightGradientWinogradChoice[] {
  if (problem.transposed) return [];
  const [zs, ys, xs] = [0, 1, 2].map((i) =>
    // F(3, 3) saves little over F(2, 3) and F(4, 3).
    schemesFor(problem.kernel[i], problem.stride[i]).filter((s) => !s.name.startsWith("3"))
  );
  const triples = zs.flatMap((z) => ys.flatMap((y) => xs.map((x): SchemeTriple => [z, y, x])))
    .filter((schemes) => schemes.some(({ points }) => points > 1));
  const bestOf = (schemes: SchemeTriple) => {
    const choices = storagesOf(problem.input, problem.outputGradient)
      .map((storage) => choose(problem, schemes, storage, most));
    return choices.filter((choice) => choice !== undefined).sort((a, b) => a.seconds - b.seconds)[0];
  };
  return triples.map(bestOf).filter((choice) => choice !== undefined).sort((a, b) => a.seconds - b.seconds);
}

/** The choice with tiles stored in each other way that there is. */
export function withWeightGradientStorages(
  problem: WeightGradientProblem,
  { schemes, storage }: WeightGradientWinogradChoice,
): WeightGradientWinogradChoice[] {
  return storagesOf(problem.input, problem.outputGradient).filter((other) => other !== storage)
    .map((other) => choose(problem, schemes, other)).filter((other) => other !== undefined);
}

/** The choice with chunks of about so many tiles, if they can be bound; forecast to be a little slower than the usual chunk. */
export function withWeightGradientChunk(
  problem: WeightGradientProblem,
  choice: WeightGradientWinogradChoice,
  tiles: number,
): WeightGradientWinogradChoice | undefined {
  const other = choose(problem, choice.schemes, choice.storage, undefined, tiles);
  return other && { ...other, seconds: choice.seconds * 1.01 };
}

export function planWeightGradientWinograd(
  problem: WeightGradientProblem,
  choice: WeightGradientWinogradChoice,
): WeightGradientOperator {
  const { schemes, output, input, storage, chunk, parts } = choice;
  const { limits, batch, name } = problem;
  const count = productOf(choice.points);
  const texts = createTexts();
  const transform = (what: string, slot: string, side: InputSide) => ({
    name,
    kernel: `winograd ${what} transform ${schemeName(schemes)}${storage.suffix}`,
    side,
    slot,
    storage,
    chunk,
    limits,
    texts,
  });
  const all = batch * input.sampleTiles;
  const dispatches = Array.from({ length: ceilDiv(all, chunk) }, (_, i): WgslDispatch[] => {
    const [first, end] = [i * chunk, Math.min(all, (i + 1) * chunk)];
    return [
      ...planInputTransform(transform("input", V_SLOT, input), first, end),
      ...planInputTransform(transform("gradient", GRADIENTS_SLOT, output), first, end),
      productDispatch(choice, end - first, i > 0, texts),
    ];
  }).flat();
  return {
    algorithm: weightGradientWinogradName(choice),
    dispatches: [...dispatches, ...finish(problem, choice)],
    temporaries: {
      [V_SLOT]: chunk * count * input.blocks * storage.bytes,
      [GRADIENTS_SLOT]: chunk * count * output.blocks * storage.bytes,
      [PARTS_SLOT]: parts * count * output.blocks * input.blocks * 64,
    },
    ...weightGradientCosts(problem),
    seconds: choice.seconds,
  };
}

/** sums[part][point][o][i] (+)= sum over the part's tiles of gradients[point][tile][o] inputs[point][tile][i], for `rows` tiles of a chunk. */
function productDispatch(
  { output, input, points, tile, storage, chunk, slices, parts, schemes }: WeightGradientWinogradChoice,
  rows: number,
  accumulate: boolean,
  texts: ReturnType<typeof createTexts>,
): WgslDispatch {
  const count = productOf(points);
  const header = kernelHeader(
    [
      wholeView("gradients", GRADIENTS_SLOT, storage.element, "read"),
      wholeView("inputs", V_SLOT, storage.element, "read"),
      wholeView("sums", PARTS_SLOT, "vec4<f32>", "read_write"),
    ],
    { start: 0, end: count },
    { rows: u32(rows), accumulate: u32(Number(accumulate)) },
  );
  const fetchText = (name: "gradients" | "inputs", { blocks }: InputSide) =>
    wgsl`
fn ${name}_at(point: u32, row: u32, block: u32) -> ${storage.element} {
  if (row >= p.rows || block >= ${blocks}u) { return ${storage.zero}; }
  return load_${name}((point * ${chunk}u + row) * ${blocks}u + block);
}`;
  const text = (header: string) =>
    outerText({
      tile,
      slices,
      header,
      stored: storage,
      functions: wgsl`
${storage.functions}
${fetchText("gradients", output)}

${fetchText("inputs", input)}

fn add_up(at: u32, value: vec4f) {
  if (p.accumulate == 0u) { store_sums(at, value); } else { store_sums(at, load_sums(at) + value); }
}
`,
      setup: wgsl`
let point = group.z;
let first = group.y * ${slices * tile.slice}u;
let matrix = (group.y * ${count}u + point) * ${4 * output.blocks * input.blocks}u;`,
      fetchA: (k, block) => `gradients_at(point, first + ${k}, ${block})`,
      fetchB: (k, block) => `inputs_at(point, first + ${k}, ${block})`,
      store: (row, column, value) => `add_up(matrix + (${row}) * ${input.blocks}u + ${column}, ${value});`,
    });
  const name = `winograd weight gradient product ${schemeName(schemes)} ${outerName(tile)}${storage.suffix}`;
  return dispatchOf(name, header, [outerTiles(tile), parts, count], texts("product", header.text, text));
}

/** points x taps: what every point's sums give to each tap, points that share a weight included. */
const tapsOf = ({ weight, weightOfPoint }: SchemeTriple[number]): Matrix => weightOfPoint.map((at) => weight[at]);

/**
 * dL/dw[o][i][tap] = (G^T x G^T x G^T) of the sums over all parts. A thread makes all taps of a pair of channels: it reads a row of points
 * along x at a time, neighbouring threads neighbouring input channels, and keeps what the rows and planes so far have given to each tap.
 */
function finish(problem: WeightGradientProblem, choice: WeightGradientWinogradChoice): WgslDispatch[] {
  const { schemes, points, output, input, parts } = choice;
  const [gz, gy, gx] = schemes.map(tapsOf);
  const [tz, ty, tx] = schemes.map(({ taps }) => taps);
  const [outputs, inputs] = [output, input].map(({ operand }) => operand.parts.reduce((a, b) => a + b));
  const uniforms = {
    inputs: u32(inputs),
    padded: u32(4 * input.blocks),
    matrix: u32(16 * output.blocks * input.blocks),
    parts: u32(parts),
  };
  const table = (name: string, rows: Matrix) =>
    `const ${name} = array<f32, ${rows.flat().length}>(${rows.flat().map(f32Literal).join(", ")});`;
  const threads = outputs * inputs;
  const along = (tap: number) =>
    gx.flatMap((row, x) => (row[tap] === 0 ? [] : [`${f32Literal(row[tap])} * m_${x}`])).join(" + ");
  return Array.from({ length: ceilDiv(threads, MAX_THREADS) }, (_, i) => {
    const range = { start: i * MAX_THREADS, end: Math.min(threads, (i + 1) * MAX_THREADS) };
    const views = [
      wholeView("sums", PARTS_SLOT, "f32", "read"),
      wholeView("gradient", problem.weightGradientSlot, "f32", "read_write"),
    ];
    const code = wgsl`
${table("taps_z", gz)}
${table("taps_y", gy)}

fn input_position(channel: u32) -> u32 { return ${positionText(input.operand.parts)}; }

${threadMain("thread")}
  let first = thread / p.inputs * p.padded + input_position(thread % p.inputs);
  ${unroll(tz * ty * tx, (t) => `var sum_${t} = 0.0;`).join(" ")}
  for (var z = 0u; z < ${points[0]}u; z++) {
    ${unroll(ty * tx, (t) => `var plane_${t} = 0.0;`).join(" ")}
    for (var y = 0u; y < ${points[1]}u; y++) {
      ${unroll(points[2], (x) => `var m_${x} = 0.0;`).join(" ")}
      for (var part = 0u; part < p.parts; part++) {
        let at = ((part * ${points[0]}u + z) * ${points[1]}u + y) * ${points[2]}u * p.matrix + first;
        ${unroll(points[2], (x) => `m_${x} += load_sums(at + ${x}u * p.matrix);`)}
      }
      ${unroll(tx, (t) => `let t_${t} = ${along(t)};`)}
      ${
      unroll(ty, (y) =>
        wgsl`
{ let factor = taps_y[y * ${ty}u + ${y}u]; ${
          unroll(tx, (x) => `plane_${y * tx + x} = fma(factor, t_${x}, plane_${y * tx + x});`).join(" ")
        } }`)
    }
    }
    ${
      unroll(tz, (z) =>
        wgsl`
{ let factor = taps_z[z * ${tz}u + ${z}u]; ${
          unroll(ty * tx, (t) => `sum_${z * ty * tx + t} = fma(factor, plane_${t}, sum_${z * ty * tx + t});`).join(" ")
        } }`)
    }
  }
  let weight = thread * ${tz * ty * tx}u;
  ${unroll(tz * ty * tx, (t) => `store_gradient(weight + ${t}u, sum_${t});`)}
}
`;
    return threadKernel("winograd weight gradient", views, range, code, uniforms);
  });
}
