/** Average pooling, the input's norm applied on load. */
import {
  averagePoolCost,
  type AveragePoolOf,
  checkAveragePool,
  pooledGrid,
} from "../../operators/elementwise/passes.ts";
import { voxelCount } from "../../../core/base/shape.ts";
import { elementOf, elementText, normaliseText, normViews } from "./operand.ts";
import { paddedChannels } from "../../operators/tensor.ts";
import { activationView, type ArrayView, touchedSegments } from "../emit/views.ts";
import { cutToFit, type ThreadRange, type Walk, walkedSegment } from "../emit/ranges.ts";
import { f32Literal, threadKernel, threadMain } from "../emit/thread_kernel.ts";
import { SCALAR_BYTES, type WgslOperand, type WgslOperator, type WgslTarget } from "../kernel.ts";

export type AveragePool = AveragePoolOf<WgslOperand, WgslTarget>;

/**
 * A thread makes four channels of an output voxel, its window unrolled; windows do not overlap, so every input is read once, neighbouring
 * threads reading neighbouring channels and then neighbouring windows.
 */
export function planAveragePool(spec: AveragePool): WgslOperator {
  const { batch, grid, stride, input, target } = spec;
  checkAveragePool(spec);
  const blocks = paddedChannels(input) / 4;
  const [outZ, outY, outX] = pooledGrid(grid, stride);
  const threads = batch * outZ * outY * outX * blocks;
  const out: Walk = {
    layout: target.layout,
    elementOf: (thread) => elementOf(target, Math.floor(thread / blocks), thread % blocks),
  };
  /** First input voxel of the window of an output voxel, both counted over the batch. */
  const cornerOf = (voxel: number) => {
    const [x, row] = [voxel % outX, Math.floor(voxel / outX)];
    const [y, plane] = [row % outY, Math.floor(row / outY)];
    const [z, sample] = [plane % outZ, Math.floor(plane / outZ)];
    return ((sample * grid[0] + z * stride[0]) * grid[1] + y * stride[1]) * grid[2] + x * stride[2];
  };
  const lastOfWindow = ((stride[0] - 1) * grid[1] + stride[1] - 1) * grid[2] + stride[2] - 1;
  const viewsOf = (range: ThreadRange): ArrayView[] => {
    const first = elementOf(input, cornerOf(Math.floor(range.start / blocks)), 0);
    const last = elementOf(input, cornerOf(Math.floor((range.end - 1) / blocks)) + lastOfWindow, blocks - 1);
    return [
      activationView("input", input.layout, "read", touchedSegments(input.layout, [[first, last]])),
      activationView("mean", target.layout, "read_write", walkedSegment(out, range)),
      ...normViews("input", input),
    ];
  };
  const window = Array.from({ length: voxelCount(stride) }, (_, i) => {
    const z = Math.floor(i / (stride[1] * stride[2]));
    const y = Math.floor(i / stride[2]) % stride[1];
    return (z * grid[1] + y) * grid[2] + i % stride[2];
  });
  const ranges = cutToFit(threads, [out], [outX * blocks, blocks], viewsOf);
  const dispatches = ranges.map((range) => {
    const text = `${normaliseText("input", input)}

${threadMain("thread")}
  let block = thread % ${blocks}u;
  let voxel = thread / ${blocks}u;
  let row = voxel / ${outX}u;
  let plane = row / ${outY}u;
  let sample = plane / ${outZ}u;
  let z = sample * ${grid[0]}u + plane % ${outZ}u * ${stride[0]}u;
  let y = z * ${grid[1]}u + row % ${outY}u * ${stride[1]}u;
  let corner = y * ${grid[2]}u + voxel % ${outX}u * ${stride[2]}u;
  var sum = vec4f(0.0);
${
      window.map((offset) =>
        `  sum += normalise_input(load_input(${elementText(input, `(corner + ${offset}u)`, "block")}), sample, block);`
      ).join("\n")
    }
  store_mean(${elementText(target, "voxel", "block")}, sum * ${f32Literal(1 / voxelCount(stride))});
}
`;
    return threadKernel("average pool", viewsOf(range), range, text);
  });
  const cost = averagePoolCost(spec, {
    read: [SCALAR_BYTES[input.layout.type]],
    written: SCALAR_BYTES[target.layout.type],
  });
  return { algorithm: "average pool", dispatches, temporaries: {}, ...cost };
}
