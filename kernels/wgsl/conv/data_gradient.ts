/**
 * The data gradient of a convolution: dL/dv of what it read from dL/dy of what it wrote. It is a convolution of its own, with channels the
 * other way round, and runs in the forward pass' kernels: flipped taps for stride 1, a strided convolution for a transposed one, and for
 * stride 2 a Winograd form that makes both phases of the finer grid of one box of dL/dy (GRADIENT_SCHEMES). What is left, kernels that
 * nnU-Net does not plan, is a direct kernel that walks the input and asks which outputs each voxel reached.
 */
import { padToFour, voxelCount } from "../../../core/base/shape.ts";
import type { ArrayView } from "../emit/views.ts";
import { dispatchOf, kernelHeader } from "../emit/thread_kernel.ts";
import type { ThreadRange } from "../emit/ranges.ts";
import type { WgslDispatch, WgslOperator } from "../kernel.ts";
import { unroll, wgsl } from "../emit/template.ts";
import { elementBytes, type TensorRange } from "../training/tensors.ts";
import { packedLayout, type PackWeights, planPackWeights } from "./pack_kernels.ts";
import { planTrainedConv, type WantedCandidate } from "./plan_conv.ts";
import { type ConvLimits, type WgslConvProblem } from "./problem.ts";
import { channelLayout } from "../../operators/tensor.ts";
import {
  type DataGradientProblemOf,
  gradientFlops,
  gradientOutputGrid,
  gradientPad,
} from "../../operators/conv/gradient_problem.ts";
import { productOf, sum } from "../../operators/arithmetic.ts";
import { BindingLimitError, cutGroups, tensorView, weightView } from "./touched.ts";

export interface DataGradientProblem extends DataGradientProblemOf<TensorRange, Omit<TensorRange, "channels">> {
  /** Channels of each part of the input. */
  readonly inputParts: readonly number[];
  readonly packedSlot: string;
  readonly limits: ConvLimits;
}

/** A data gradient as dispatches, and what its packed weights need. */
export interface DataGradientOperator extends WgslOperator {
  readonly seconds?: number;
  readonly packed: { readonly bytes: number; readonly segmentBytes: number };
}

/** The gradient as a convolution of dL/dy; undefined where it is none. */
export function dataGradientConv(problem: DataGradientProblem): WgslConvProblem | undefined {
  const { outputGradient, inputGradient, inputParts, transposed, limits, kernel, stride } = problem;
  const isOdd = kernel.every((n) => n % 2 === 1);
  const isStrided = stride.some((n) => n > 1);
  // A convolution pads by (kernel - 1) / 2: nothing up to two taps, as transposed ones want it.
  if (transposed ? stride.some((n) => n > 2) : !isOdd || stride.some((n) => n > 2)) return undefined;
  const outputChannels = channelLayout(inputParts).padded;
  const { channels, ...input } = outputGradient;
  return {
    name: `data gradient of ${problem.name}`,
    step: problem.step,
    batch: problem.batch,
    inputGrid: gradientOutputGrid(problem),
    kernel,
    stride,
    ...(!transposed && isStrided && { gradientGrid: problem.inputGrid }),
    input: { ...input, parts: [channels] },
    output: { ...inputGradient, channels: outputChannels },
    outputChannels,
    weightSlot: problem.packedSlot,
    statistics: false,
    accumulate: problem.accumulate,
    limits,
  };
}

/** @throws RangeError if nothing fits the device, naming the problem. */
export function planDataGradient(problem: DataGradientProblem, wanted?: WantedCandidate): DataGradientOperator {
  const conv = dataGradientConv(problem);
  if (!conv) return direct(problem);
  try {
    const operator = planTrainedConv(conv, wanted);
    const packing = planPackWeights({ ...packingOf(problem, !problem.transposed), packing: operator.packing });
    return {
      ...operator,
      dispatches: [...packing, ...operator.dispatches],
      packed: { bytes: operator.weightBytes, segmentBytes: operator.weightSegmentBytes },
    };
  } catch (error) {
    if (error instanceof BindingLimitError) return direct(problem);
    throw error;
  }
}

/** How the weights are packed for either way. */
function packingOf(problem: DataGradientProblem, flipped: boolean): Omit<PackWeights, "packing"> {
  const { kernel, outputGradient: { channels }, inputParts, transposed } = problem;
  const [inputs, taps] = [sum(inputParts), productOf(kernel)];
  // What this reads are the outputs of the convolution, what it writes its inputs.
  const [outputStep, inputStep] = transposed ? [channels * taps, taps] : [taps, inputs * taps];
  return {
    name: problem.name,
    sourceSlot: problem.weightSlot,
    outputStep,
    inputStep,
    kernel,
    flipped,
    inputParts: [channels],
    outputParts: inputParts,
    targetSlot: problem.packedSlot,
    limits: problem.limits,
  };
}

/** Voxels along x of a thread. */
const VOXELS = 4;
const LANES = 64;

/**
 * A thread: four channels of four voxels of a row. They are a stride apart, so that the same taps reach them; their outputs are neighbours
 * and weights are read once for all four.
 */
function direct(problem: DataGradientProblem): DataGradientOperator {
  const { inputGrid, kernel, stride, transposed, outputGradient, inputGradient, limits, accumulate } = problem;
  const spec: PackWeights = {
    ...packingOf(problem, false),
    packing: {
      kind: "direct",
      perTap: padToFour(outputGradient.channels),
      rows: productOf(kernel) * padToFour(outputGradient.channels),
    },
  };
  const layout = packedLayout(spec);
  const outputGrid = gradientOutputGrid(problem);
  const columns = channelLayout(problem.inputParts).padded / 4;
  const sources = padToFour(outputGradient.channels) / 4;
  const apart = transposed ? 1 : stride[2];
  const perRow = apart * Math.ceil(inputGrid[2] / (apart * VOXELS)) * columns;
  const rows = problem.batch * inputGrid[0] * inputGrid[1];
  const pad = gradientPad(problem);
  const whole = { channelStride: inputGradient.channelStride, channelOffset: inputGradient.channelOffset };
  const target = { ...inputGradient, channels: columns * 4 };
  const viewsOf = ({ start, end }: ThreadRange): ArrayView[] => {
    const [first, last] = [start, end - 1].map((row) => Math.floor(row / inputGrid[1]));
    const samples = [Math.floor(first / inputGrid[0]), Math.floor(last / inputGrid[0])] as const;
    const planes = samples[0] === samples[1]
      ? [first % inputGrid[0], last % inputGrid[0]] as const
      : [0, inputGrid[0] - 1] as const;
    const written = first === last
      ? [start % inputGrid[1], (end - 1) % inputGrid[1]] as const
      : [0, inputGrid[1] - 1] as const;
    const reach = (axis: 0 | 1, [a, b]: readonly [number, number]): readonly [number, number] =>
      transposed
        ? [a * stride[axis], (b + 1) * stride[axis] - 1]
        : [Math.floor((a + pad[axis] - kernel[axis] + 1) / stride[axis]), Math.floor((b + pad[axis]) / stride[axis])];
    const read = { samples, planes: reach(0, planes), rows: reach(1, written) };
    return [
      tensorView("gradient", outputGradient, "read", outputGrid, read),
      weightView(layout, 0, layout.length - 1),
      tensorView("target", target, "read_write", inputGrid, { samples, planes, rows: written }),
    ];
  };
  /** `name`: the output along an axis that a tap brings to the input voxel `at`; `continue` where there is none. */
  const along = (name: string, axis: 0 | 1, tap: string, at: string) =>
    transposed ? `let ${name} = ${at} * ${stride[axis]} + ${tap};` : wgsl`
let ${name}_scaled = ${at} + ${pad[axis]} - ${tap};
if (${name}_scaled < 0 || ${name}_scaled % ${stride[axis]} != 0) { continue; }
let ${name} = ${name}_scaled / ${stride[axis]};
if (${name} >= ${outputGrid[axis]}) { continue; }`;
  const ox = (m: number) => transposed ? `(x0 + ${m}) * ${stride[2]} + tap_x` : `base + ${m}`;
  const code = (header: string) =>
    wgsl`
${header}

@compute @workgroup_size(${LANES})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let thread = group.x * ${LANES}u + lane;
  if (thread >= ${perRow}u) { return; }
  let block = thread % ${columns}u;
  let place = thread / ${columns}u;
  let x0 = i32(place / ${apart}u * ${apart * VOXELS}u + place % ${apart}u);
  let row = p.start + group.y;
  let y = i32(row % ${inputGrid[1]}u);
  let z = i32(row / ${inputGrid[1]}u % ${inputGrid[0]}u);
  let sample = row / ${inputGrid[1] * inputGrid[0]}u;
  ${unroll(VOXELS, (m) => `var sum_${m} = vec4f(0.0);`)}
  for (var tap_z = 0; tap_z < ${kernel[0]}; tap_z++) {
    ${along("oz", 0, "tap_z", "z")}
    for (var tap_y = 0; tap_y < ${kernel[1]}; tap_y++) {
      ${along("oy", 1, "tap_y", "y")}
      let first = ((sample * ${outputGrid[0]}u + u32(oz)) * ${outputGrid[1]}u + u32(oy)) * ${outputGrid[2]}u;
      for (var tap_x = 0; tap_x < ${kernel[2]}; tap_x++) {
        ${
      transposed ? "" : wgsl`
let scaled = x0 + ${pad[2]} - tap_x;
if (scaled % ${stride[2]} != 0) { continue; }
let base = scaled / ${stride[2]};`
    }
        let tap = u32((tap_z * ${kernel[1]} + tap_y) * ${kernel[2]} + tap_x);
        ${
      unroll(VOXELS, (m) => `let at_${m} = ${ox(m)}; let inside_${m} = at_${m} >= 0 && at_${m} < ${outputGrid[2]};`)
    }
        for (var source = 0u; source < ${sources}u; source++) {
          let k = (tap * ${sources}u + source) * ${4 * columns}u + block;
          ${unroll(4, (e) => `let w_${e} = load_weights(k + ${e * columns}u);`)}
          ${
      unroll(VOXELS, (m) =>
        `if (inside_${m}) { let g = load_gradient((first + u32(at_${m})) * ${outputGradient.channelStride / 4}u + ` +
        `${outputGradient.channelOffset / 4}u + source); ` +
        `sum_${m} += w_0 * g.x + w_1 * g.y + w_2 * g.z + w_3 * g.w; }`)
    }
        }
      }
    }
  }
  ${
      unroll(VOXELS, (m) => {
        const x = `(x0 + ${m * apart})`;
        const at = `(row * ${inputGrid[2]}u + u32${x}) * ${whole.channelStride / 4}u + ${
          whole.channelOffset / 4
        }u + block`;
        const value = accumulate ? `sum_${m} + load_target(at)` : `sum_${m}`;
        return `if (${x} < ${inputGrid[2]}) { let at = ${at}; store_target(at, ${value}); }`;
      })
    }
}
`;
  const parts = cutGroups(problem.name, { start: 0, end: rows }, inputGrid[1], limits, viewsOf);
  const dispatches = parts.map(({ range, views }): WgslDispatch => {
    const header = kernelHeader(views, range);
    const workgroups = [Math.ceil(perRow / LANES), range.end - range.start, 1] as const;
    return dispatchOf(`data gradient ${kernel.join("x")}`, header, workgroups, code(header.text));
  });
  return {
    algorithm: "direct data gradient",
    dispatches: [...planPackWeights(spec), ...dispatches],
    temporaries: {},
    flops: gradientFlops(problem, sum(problem.inputParts), outputGradient.channels),
    bytes: problem.batch * (voxelCount(outputGrid) * sources * elementBytes(outputGradient) +
      voxelCount(inputGrid) * columns * elementBytes(target)),
    packed: { bytes: layout.length * 16, segmentBytes: layout.segmentLength * 16 },
  };
}
