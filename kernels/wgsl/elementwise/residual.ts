/** The residual sum: out = leaky(a' + b'), the operands' norms applied on load. */
import { checkResidualAdd, residualAddCost, type ResidualAddOf } from "../../operators/elementwise/passes.ts";
import { voxelCount } from "../../../core/base/shape.ts";
import { elementOf, elementText, normaliseText, normViews } from "./operand.ts";
import { paddedChannels } from "../../operators/tensor.ts";
import {
  cutRanges,
  f32Literal,
  kernelHeader,
  threadDispatch,
  threadMain,
  vec4Of,
  type Walk,
  walkedSegment,
} from "./segments.ts";
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
    const header = kernelHeader([
      { name: "a", ...stored(a), access: "read", segments: walkedSegment(walks.a, range) },
      { name: "b", ...stored(b), access: "read", segments: walkedSegment(walks.b, range) },
      { name: "sum", ...stored(target), access: "read_write", segments: walkedSegment(walks.sum, range) },
      ...normViews("a", a),
      ...normViews("b", b),
    ], range);
    const code = `${header.text}

${normaliseText("a", a)}

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
    return threadDispatch("residual sum", header, range, code);
  });
  const cost = residualAddCost(spec, {
    read: [SCALAR_BYTES[a.layout.type], SCALAR_BYTES[b.layout.type]],
    written: SCALAR_BYTES[target.layout.type],
  });
  return { algorithm: "residual sum", dispatches, temporaries: {}, ...cost };
}

function stored({ layout }: WgslOperand | WgslTarget) {
  return { slot: layout.slot, element: vec4Of(layout) };
}
