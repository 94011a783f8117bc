/** The residual sum: out = leaky(a' + b'), the operands' norms applied on load. */
import { checkResidualAdd, residualAddCost, type ResidualAddOf } from "../../operators/elementwise/passes.ts";
import { voxelCount } from "../../../core/base/shape.ts";
import { elementOf, elementText, normaliseText, normViews } from "./operand.ts";
import { paddedChannels } from "../../operators/tensor.ts";
import { activationView } from "../emit/views.ts";
import { cutRanges, type Walk, walkedSegment } from "../emit/ranges.ts";
import { f32Literal, threadKernel, threadMain } from "../emit/thread_kernel.ts";
import { SCALAR_BYTES, type WgslOperand, type WgslOperator, type WgslTarget } from "../kernel.ts";

export type ResidualAdd = ResidualAddOf<WgslOperand, WgslTarget>;

/**
 * A thread adds four channels of a voxel, neighbouring threads neighbouring elements: two reads and a write of 16 bytes each, as fast as
 * memory is. All three are walked in order, so every dispatch binds one segment of each.
 */
export function planResidualAdd(spec: ResidualAdd): WgslOperator {
  const { a, b, target } = spec;
  checkResidualAdd(spec);
  const blocks = paddedChannels(a) / 4;
  const voxels = voxelCount(spec.grid);
  const threads = spec.batch * voxels * blocks;
  const walk = (tensor: WgslOperand | WgslTarget): Walk => ({
    layout: tensor.layout,
    elementOf: (thread) => elementOf(tensor, Math.floor(thread / blocks), thread % blocks),
  });
  const walks = { a: walk(a), b: walk(b), sum: walk(target) };
  const dispatches = cutRanges(threads, Object.values(walks)).map((range) => {
    const views = [
      activationView("a", a.layout, "read", walkedSegment(walks.a, range)),
      activationView("b", b.layout, "read", walkedSegment(walks.b, range)),
      activationView("sum", target.layout, "read_write", walkedSegment(walks.sum, range)),
      ...normViews("a", a),
      ...normViews("b", b),
    ];
    const text = `${normaliseText("a", a)}

${normaliseText("b", b)}

${threadMain("thread")}
  let voxel = thread / ${blocks}u;
  let block = thread % ${blocks}u;
  let sample = voxel / ${voxels}u;
  let a = normalise_a(load_a(${elementText(a, "voxel", "block")}), sample, block);
  let b = normalise_b(load_b(${elementText(b, "voxel", "block")}), sample, block);
  let sum = a + b;
  store_sum(${elementText(target, "voxel", "block")}, max(sum, sum * ${f32Literal(spec.slope)}));
}
`;
    return threadKernel("residual sum", views, range, text);
  });
  const cost = residualAddCost(spec, {
    read: [SCALAR_BYTES[a.layout.type], SCALAR_BYTES[b.layout.type]],
    written: SCALAR_BYTES[target.layout.type],
  });
  return { algorithm: "residual sum", dispatches, temporaries: {}, ...cost };
}
