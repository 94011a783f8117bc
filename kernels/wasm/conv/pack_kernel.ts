/**
 * Packs Winograd weights on all threads. An item is one panel of eight output channels and sixteen input channels: torch's weights are
 * gathered so that the panel's channels lie side by side, then transformed along z, y and x with vectors.
 */
import { type I32, i32, i64 } from "../emit/expression.ts";
import type { Kernel } from "../emit/module_builder.ts";
import type { Packing } from "../kernel.ts";
import { at, listParams } from "../params.ts";
import { padToFour } from "../../../core/base/shape.ts";
import { PANEL } from "./gemm_kernels.ts";
import { padToPanel } from "./layout.ts";
import { ceilDiv, productOf, sum, vec } from "../../operators/arithmetic.ts";
import type { ConvProblem } from "./problem.ts";
import type { SchemeTriple } from "../../operators/conv/scheme.ts";
import { transformFunctions } from "./transform_kernels.ts";

/** Input channels an item packs. */
const CHUNK = 16;
const CHUNK_BYTES = CHUNK * PANEL * 4;

const PACK_PARAMS = {
  source: "address",
  weights: "address",
  bias: "address",
  biasSource: "address",
  /** Floats between neighbouring output and input channels of torch's weight; 1: its taps are read from the last to the first. */
  outputStep: "i32",
  inputStep: "i32",
  flips: "i32",
  firstOutput: "i32",
  /** The part of the input channels that this call packs. */
  firstInput: "i32",
  partInputs: "i32",
  /** Where the part starts among the padded channels, and how many there are of those in all. */
  firstPosition: "i32",
  paddedInputs: "i32",
  outputs: "i32",
  panelChannels: "i32",
  /** 1: the bias is written, 2: as zeros. */
  packsBias: "i32",
  scheme: "axes",
  taps: "axes",
  transformed: "axes",
} as const;

const wide = (value: I32) => i64.extendS(value);

export const packKernel: Kernel = {
  name: "conv_winograd_pack",
  emit: (m) => {
    const { weight } = transformFunctions(m);
    m.kernel("conv_winograd_pack", (f, params, item, scratch) => {
      const p = f.readParams(params, PACK_PARAMS);
      f.if(i32.and(i32.gtS(p.packsBias, 0), i32.eqz(item)), () => {
        f.zeroBytes(p.bias, i64.shl(wide(p.panelChannels), 2));
        f.if(i32.eq(p.packsBias, 1), () => f.copyBytes(p.bias, p.biasSource, i64.shl(wide(p.outputs), 2)));
      });
      const padded = f.local("i32", i32.and(i32.add(p.partInputs, 3), -4));
      const chunks = f.local("i32", i32.divU(i32.add(padded, CHUNK - 1), CHUNK));
      const first = f.local("i32", i32.mul(i32.remU(item, chunks), CHUNK));
      const panel = f.local("i32", i32.divU(item, chunks));
      const width = f.local("i32", i32.min(f.local("i32", i32.sub(padded, first)), CHUNK));
      const real = f.local("i32", i32.min(f.local("i32", i32.sub(p.partInputs, first)), CHUNK));
      const lanes = f.local("i32", i32.min(f.local("i32", i32.sub(p.outputs, i32.mul(panel, PANEL))), PANEL));
      const taps = f.local("i32", i32.mul(i32.mul(p.tapsZ, p.tapsY), p.tapsX));
      const gathered = scratch;
      const tapBytes = f.local("i64", i64.mul(wide(taps), CHUNK_BYTES));
      const afterZ = f.local("i64", i64.add(gathered, tapBytes));
      const yx = i32.mul(p.tapsY, p.tapsX);
      const afterY = f.local("i64", i64.add(afterZ, i64.mul(wide(i32.mul(p.transformedZ, yx)), CHUNK_BYTES)));

      // [tap][input channel][output channel of the panel]
      f.zeroBytes(gathered, tapBytes);
      const tapStep = f.local("i64", i64.select(i64.const(-4), i64.const(4), p.flips));
      const inputBytes = f.local("i64", i64.shl(wide(p.inputStep), 2));
      f.for(0, lanes, 1, (lane) => {
        const output = i64.mul(wide(i32.add(p.firstOutput, i32.add(i32.mul(panel, PANEL), lane))), wide(p.outputStep));
        const input = i64.mul(wide(i32.add(p.firstInput, first)), wide(p.inputStep));
        const row = f.local("i64", i64.add(p.source, i64.shl(i64.add(output, input), 2)));
        f.if(p.flips, () => f.set(row, i64.add(row, i64.shl(wide(i32.sub(taps, 1)), 2))));
        const to = f.local("i64", i64.add(gathered, i64.shl(wide(lane), 2)));
        const [from, at] = f.locals("i64", 2);
        f.countdown(real, () => {
          f.set(from, row);
          f.set(at, to);
          f.countdown(taps, () => {
            f.storeI32(at, i32.load(from));
            f.set(from, i64.add(from, tapStep));
            f.add(at, CHUNK_BYTES);
          });
          f.set(row, i64.add(row, inputBytes));
          f.add(to, PANEL * 4);
        });
      });
      const chunkVectors = CHUNK_BYTES / 16;
      const planeStride = f.local("i64", i64.mul(wide(yx), CHUNK_BYTES));
      f.call(weight, p.schemeZ, gathered, planeStride, afterZ, planeStride, i32.mul(yx, chunkVectors), 1, 0, 0);
      const rowStride = f.local("i64", i64.mul(wide(p.tapsX), CHUNK_BYTES));
      const rows = i64.mul(rowStride, wide(p.transformedY));
      const rowVectors = i32.mul(p.tapsX, chunkVectors);
      f.call(weight, p.schemeY, afterZ, rowStride, afterY, rowStride, rowVectors, p.transformedZ, planeStride, rows);
      const matrix = f.local("i64", i64.shl(i64.mul(wide(p.paddedInputs), wide(p.panelChannels)), 2));
      const position = i32.add(i32.mul(panel, p.paddedInputs), i32.add(p.firstPosition, first));
      const to = f.local("i64", i64.add(p.weights, i64.shl(wide(position), 5)));
      const target = i64.mul(matrix, wide(p.transformedX));
      const pairs = i32.mul(p.transformedZ, p.transformedY);
      f.call(weight, p.schemeX, afterY, CHUNK_BYTES, to, matrix, i32.shl(width, 1), pairs, rowStride, target);
    });
  },
};

/** Where torch's weight of a data gradient lies: the convolution's input channels from `firstOutput` on become outputs. */
export interface GradientWeights {
  readonly slot: string;
  readonly firstOutput: number;
  /** Input channels of the convolution. */
  readonly inputs: number;
}

/** Output channels that are packed apart from the others. */
export interface OutputRange {
  readonly first: number;
  readonly channels: number;
}

/** A call for each part of the input. With `gradient`, weights of a data gradient: flipped, in and out swapped, no bias. */
export function winogradPacking(
  problem: ConvProblem,
  schemes: SchemeTriple,
  biasOffset: number,
  gradient?: GradientWeights,
  range: OutputRange = { first: 0, channels: problem.outputChannels },
): Packing {
  const sourceSlot = gradient?.slot ?? `${problem.weightSlot}.torch`;
  const taps = productOf(problem.kernel);
  const inputs = sum(problem.input.parts);
  const paddedInputs = sum(problem.input.parts.map(padToFour));
  const own = vec((i) => schemes[i].taps);
  const transformed = vec((i) => schemes[i].weight.length);
  const weightFloats = problem.outputChannels * inputs * taps;
  const steps = gradient
    ? { outputStep: taps, inputStep: gradient.inputs * taps, flips: 1, firstOutput: gradient.firstOutput }
    : { outputStep: inputs * taps, inputStep: taps, flips: 0, firstOutput: 0 };
  const panelChannels = padToPanel(range.channels);
  const scratchBytes = CHUNK_BYTES * own[2] *
    (own[0] * own[1] + transformed[0] * own[1] + transformed[0] * transformed[1]);
  let [firstInput, firstPosition] = [0, 0];
  const calls = problem.input.parts.map((partInputs, part) => {
    const params = listParams(PACK_PARAMS, {
      source: at(sourceSlot, range.first * steps.outputStep * 4),
      weights: at(problem.weightSlot),
      bias: at(problem.weightSlot, biasOffset + range.first * 4),
      biasSource: at(sourceSlot, gradient ? 0 : (weightFloats + range.first) * 4),
      ...steps,
      firstInput,
      partInputs,
      firstPosition,
      paddedInputs,
      outputs: range.channels,
      panelChannels,
      packsBias: part > 0 ? 0 : gradient ? 2 : 1,
      scheme: vec((axis) => schemes[axis].id),
      taps: own,
      transformed,
    });
    firstInput += partInputs;
    firstPosition += padToFour(partInputs);
    const items = panelChannels / PANEL * ceilDiv(padToFour(partInputs), CHUNK);
    return { kernel: packKernel.name, params, items, scratchBytes };
  });
  return { sourceSlot, sourceBytes: (weightFloats + problem.outputChannels) * 4, calls };
}
