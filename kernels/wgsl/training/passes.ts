/** Gradients of what has no parameters, on a GPU. */
import { pooledGrid } from "../../operators/elementwise/passes.ts";
import { type GradientPassOf, poolBackwardCost, type PoolBackwardOf } from "../../operators/training/passes.ts";
import { voxelCount } from "../../../core/base/shape.ts";
import type { ConvLimits } from "../conv/problem.ts";
import { cutGroups } from "../conv/touched.ts";
import { cutRanges, type ThreadRange, walkedSegment } from "../emit/ranges.ts";
import { dispatchOf, f32Literal, kernelHeader, threadKernel, threadMain } from "../emit/thread_kernel.ts";
import { SCALAR_BYTES, type WgslOperator } from "../kernel.ts";
import { wgsl } from "../emit/template.ts";
import { blocksOf, elementBytes, type TensorRange, voxelView, voxelWalk } from "./tensors.ts";

export type GradientPass = GradientPassOf<TensorRange>;

export interface PoolBackward extends PoolBackwardOf<TensorRange> {
  readonly limits: ConvLimits;
}

const at = ({ channelStride, channelOffset }: TensorRange) =>
  `voxel * ${channelStride / 4}u + ${channelOffset / 4}u + block`;

/** A thread: four channels of a voxel. */
export function planGradientPass(spec: GradientPass): WgslOperator {
  const { source, target, sign, accumulate } = spec;
  const blocks = blocksOf(target);
  const inPlace = source.layout.slot === target.layout.slot;
  const tensors = { ...(!inPlace && { source }), ...(sign && { sign }), target };
  const walks = Object.entries(tensors).map(([name, tensor]) => ({ name, tensor, walk: voxelWalk(tensor, blocks) }));
  const threads = spec.batch * spec.voxels * blocks;
  const value = inPlace ? `load_target(${at(source)})` : `load_source(${at(source)})`;
  const dispatches = cutRanges(threads, walks.map(({ walk }) => walk)).map((range) => {
    const voxels = [Math.floor(range.start / blocks), Math.floor((range.end - 1) / blocks)] as const;
    const views = walks.map(({ name, tensor, walk }) => ({
      ...voxelView(name, tensor, name === "target" ? "read_write" as const : "read" as const, voxels),
      segments: walkedSegment(walk, range),
    }));
    const text = wgsl`
${threadMain("thread")}
  let voxel = thread / ${blocks}u;
  let block = thread % ${blocks}u;
  var value = ${value};
  ${
      sign && spec.slope !== 1
        ? `value *= select(vec4f(${f32Literal(spec.slope)}), vec4f(1.0), load_sign(${at(sign)}) > vec4f(0.0));`
        : ""
    }
  store_target(${at(target)}, value${accumulate ? ` + load_target(${at(target)})` : ""});
}
`;
    return threadKernel("gradient pass", views, range, text);
  });
  const bytes = Object.values(tensors).reduce((sum, tensor) => sum + elementBytes(tensor), elementBytes(target));
  return { algorithm: "gradient pass", dispatches, temporaries: {}, flops: threads * 4, bytes: threads * bytes };
}

/** A workgroup: voxels of a row. */
export function planPoolBackward(spec: PoolBackward): WgslOperator {
  const { batch, grid, stride, outputGradient, inputGradient, accumulate } = spec;
  const blocks = blocksOf(inputGradient);
  const [outZ, outY, outX] = pooledGrid(grid, stride);
  const rows = batch * grid[0] * grid[1];
  /** The row of the output that a row of the input is in, or the last one before it. */
  const rowOf = (row: number) => {
    const [y, plane] = [row % grid[1], Math.floor(row / grid[1])];
    const [z, sample] = [plane % grid[0], Math.floor(plane / grid[0])];
    return (sample * outZ + Math.min(outZ - 1, Math.floor(z / stride[0]))) * outY +
      Math.min(outY - 1, Math.floor(y / stride[1]));
  };
  const viewsOf = ({ start, end }: ThreadRange) => {
    const sources = start % grid[1] === 0 || end - start > 1
      ? [rowOf(start - start % grid[1]), rowOf(end - 1 - (end - 1) % grid[1] + grid[1] - 1)]
      : [rowOf(start), rowOf(start)];
    return [
      voxelView("source", outputGradient, "read", [sources[0] * outX, (sources[1] + 1) * outX - 1]),
      voxelView("target", inputGradient, "read_write", [start * grid[2], end * grid[2] - 1]),
    ];
  };
  const parts = cutGroups("average pool gradient", { start: 0, end: rows }, grid[1], spec.limits, viewsOf);
  const dispatches = parts.map(({ range, views }) => {
    const header = kernelHeader(views, range);
    const code = wgsl`
${header.text}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let thread = group.x * 64u + lane;
  if (thread >= ${grid[2] * blocks}u) { return; }
  let x = thread / ${blocks}u;
  let block = thread % ${blocks}u;
  let row = p.start + group.y;
  let y = row % ${grid[1]}u / ${stride[1]}u;
  let plane = row / ${grid[1]}u;
  let z = plane % ${grid[0]}u / ${stride[0]}u;
  var value = vec4f(0.0);
  if (z < ${outZ}u && y < ${outY}u && x / ${stride[2]}u < ${outX}u) {
    let voxel = ((plane / ${grid[0]}u * ${outZ}u + z) * ${outY}u + y) * ${outX}u + x / ${stride[2]}u;
    value = load_source(${at(outputGradient)}) * ${f32Literal(1 / voxelCount(stride))};
  }
  let voxel = row * ${grid[2]}u + x;
  store_target(${at(inputGradient)}, value${accumulate ? ` + load_target(${at(inputGradient)})` : ""});
}
`;
    const workgroups = [Math.ceil(grid[2] * blocks / 64), range.end - range.start, 1] as const;
    return dispatchOf("average pool gradient", header, workgroups, code);
  });
  const cost = poolBackwardCost(spec, SCALAR_BYTES[inputGradient.layout.type]);
  return { algorithm: "average pool backward", dispatches, temporaries: {}, ...cost };
}
