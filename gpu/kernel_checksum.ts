/**
 * A checksum of the kernels themselves: what was measured of a GPU (tuning, self-test, precision) holds for the kernels it was measured
 * with. It is made of the text of canonical kernels, so it changes with any of them and with nothing else.
 */
import { createHash } from "node:crypto";
import type { Vec3 } from "../core/base/shape.ts";
import type { LossOptions } from "../core/engine/training.ts";
import type { Graph } from "../core/graph/graph.ts";
import { measuredCandidates } from "../kernels/wgsl/conv/measured.ts";
import type { MeasuredProblem } from "../kernels/wgsl/conv/plan_conv.ts";
import { BASE_LIMITS } from "../kernels/wgsl/conv/problem.ts";
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { planAccumulate, planFinishPlanes } from "../kernels/wgsl/volume/accumulate.ts";
import { planClear } from "../kernels/wgsl/volume/clear.ts";
import { planGatherPatches } from "../kernels/wgsl/volume/gather.ts";
import { planResampleToLabels, planResampleToProbabilities } from "../kernels/wgsl/volume/resample.ts";
import { planProgram } from "./program_plan.ts";
import { planTraining } from "./training_plan.ts";

const CUBE: Vec3 = [3, 3, 3];
const ONE: Vec3 = [1, 1, 1];
const TWO: Vec3 = [2, 2, 2];

/** One node of every kind, convolutions of every form. */
const CANONICAL: Graph = {
  nodes: [
    { kind: "input", channels: 1 },
    { kind: "conv", input: 0, channels: 8, kernel: CUBE, stride: ONE, weight: "a.weight", bias: "a.bias" },
    { kind: "instanceNorm", input: 1, eps: 1e-5, weight: "b.weight", bias: "b.bias" },
    { kind: "leakyRelu", input: 2, negativeSlope: 0.01 },
    { kind: "conv", input: 3, channels: 16, kernel: CUBE, stride: TWO, weight: "c.weight" },
    { kind: "batchNorm", input: 4, eps: 1e-5, runningMean: "d.mean", runningVar: "d.var" },
    { kind: "leakyRelu", input: 5, negativeSlope: 0.01 },
    { kind: "conv", input: 6, channels: 16, kernel: [1, 3, 3], stride: ONE, weight: "e.weight" },
    { kind: "instanceNorm", input: 7, eps: 1e-5 },
    { kind: "averagePool", input: 3, stride: TWO },
    { kind: "conv", input: 9, channels: 16, kernel: ONE, stride: ONE, weight: "f.weight" },
    { kind: "add", inputs: [8, 10] },
    { kind: "leakyRelu", input: 11, negativeSlope: 0.01 },
    { kind: "transposedConv", input: 12, channels: 8, stride: TWO, weight: "g.weight", bias: "g.bias" },
    { kind: "concat", inputs: [13, 3] },
    { kind: "conv", input: 14, channels: 8, kernel: CUBE, stride: ONE, weight: "h.weight" },
    { kind: "instanceNorm", input: 15, eps: 1e-5 },
    { kind: "leakyRelu", input: 16, negativeSlope: 0.01 },
    { kind: "conv", input: 17, channels: 3, kernel: ONE, stride: ONE, weight: "i.weight", bias: "i.bias" },
  ],
  outputs: [18],
};

/** SHA-256 of the kernels, in hex; the same on every machine. */
export function kernelChecksum(): string {
  const hash = createHash("sha256");
  for (const operator of canonicalOperators()) for (const { code } of operator.dispatches) hash.update(code);
  return hash.digest("hex");
}

function canonicalOperators(): WgslOperator[] {
  const operators: WgslOperator[] = [];
  for (const precision of ["f32", "f16"] as const) {
    const plan = planProgram(CANONICAL, { patch: [4, 6, 8], batch: 1, precision }, BASE_LIMITS, (problem) => {
      if (precision === "f16") return undefined; // only accessors differ
      operators.push(...measuredCandidates(problem).map(({ operator }) => operator));
      return undefined;
    });
    operators.push(...plan.steps.map(({ operator }) => operator));
  }
  return [...operators, ...trainingOperators(), ...volumeOperators()];
}

/** A training of the canonical network, every way of its gradients included. */
function trainingOperators(): WgslOperator[] {
  const operators: WgslOperator[] = [];
  const all = (problem: MeasuredProblem) => {
    if ("weightGradientSlot" in problem || ("kernel" in problem && problem.gradientGrid)) {
      operators.push(...measuredCandidates(problem).map(({ operator }) => operator));
    }
    return undefined;
  };
  const loss = { batchDice: false, smooth: 1e-5, diceWeight: 1, crossEntropyWeight: 1 };
  const labels = { ...loss, target: { kind: "labels" } } as const;
  const losses: readonly LossOptions[] = [
    labels,
    { ...loss, target: { kind: "regions", regions: [[1, 2], [2], [3]] } },
    { ...labels, topK: { percent: 10, labelSmoothing: 0 } },
  ];
  for (const one of losses) {
    const options = { patch: [4, 6, 8] as Vec3, batch: 1, precision: "f32" as const, outputWeights: [1], loss: one };
    const plan = planTraining(CANONICAL, options, BASE_LIMITS, one === labels ? all : undefined);
    operators.push(...plan.steps.map(({ operator }) => operator));
  }
  return operators;
}

/** The operators around a network, on a small volume. */
function volumeOperators(): WgslOperator[] {
  const array = (slot: string, length: number) => ({ slot, length, segments: 1, segmentLength: length });
  const tensor = (slot: string, length: number) => ({ ...array(slot, length), type: "f32" as const });
  const grid: Vec3 = [4, 5, 6];
  const voxels = 120;
  const ring = { channels: 3, planes: 4, rows: 5, columns: 6, axes: [0, 1, 2] as Vec3, depth: 4 };
  const [logits, weightSums] = [array("logits", voxels), array("sums", voxels)];
  const placement = { origin: [0, 0, 0] as Vec3, mirror: [true, false, false] as const };
  const axis = (n: number) => ({
    first: new Int32Array(n),
    second: new Int32Array(n).fill(1),
    fraction: new Float32Array(n).fill(0.5),
  });
  const tables = [axis(4), axis(5), axis(6)] as const;
  const range = { ring, logits, tables, tablesSlot: "tables", from: 0, to: 4 };
  const labels = {
    target: array("target", voxels),
    targetType: "u8" as const,
    view: { offset: 0, strides: [30, 6, 1] as Vec3 },
  };
  const values = [0, 1, 2];
  return [
    planClear({ words: array("target", voxels), offset: 1, bytes: 9 }),
    planGatherPatches({
      ...{ volume: array("volume", voxels), channels: 1, grid, patches: [placement], patch: grid },
      labelMap: { labels: array("labels", voxels / 2), oneHot: [1, 2] },
      input: tensor("input", voxels),
    }),
    planAccumulate({
      ...{ ring, logits, weightSums, output: tensor("output", voxels), sample: 0, patch: grid, placement },
      ...{ importance: array("importance", voxels), scale: 1, addWeight: true },
    }),
    planFinishPlanes({ ring, logits, weightSums, from: 0, to: 4, folds: 1 }),
    planResampleToLabels({ ...range, ...labels, rule: { kind: "argmax", values } }),
    planResampleToLabels({ ...range, ...labels, rule: { kind: "regions", values } }),
    ...(["softmax", "sigmoid"] as const).map((nonlinearity) =>
      planResampleToProbabilities({ ...range, nonlinearity, target: array("target", 3 * voxels) })
    ),
  ];
}
