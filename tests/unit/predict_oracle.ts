/**
 * Sliding-window prediction as its definition reads, for the predictor's tests: pads the image, keeps all logits in f64, resamples
 * them whole, decides, un-crops, un-transposes. No streaming, no ring, no plan.
 */
import { contiguousStrides, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { importanceMap } from "../../core/predict/stream/importance.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { mirrorings } from "../../core/predict/stream/mirrors.ts";
import { tileGrid } from "../../core/predict/stream/tiles.ts";
import { linearTable } from "../../core/preprocess/axis_tables.ts";
import type { PreprocessedCase } from "../../core/preprocess/case.ts";
import { evaluateGraph, readWeights } from "../engine/reference_network.ts";
import { checkpointWeights } from "../../core/network/weights.ts";

export interface OracleResult {
  readonly labels: Uint8Array;
  /** Difference between the two largest logits (regions: distance from 0) of each voxel; Infinity outside the bounding box. */
  readonly margins: Float64Array;
  /** (channels, z, y, x), file order. */
  readonly probabilities: Float64Array;
}

export function predictByDefinition(
  model: Model,
  input: PreprocessedCase,
  stepSize: number,
  useMirrors: boolean,
): OracleResult {
  const logits = averageLogits(model, input, stepSize, useMirrors);
  const { shapeAfterCropping: to, shapeBeforeCropping, boundingBox } = input.properties;
  const channels = model.outputChannels;
  const backward = model.plans.transposeBackward;
  const fileShape: Vec3 = [
    shapeBeforeCropping[backward[0]],
    shapeBeforeCropping[backward[1]],
    shapeBeforeCropping[backward[2]],
  ];
  const fileStrides = contiguousStrides(fileShape);
  const voxels = voxelCount(fileShape);
  const { labels: rules } = model.dataset;
  const labels = new Uint8Array(voxels);
  const margins = new Float64Array(voxels).fill(Infinity);
  const probabilities = new Float64Array(channels * voxels);
  if (!rules.hasRegions) probabilities.fill(1, 0, voxels);
  const tables = to.map((n, axis) => linearTable(input.grid[axis], n));
  const strides = contiguousStrides(input.grid);
  const inBox = [0, 0, 0];
  for (inBox[0] = 0; inBox[0] < to[0]; inBox[0]++) {
    for (inBox[1] = 0; inBox[1] < to[1]; inBox[1]++) {
      for (inBox[2] = 0; inBox[2] < to[2]; inBox[2]++) {
        const values: number[] = [];
        for (let c = 0; c < channels; c++) {
          let sum = 0;
          for (let corner = 0; corner < 8; corner++) {
            let weight = 1;
            let at = c * voxelCount(input.grid);
            for (let axis = 0; axis < 3; axis++) {
              const { first, second, fraction } = tables[axis];
              const j = inBox[axis];
              const isSecond = (corner >> axis) & 1;
              weight *= isSecond ? fraction[j] : 1 - fraction[j];
              at += (isSecond ? second[j] : first[j]) * strides[axis];
            }
            sum += weight * logits[at];
          }
          values.push(sum);
        }
        let target = 0;
        for (let axis = 0; axis < 3; axis++) {
          target += (inBox[backward[axis]] + boundingBox[backward[axis]][0]) * fileStrides[axis];
        }
        const sorted = values.toSorted((a, b) => b - a);
        if (rules.hasRegions) {
          labels[target] = values.reduce((label, v, c) => (v > 0 ? rules.regionsClassOrder[c] : label), 0);
          margins[target] = Math.min(...values.map(Math.abs));
          values.forEach((v, c) => probabilities[c * voxels + target] = 1 / (1 + Math.exp(-v)));
        } else {
          labels[target] = rules.allLabels[values.indexOf(sorted[0])];
          margins[target] = sorted[0] - sorted[1];
          const total = values.reduce((sum, v) => sum + Math.exp(v), 0);
          values.forEach((v, c) => probabilities[c * voxels + target] = Math.exp(v) / total);
        }
      }
    }
  }
  return { labels, margins, probabilities };
}

function averageLogits(model: Model, input: PreprocessedCase, stepSize: number, useMirrors: boolean): Float64Array {
  const { grid } = input;
  const { patchSize: patch, dimensions } = model.configuration;
  const voxels = voxelCount(grid);
  const channels = model.outputChannels;
  const sums = new Float64Array(channels * voxels);
  const weightSums = new Float64Array(voxels);
  const importance = importanceMap(patch);
  const flips = mirrorings(useMirrors ? model.mirrorAxes : null, dimensions);
  const tiles = tileGrid(grid, patch, stepSize, dimensions);
  const oneHot = input.previousStage ? model.dataset.labels.foregroundLabels : [];
  const patchVoxels = voxelCount(patch);
  model.folds.forEach(({ checkpoint, file }, fold) => {
    const weights = readWeights(model.graph, checkpointWeights(checkpoint, model.graph, file));
    for (const z of tiles[0]) {
      for (const y of tiles[1]) {
        for (const x of tiles[2]) {
          for (const flip of flips) {
            const network = new Float32Array((input.channels + oneHot.length) * patchVoxels);
            const visit = (use: (inPatch: number, flipped: number, inVolume: number) => void) => {
              for (let i = 0; i < patchVoxels; i++) {
                const p = [Math.floor(i / (patch[1] * patch[2])), Math.floor(i / patch[2]) % patch[1], i % patch[2]];
                const f = p.map((v, axis) => (flip[axis] ? patch[axis] - 1 - v : v));
                const v = [z + p[0], y + p[1], x + p[2]];
                if (v.some((n, axis) => n < 0 || n >= grid[axis])) continue;
                use(i, (f[0] * patch[1] + f[1]) * patch[2] + f[2], (v[0] * grid[1] + v[1]) * grid[2] + v[2]);
              }
            };
            visit((_, flipped, inVolume) => {
              for (let c = 0; c < input.channels; c++) {
                network[c * patchVoxels + flipped] = input.data[c * voxels + inVolume];
              }
              oneHot.forEach((label, k) => {
                if (input.previousStage?.[inVolume] === label) {
                  network[(input.channels + k) * patchVoxels + flipped] = 1;
                }
              });
            });
            const [output] = evaluateGraph(model.graph, patch, weights, network);
            const isFirst = fold === 0 && flip.every((v) => !v);
            visit((inPatch, flipped, inVolume) => {
              for (let c = 0; c < channels; c++) {
                sums[c * voxels + inVolume] += output[c * patchVoxels + flipped] * importance[inPatch] / flips.length;
              }
              if (isFirst) weightSums[inVolume] += importance[inPatch];
            });
          }
        }
      }
    }
  });
  return sums.map((sum, i) => sum / (weightSums[i % voxels] * model.folds.length));
}
