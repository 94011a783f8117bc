/**
 * Gradients of convolutions of any kernel and stride by plain loops. With A (the output's side; the input's of a transposed convolution)
 * and B (the other) both kinds are dw[a][b][t] = sum over q of A[q, a] B[q * stride + t - pad, b].
 */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { Operand, Operator } from "../kernel.ts";
import { at, listParams } from "../params.ts";
import { CORE_HERTZ } from "./cost_model.ts";
import {
  BIAS_GRADIENT_PARAMS,
  DATA_GRADIENT_PARAMS,
  GRADIENT_PACK_PARAMS,
  WEIGHT_GRADIENT_PARAMS,
} from "./gradient_direct_kernels.ts";
import type {
  DataGradientProblem,
  GradientProblem,
  GradientTarget,
  WeightGradientProblem,
} from "./gradient_problem.ts";
import { ceilDiv, productOf, sum } from "./layout.ts";
import { convOutputGrid } from "./problem.ts";

interface Geometry {
  readonly outputGrid: Vec3;
  readonly pad: Vec3;
  readonly taps: number;
}

function geometryOf({ inputGrid, kernel, stride, transposed }: GradientProblem): Geometry {
  return {
    outputGrid: transposed
      ? [inputGrid[0] * stride[0], inputGrid[1] * stride[1], inputGrid[2] * stride[2]]
      : convOutputGrid(inputGrid, kernel, stride),
    pad: transposed ? [0, 0, 0] : [(kernel[0] - 1) >> 1, (kernel[1] - 1) >> 1, (kernel[2] - 1) >> 1],
    taps: productOf(kernel),
  };
}

/** Every part of an operand: its real channels and where it begins. */
function partsOf({ parts }: GradientTarget) {
  return parts.map((channels, i) => ({
    channels,
    firstChannel: sum(parts.slice(0, i)),
    firstPosition: sum(parts.slice(0, i).map(padToFour)),
  }));
}

/** A channel range of an operand, and where the same range of its norm table begins. */
function range(operand: Operand, firstPosition: number) {
  return {
    start: at(operand.slot, (operand.channelOffset + firstPosition) * 4),
    norm: operand.normSlot === undefined ? at(operand.slot) : at(operand.normSlot, firstPosition * 4),
    hasNorm: operand.normSlot === undefined ? 0 : 1,
    normRow: sum(operand.parts.map(padToFour)),
    voxel: operand.channelStride * 4,
  };
}

/** dw and db; one item: a tap and four channels of B. */
export function planDirectWeightGradient(problem: WeightGradientProblem): Operator {
  const { input, outputGradient, transposed, batch, inputGrid, kernel, stride } = problem;
  const { outputGrid, pad, taps } = geometryOf(problem);
  const [outputs] = outputGradient.parts;
  const inputs = sum(input.parts);
  const [gridA, gridB] = transposed ? [inputGrid, outputGrid] : [outputGrid, inputGrid];
  const calls = partsOf(input).map((part) => {
    const ofInput = { ...range(input, part.firstPosition), count: part.channels, first: part.firstChannel };
    const ofOutput = { ...range(outputGradient, 0), count: outputs, first: 0 };
    const [a, b] = transposed ? [ofInput, ofOutput] : [ofOutput, ofInput];
    const params = listParams(WEIGHT_GRADIENT_PARAMS, {
      a: a.start,
      b: b.start,
      normA: a.norm,
      normB: b.norm,
      gradient: at(problem.weightGradientSlot),
      hasNormA: a.hasNorm,
      hasNormB: b.hasNorm,
      normRowA: a.normRow,
      normRowB: b.normRow,
      voxelA: a.voxel,
      voxelB: b.voxel,
      countA: a.count,
      countB: b.count,
      firstA: a.first,
      firstB: b.first,
      allB: transposed ? outputs : inputs,
      batch,
      gridAZ: gridA[0],
      gridAY: gridA[1],
      gridAX: gridA[2],
      gridBZ: gridB[0],
      gridBY: gridB[1],
      gridBX: gridB[2],
      kernelZ: kernel[0],
      kernelY: kernel[1],
      kernelX: kernel[2],
      strideZ: stride[0],
      strideY: stride[1],
      strideX: stride[2],
      padZ: pad[0],
      padY: pad[1],
      padX: pad[2],
    });
    return {
      kernel: "conv_weight_gradient",
      params,
      items: taps * ceilDiv(b.count, 4),
      scratchBytes: 2 * padToFour(a.count) * 16,
    };
  });
  if (problem.biasGradientSlot !== undefined) {
    const params = listParams(BIAS_GRADIENT_PARAMS, {
      source: range(outputGradient, 0).start,
      gradient: at(problem.biasGradientSlot),
      voxel: outputGradient.channelStride * 4,
      channels: outputs,
      row: outputGrid[2],
      rows: batch * outputGrid[0] * outputGrid[1],
    });
    calls.push({ kernel: "conv_bias_gradient", params, items: ceilDiv(outputs, 4), scratchBytes: 0 });
  }
  return { algorithm: "weight gradient, direct", calls, temporaries: {}, ...costOf(problem, inputs, outputs) };
}

/** dv; one item: a row of a sample. */
export function planDirectDataGradient(problem: DataGradientProblem): Operator {
  const { inputGradient, outputGradient, transposed, batch, inputGrid, kernel, stride } = problem;
  const { outputGrid, pad, taps } = geometryOf(problem);
  const [outputs] = outputGradient.parts;
  const inputs = sum(inputGradient.parts);
  const packed = `${problem.name}.gradientWeights`;
  const calls = partsOf(inputGradient).flatMap((part) => {
    const width = padToFour(part.channels);
    const packedAt = at(packed, part.firstPosition * outputs * taps * 4);
    const pack = listParams(GRADIENT_PACK_PARAMS, {
      weight: at(problem.weightSlot),
      packed: packedAt,
      sources: outputs,
      targets: part.channels,
      firstTarget: part.firstChannel,
      width,
      sourceStep: transposed ? taps : inputs * taps,
      targetStep: transposed ? outputs * taps : taps,
    });
    // Input position p and tap t meet output position (p * factor + shift + sign * t) / divisor.
    const step = (i: number) =>
      transposed
        ? { factor: stride[i], shift: 0, divisor: 1 } as const
        : { factor: 1, shift: pad[i], divisor: stride[i] } as const;
    const params = listParams(DATA_GRADIENT_PARAMS, {
      source: at(outputGradient.slot, outputGradient.channelOffset * 4),
      target: at(inputGradient.slot, (inputGradient.channelOffset + part.firstPosition) * 4),
      packed: packedAt,
      sourceVoxel: outputGradient.channelStride * 4,
      targetVoxel: inputGradient.channelStride * 4,
      sources: outputs,
      width,
      accumulate: problem.accumulate ? 1 : 0,
      sourceZ: outputGrid[0],
      sourceY: outputGrid[1],
      sourceX: outputGrid[2],
      targetZ: inputGrid[0],
      targetY: inputGrid[1],
      targetX: inputGrid[2],
      kernelZ: kernel[0],
      kernelY: kernel[1],
      kernelX: kernel[2],
      factorZ: step(0).factor,
      factorY: step(1).factor,
      factorX: step(2).factor,
      shiftZ: step(0).shift,
      shiftY: step(1).shift,
      shiftX: step(2).shift,
      divisorZ: step(0).divisor,
      divisorY: step(1).divisor,
      divisorX: step(2).divisor,
      sign: transposed ? 1 : -1,
    });
    return [
      { kernel: "conv_gradient_pack", params: pack, items: taps, scratchBytes: 0 },
      { kernel: "conv_data_gradient", params, items: batch * inputGrid[0] * inputGrid[1], scratchBytes: 0 },
    ];
  });
  const temporaries = { [packed]: sum(inputGradient.parts.map(padToFour)) * outputs * taps * 4 };
  return { algorithm: "data gradient, direct", calls, temporaries, ...costOf(problem, inputs, outputs) };
}

function costOf(problem: GradientProblem, inputs: number, outputs: number) {
  const { outputGrid, taps } = geometryOf(problem);
  const { inputGrid, transposed, batch } = problem;
  const products = batch * voxelCount(transposed ? inputGrid : outputGrid) * taps * inputs * outputs;
  return {
    flops: 2 * products,
    bytes: batch * 4 * (voxelCount(inputGrid) * inputs + voxelCount(outputGrid) * outputs),
    // About one vector of four products every two cycles.
    coreSeconds: products / 2 / CORE_HERTZ,
  };
}
