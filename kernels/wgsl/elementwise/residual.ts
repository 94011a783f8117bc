/** The residual sum: out = leaky(a' + b'), the operands' norms applied on load. */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { elementOf, elementText, normaliseText, normViews, paddedChannels } from "./operand.ts";
import { cutRanges, f32Literal, kernelHeader, threadDispatch, vec4Of, type Walk, walkedSegment } from "./segments.ts";
import type { WgslOperand, WgslOperator, WgslTarget } from "../kernel.ts";

export interface ResidualAdd {
  readonly batch: number;
  readonly grid: Vec3;
  readonly a: WgslOperand;
  readonly b: WgslOperand;
  /** Its statistics slot is not written: no norm follows a residual sum. */
  readonly target: WgslTarget;
  /** Slope of the leaky ReLU applied to the sum; 1 where none is. */
  readonly slope: number;
}

/**
 * out = leaky(a' + b') over (batch, z, y, x, channels), a' and b' being the operands with their norms applied; padding lanes stay zero.
 * A thread adds four channels of a voxel, neighbouring threads neighbouring elements: two reads and a write of 16 bytes each, as fast as
 * memory is. All three are walked in order, so every dispatch binds one segment of each.
 */
export function planResidualAdd(spec: ResidualAdd): WgslOperator {
  const { a, b, target } = spec;
  const padded = paddedChannels(a);
  if (padded !== paddedChannels(b) || padded !== padToFour(target.channels)) {
    throw new RangeError(
      `Describing a residual sum: ${a.parts.join("+")} and ${b.parts.join("+")} channels into ${target.channels}`,
    );
  }
  const blocks = padded / 4;
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

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let thread = p.start + id.x;
  if (thread >= p.end) { return; }
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
  const bytesOf = (tensor: WgslOperand | WgslTarget) => threads * (tensor.layout.type === "f16" ? 8 : 16);
  return {
    algorithm: "residual sum",
    dispatches,
    temporaries: {},
    flops: threads * 4,
    bytes: bytesOf(a) + bytesOf(b) + bytesOf(target),
  };
}

function stored({ layout }: WgslOperand | WgslTarget) {
  return { slot: layout.slot, element: vec4Of(layout) };
}
