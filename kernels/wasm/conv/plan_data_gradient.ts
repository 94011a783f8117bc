/**
 * Chooses how the data gradient of a convolution is computed, by a cost model; never by threads or memory. It is a convolution of dL/dy:
 * - in the transform domain, a stride-1 axis by the convolution's own schemes, a stride-2 axis by {@link GRADIENT_SCHEMES};
 * - direct, a convolution of stride 1 for every residue of the voxel's position modulo the stride, with the taps that meet it;
 * - of a transposed convolution, a direct convolution of that kernel and stride without padding.
 */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { KernelCall, Operator, Target } from "../kernel.ts";
import { CORE_HERTZ, packCycles } from "./cost_model.ts";
import type { ConvProblem, DataGradientProblem } from "./problem.ts";
import { productOf, sum, vec } from "../../operators/arithmetic.ts";
import { gradientPackingCall } from "./pack_direct_kernel.ts";
import { winogradPacking } from "./pack_kernel.ts";
import { directChoice, planDirect, stagedChannels } from "./plan_direct.ts";
import { planWinograd, type WinogradChoice, winogradChoices } from "./plan_winograd.ts";
import { gradientFlops, gradientOutputGrid, gradientPad } from "../../operators/conv/gradient_problem.ts";

/** Neighbouring channels of the convolution's input that are written together. */
export interface InputRange {
  readonly first: number;
  readonly channels: number;
  readonly target: Target;
}

export type DataGradientChoice = { readonly kind: "direct" } | {
  readonly kind: "winograd";
  readonly choice: WinogradChoice;
};

const NONE: Vec3 = [0, 0, 0];
const ONE: Vec3 = [1, 1, 1];

/** Parts that follow each other without padding in one tensor are one range. */
export function inputRanges({ inputGradient }: DataGradientProblem): InputRange[] {
  const { parts, second } = inputGradient;
  const ranges: InputRange[] = [];
  parts.forEach((channels, i) => {
    const first = sum(parts.slice(0, i));
    const starts = i === second?.firstPart;
    const last = ranges[ranges.length - 1];
    if (last && !starts && last.channels % 4 === 0) {
      const joined = last.channels + channels;
      ranges[ranges.length - 1] = { ...last, channels: joined, target: { ...last.target, channels: joined } };
      return;
    }
    const [tensor, firstPart] = second && i >= second.firstPart ? [second, second.firstPart] : [inputGradient, 0];
    const position = sum(parts.slice(firstPart, i).map(padToFour));
    const { slot, channelStride } = tensor;
    ranges.push({
      first,
      channels,
      target: { slot, channelStride, channelOffset: tensor.channelOffset + position, channels },
    });
  });
  return ranges;
}

interface Made {
  readonly calls: readonly KernelCall[];
  readonly temporaries: Readonly<Record<string, number>>;
  readonly cycles: number;
}

/** The convolution's problem in the transform domain. */
function transformProblem(problem: DataGradientProblem, range: InputRange, name: string): ConvProblem {
  const { batch, kernel, stride, inputGrid, outputGradient, accumulate } = problem;
  const pad = gradientPad(problem);
  return {
    name,
    batch,
    kernel,
    stride,
    inputGrid: gradientOutputGrid(problem),
    input: outputGradient,
    output: range.target,
    outputChannels: range.channels,
    weightSlot: `${name}.weights`,
    statistics: false,
    gradient: {
      outputGrid: inputGrid,
      targetGrid: inputGrid,
      spread: ONE,
      origin: NONE,
      accumulate,
      pad: vec((i) => stride[i] === 1 ? kernel[i] - 1 - pad[i] : 0),
    },
  };
}

function transformed(problem: DataGradientProblem, range: InputRange, choice: WinogradChoice, name: string): Made {
  const conv = transformProblem(problem, range, name);
  const operator = planWinograd(conv, choice);
  const weights = { slot: problem.weightSlot, firstOutput: range.first, inputs: inputsOf(problem) };
  const biasOffset = operator.weightBytes - Math.ceil(range.channels / 8) * 32;
  return {
    calls: [...winogradPacking(conv, choice.schemes, biasOffset, weights).calls, ...operator.calls],
    temporaries: { ...operator.temporaries, [conv.weightSlot]: operator.weightBytes },
    cycles: transformCycles(problem, range, choice),
  };
}

function transformCycles(problem: DataGradientProblem, range: InputRange, choice: WinogradChoice): number {
  const pairs = range.channels * problem.outputGradient.parts[0];
  const weights = productOf(choice.schemes.map((s) => s.weight.length));
  return choice.cycles * problem.batch + packCycles(pairs, productOf(problem.kernel), weights);
}

const inputsOf = (problem: DataGradientProblem) => sum(problem.inputGradient.parts);

/** Taps along an axis that meet the voxels of a residue: the first of them, how many, and the padding of their convolution. */
function residueTaps(taps: number, stride: number, pad: number, residue: number) {
  const first = (residue + pad) % stride;
  const count = Math.max(0, Math.ceil((taps - first) / stride));
  return { first, count, pad: count - 1 - Math.floor((residue + pad) / stride) };
}

/** A direct convolution and how torch's taps are packed for it. */
interface DirectPart {
  readonly conv: ConvProblem;
  /** Position of its first tap in torch's kernel and the distance of the next, per axis; no taps: zeros are written. */
  readonly firstTap: Vec3;
  readonly tapStep: Vec3;
  readonly hasTaps: boolean;
}

function directParts(problem: DataGradientProblem, range: InputRange, name: string): DirectPart[] {
  const { batch, kernel, stride, inputGrid, outputGradient, transposed, accumulate } = problem;
  const common = {
    name,
    batch,
    inputGrid: gradientOutputGrid(problem),
    input: outputGradient,
    output: range.target,
    outputChannels: range.channels,
    statistics: false,
  };
  const target = { targetGrid: inputGrid, accumulate };
  if (transposed) {
    const gradient = { ...target, outputGrid: inputGrid, spread: ONE, origin: NONE, pad: NONE };
    const conv = { ...common, kernel, stride, weightSlot: `${name}.weights`, gradient };
    return [{ conv, firstTap: NONE, tapStep: ONE, hasTaps: true }];
  }
  const pad = gradientPad(problem);
  const parts: DirectPart[] = [];
  for (let residue = 0; residue < productOf(stride); residue++) {
    const origin: Vec3 = [
      Math.floor(residue / (stride[1] * stride[2])),
      Math.floor(residue / stride[2]) % stride[1],
      residue % stride[2],
    ];
    const outputGrid = vec((i) => Math.ceil((inputGrid[i] - origin[i]) / stride[i]));
    if (outputGrid.some((n) => n <= 0)) continue;
    const taps = [0, 1, 2].map((i) => residueTaps(kernel[i], stride[i], pad[i], origin[i]));
    const hasTaps = taps.every(({ count }) => count > 0);
    if (!hasTaps && accumulate) continue;
    const gradient = { ...target, outputGrid, spread: stride, origin, pad: vec((i) => hasTaps ? taps[i].pad : 0) };
    parts.push({
      conv: {
        ...common,
        kernel: vec((i) => hasTaps ? taps[i].count : 1),
        stride: ONE,
        gradient,
        weightSlot: `${name}.weights.${residue}`,
      },
      hasTaps,
      tapStep: vec((i) => -stride[i]),
      firstTap: vec((i) => taps[i].first + (taps[i].count - 1) * stride[i]),
    });
  }
  return parts;
}

function direct(problem: DataGradientProblem, range: InputRange, name: string): Made {
  const { kernel, transposed } = problem;
  const [outputs] = problem.outputGradient.parts;
  const taps = productOf(kernel);
  const strides = [kernel[1] * kernel[2], kernel[2], 1];
  const calls: KernelCall[] = [];
  const temporaries: Record<string, number> = {};
  let cycles = packCycles(range.channels * outputs, taps, 0);
  for (const { conv, firstTap, tapStep, hasTaps } of directParts(problem, range, name)) {
    const choice = directChoice(conv);
    const operator = planDirect(conv, choice);
    cycles += choice.cycles * problem.batch;
    temporaries[conv.weightSlot] = operator.weightBytes;
    const outputStep = transposed ? outputs * taps : taps;
    calls.push(
      gradientPackingCall({
        sourceSlot: problem.weightSlot,
        weightSlot: conv.weightSlot,
        taps: conv.kernel,
        outputs: range.channels,
        biasOffset: operator.weightBytes - Math.ceil(range.channels / 8) * 32,
        inputs: hasTaps ? outputs : 0,
        staged: stagedChannels(conv),
        first: range.first * outputStep + sum(firstTap.map((tap, i) => tap * strides[i])),
        outputStep,
        inputStep: transposed ? taps : inputsOf(problem) * taps,
        tapSteps: vec((i) => tapStep[i] * strides[i]),
      }),
      ...operator.calls,
    );
  }
  return { calls, temporaries, cycles };
}

/** Every way to compute the gradient of a range of input channels, the cheapest first. */
export function dataGradientChoices(problem: DataGradientProblem, range: InputRange): DataGradientChoice[] {
  const way = (choice: DataGradientChoice, cycles: number) => ({ choice, cycles });
  const all = [way({ kind: "direct" }, direct(problem, range, problem.name).cycles)];
  if (!problem.transposed) {
    for (const choice of winogradChoices(transformProblem(problem, range, problem.name))) {
      all.push(way({ kind: "winograd", choice }, transformCycles(problem, range, choice)));
    }
  }
  return all.sort((a, b) => a.cycles - b.cycles).map(({ choice }) => choice);
}

/** `choose` picks how each range of channels is computed; the cheapest way by default. */
export function planDataGradient(
  problem: DataGradientProblem,
  choose: (problem: DataGradientProblem, range: InputRange) => DataGradientChoice = (p, r) =>
    dataGradientChoices(p, r)[0],
): Operator {
  const calls: KernelCall[] = [];
  const temporaries: Record<string, number> = {};
  const algorithms = new Set<string>();
  let cycles = 0;
  inputRanges(problem).forEach((range, i) => {
    const name = `${problem.name}.dataGradient.${i}`;
    const chosen = choose(problem, range);
    const made = chosen.kind === "direct"
      ? direct(problem, range, name)
      : transformed(problem, range, chosen.choice, name);
    calls.push(...made.calls);
    Object.assign(temporaries, made.temporaries);
    cycles += made.cycles;
    algorithms.add(nameOf(chosen));
  });
  const [inputs, outputs] = [inputsOf(problem), problem.outputGradient.parts[0]];
  return {
    algorithm: `data gradient, ${[...algorithms].join(" and ")}`,
    calls,
    temporaries,
    flops: gradientFlops(problem, inputs, outputs),
    bytes: problem.batch * 4 *
      (voxelCount(problem.inputGrid) * inputs + voxelCount(gradientOutputGrid(problem)) * outputs),
    coreSeconds: cycles / CORE_HERTZ,
  };
}

function nameOf(chosen: DataGradientChoice): string {
  if (chosen.kind === "direct") return "direct";
  const { schemes, split } = chosen.choice;
  return `winograd ${schemes.map((s) => s.name).join("x")}${split ? " in three calls" : ""}`;
}
