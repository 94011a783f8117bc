/**
 * The network operators in plain TypeScript, as their definitions read: what every engine is compared with.
 * Values are (channels, z, y, x) f32, sums are taken in f64. Nothing is fused and nothing is fast.
 */
import type { WeightSource } from "../../core/engine/engine.ts";
import {
  type ConvNode,
  type Graph,
  type GraphNode,
  inferShapes,
  type TransposedConvNode,
  type ValueShape,
} from "../../core/graph/graph.ts";
import { weightShapes } from "../../core/graph/weight_shapes.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";

/** Every named weight array of a graph. */
export type Weights = ReadonlyMap<string, Float32Array>;

/** Reads all weights of a graph from their source. */
export function readWeights(graph: Graph, source: WeightSource): Weights {
  return new Map(weightShapes(graph).map(({ name, shape }) => [name, source.get(name, shape).slice()]));
}

/** Evaluates one sample; `input` is (channels, z, y, x). Returns the values of `graph.outputs`. */
export function evaluateGraph(graph: Graph, patch: Vec3, weights: Weights, input: Float32Array): Float32Array[] {
  const shapes = inferShapes(graph, patch);
  const values: Float32Array[] = [];
  graph.nodes.forEach((node, id) => values.push(evaluateNode(node, shapes[id], shapes, values, weights, input)));
  return graph.outputs.map((id) => values[id]);
}

function evaluateNode(
  node: GraphNode,
  shape: ValueShape,
  shapes: readonly ValueShape[],
  values: readonly Float32Array[],
  weights: Weights,
  input: Float32Array,
): Float32Array {
  const weight = (name: string): Float32Array => {
    const found = weights.get(name);
    if (!found) throw new RangeError(`Evaluating ${node.kind}: there is no weight ${name}`);
    return found;
  };
  const optional = (name: string | undefined) => (name === undefined ? undefined : weight(name));
  switch (node.kind) {
    case "input":
      return input;
    case "conv":
      return convolve(values[node.input], shapes[node.input], shape, node, weight(node.weight), optional(node.bias));
    case "transposedConv":
      return transposed(values[node.input], shapes[node.input], shape, node, weight(node.weight), optional(node.bias));
    case "instanceNorm":
      return normalise(values[node.input], shape, node.eps, optional(node.weight), optional(node.bias));
    case "batchNorm":
      return normalise(values[node.input], shape, node.eps, optional(node.weight), optional(node.bias), {
        mean: weight(node.runningMean),
        variance: weight(node.runningVar),
      });
    case "leakyRelu":
      return values[node.input].map((v) => (v > 0 ? v : v * node.negativeSlope));
    case "add": {
      const b = values[node.inputs[1]];
      return values[node.inputs[0]].map((v, i) => v + b[i]);
    }
    case "averagePool":
      return averagePool(values[node.input], shapes[node.input], shape, node.stride);
    case "concat": {
      const [a, b] = node.inputs.map((id) => values[id]);
      const out = new Float32Array(a.length + b.length);
      out.set(a);
      out.set(b, a.length);
      return out;
    }
  }
}

function convolve(
  input: Float32Array,
  from: ValueShape,
  to: ValueShape,
  { kernel, stride }: ConvNode,
  weight: Float32Array,
  bias: Float32Array | undefined,
): Float32Array {
  const [iz, iy, ix] = from.grid;
  const [oz, oy, ox] = to.grid;
  const [pz, py, px] = kernel.map((k) => (k - 1) / 2);
  const out = new Float32Array(to.channels * voxelCount(to.grid));
  const sums = new Float64Array(voxelCount(to.grid));
  for (let o = 0; o < to.channels; o++) {
    sums.fill(bias?.[o] ?? 0);
    for (let i = 0; i < from.channels; i++) {
      for (let tap = 0; tap < voxelCount(kernel); tap++) {
        const w = weight[(o * from.channels + i) * voxelCount(kernel) + tap];
        const dz = Math.floor(tap / (kernel[1] * kernel[2])) - pz;
        const dy = Math.floor(tap / kernel[2]) % kernel[1] - py;
        const dx = tap % kernel[2] - px;
        for (let z = 0; z < oz; z++) {
          const sz = z * stride[0] + dz;
          if (sz < 0 || sz >= iz) continue;
          for (let y = 0; y < oy; y++) {
            const sy = y * stride[1] + dy;
            if (sy < 0 || sy >= iy) continue;
            const row = ((i * iz + sz) * iy + sy) * ix;
            const at = (z * oy + y) * ox;
            for (let x = 0; x < ox; x++) {
              const sx = x * stride[2] + dx;
              if (sx >= 0 && sx < ix) sums[at + x] += w * input[row + sx];
            }
          }
        }
      }
    }
    out.set(sums, o * sums.length);
  }
  return out;
}

function transposed(
  input: Float32Array,
  from: ValueShape,
  to: ValueShape,
  { stride }: TransposedConvNode,
  weight: Float32Array,
  bias: Float32Array | undefined,
): Float32Array {
  const [iz, iy, ix] = from.grid;
  const [oz, oy, ox] = to.grid;
  const out = new Float32Array(to.channels * voxelCount(to.grid));
  const taps = voxelCount(stride);
  for (let o = 0; o < to.channels; o++) {
    for (let z = 0; z < oz; z++) {
      for (let y = 0; y < oy; y++) {
        for (let x = 0; x < ox; x++) {
          const tap = ((z % stride[0]) * stride[1] + y % stride[1]) * stride[2] + x % stride[2];
          const source = (Math.floor(z / stride[0]) * iy + Math.floor(y / stride[1])) * ix + Math.floor(x / stride[2]);
          let sum = bias?.[o] ?? 0;
          for (let i = 0; i < from.channels; i++) {
            sum += input[i * iz * iy * ix + source] * weight[(i * to.channels + o) * taps + tap];
          }
          out[((o * oz + z) * oy + y) * ox + x] = sum;
        }
      }
    }
  }
  return out;
}

function normalise(
  input: Float32Array,
  { channels, grid }: ValueShape,
  eps: number,
  weight: Float32Array | undefined,
  bias: Float32Array | undefined,
  stored?: { readonly mean: Float32Array; readonly variance: Float32Array },
): Float32Array {
  const voxels = voxelCount(grid);
  const out = new Float32Array(input.length);
  for (let c = 0; c < channels; c++) {
    const plane = input.subarray(c * voxels, (c + 1) * voxels);
    const mean = stored ? stored.mean[c] : plane.reduce((sum, v) => sum + v, 0) / voxels;
    const variance = stored ? stored.variance[c] : plane.reduce((sum, v) => sum + (v - mean) ** 2, 0) / voxels;
    const scale = (weight?.[c] ?? 1) / Math.sqrt(variance + eps);
    const shift = (bias?.[c] ?? 0) - mean * scale;
    for (let i = 0; i < voxels; i++) out[c * voxels + i] = plane[i] * scale + shift;
  }
  return out;
}

function averagePool(input: Float32Array, from: ValueShape, to: ValueShape, stride: Vec3): Float32Array {
  const [iz, iy, ix] = from.grid;
  const [oz, oy, ox] = to.grid;
  const out = new Float32Array(to.channels * voxelCount(to.grid));
  for (let c = 0; c < to.channels; c++) {
    for (let at = 0; at < voxelCount(to.grid); at++) {
      const [z, y, x] = [Math.floor(at / (oy * ox)), Math.floor(at / ox) % oy, at % ox];
      let sum = 0;
      for (let dz = 0; dz < stride[0]; dz++) {
        for (let dy = 0; dy < stride[1]; dy++) {
          for (let dx = 0; dx < stride[2]; dx++) {
            sum += input[((c * iz + z * stride[0] + dz) * iy + y * stride[1] + dy) * ix + x * stride[2] + dx];
          }
        }
      }
      out[(c * oz) * oy * ox + at] = sum / voxelCount(stride);
    }
  }
  return out;
}
