/**
 * SGD on a GPU, over whole ranges of parameters: parameters, gradients and momentum lie alike in three buffers. What changes from step to
 * step is in the options.
 */
import { gradientNormCost, type ParameterSlots, sgdCost } from "../../operators/training/optimizer.ts";
import { dispatchOf, kernelHeader, threadKernel, threadMain, u32 } from "../emit/thread_kernel.ts";
import { MAX_THREADS } from "../emit/ranges.ts";
import { wholeView } from "../emit/views.ts";
import type { WgslDispatch, WgslOperator } from "../kernel.ts";
import { meetHalves, wgsl } from "../emit/template.ts";

/** Order of the options' floats. */
export const OPTION = {
  lossScale: 0,
  learningRate: 1,
  momentum: 2,
  weightDecay: 3,
  nesterov: 4,
  clipNorm: 5,
} as const;
export const OPTION_FLOATS = 8;

/** A range of parameters; floats are a multiple of four. */
export interface GradientRange {
  readonly gradientSlot: string;
  readonly floats: number;
}

export type SgdRange = GradientRange & ParameterSlots;

export interface GradientNorm {
  readonly ranges: readonly GradientRange[];
  readonly optionsSlot: string;
  /** f32: the sum of the gradients' squares, without the loss scale. */
  readonly resultSlot: string;
  readonly resultIndex: number;
}

/** vec4 of a workgroup. */
const GROUP_VECTORS = 1 << 12;
const LANES = 256;
const PARTS = "gradient norm parts";

/** Sum of squares of all the ranges: workgroups' parts, halves meeting in fixed order, then all parts likewise. */
export function planGradientNorm(spec: GradientNorm): WgslOperator {
  let parts = 0;
  const dispatches = spec.ranges.map(({ gradientSlot, floats }): WgslDispatch => {
    const groups = Math.ceil(floats / 4 / GROUP_VECTORS);
    const header = kernelHeader(
      [
        wholeView("gradients", gradientSlot, "vec4<f32>", "read"),
        wholeView("options", spec.optionsSlot, "f32", "read"),
        wholeView("parts", PARTS, "f32", "read_write"),
      ],
      { start: 0, end: floats / 4 },
      { first_part: u32(parts) },
    );
    parts += groups;
    const code = wgsl`
${header.text}

${sumText()}

@compute @workgroup_size(${LANES})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let scale = 1.0 / load_options(${OPTION.lossScale}u);
  let end = min(p.end, (group.x + 1u) * ${GROUP_VECTORS}u);
  var sum = 0.0;
  for (var i = group.x * ${GROUP_VECTORS}u + lane; i < end; i += ${LANES}u) {
    let value = load_gradients(i) * scale;
    sum += dot(value, value);
  }
  let all = sum_of(sum, lane);
  if (lane == 0u) { store_parts(p.first_part + group.x, all); }
}
`;
    return dispatchOf("gradient squares", header, [groups, 1, 1], code);
  });
  const header = kernelHeader([
    wholeView("parts", PARTS, "f32", "read"),
    wholeView("results", spec.resultSlot, "f32", "read_write"),
  ], { start: 0, end: parts });
  const code = wgsl`
${header.text}

${sumText()}

@compute @workgroup_size(${LANES})
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < p.end; i += ${LANES}u) { sum += load_parts(i); }
  let all = sum_of(sum, lane);
  if (lane == 0u) { store_results(${spec.resultIndex}u, all); }
}
`;
  const floats = spec.ranges.reduce((sum, range) => sum + range.floats, 0);
  return {
    algorithm: "gradient norm",
    dispatches: [...dispatches, dispatchOf("gradient norm", header, [1, 1, 1], code)],
    temporaries: { [PARTS]: Math.max(16, parts * 4) },
    ...gradientNormCost(floats),
  };
}

/** `sum_of(value, lane)`: the sum of a workgroup's values, known to lane 0. */
function sumText(): string {
  return wgsl`
var<workgroup> halves: array<f32, ${LANES}>;

fn sum_of(value: f32, lane: u32) -> f32 {
  halves[lane] = value;
  workgroupBarrier();
  ${meetHalves(LANES)}
  return halves[0];
}`;
}

export function planSgdUpdate(
  spec: {
    readonly ranges: readonly SgdRange[];
    readonly optionsSlot: string;
    readonly resultSlot: string;
    readonly resultIndex: number;
  },
): WgslOperator {
  const option = (name: keyof typeof OPTION) => `load_options(${OPTION[name]}u)`;
  const dispatches = spec.ranges.flatMap((range) => {
    const vectors = range.floats / 4;
    return Array.from({ length: Math.ceil(vectors / MAX_THREADS) }, (_, i): WgslDispatch => {
      const threads = { start: i * MAX_THREADS, end: Math.min(vectors, (i + 1) * MAX_THREADS) };
      const views = [
        wholeView("parameters", range.parameterSlot, "vec4<f32>", "read_write"),
        wholeView("gradients", range.gradientSlot, "vec4<f32>", "read"),
        wholeView("momentum", range.momentumSlot, "vec4<f32>", "read_write"),
        wholeView("options", spec.optionsSlot, "f32", "read"),
        wholeView("results", spec.resultSlot, "u32", "read"),
      ];
      const text = wgsl`
${threadMain("i")}
  // By its bits: a compiler may take floats to be finite.
  let squares = load_results(${spec.resultIndex}u);
  if ((squares & 0x7f800000u) == 0x7f800000u) { return; }
  let clip = min(1.0, ${option("clipNorm")} / (sqrt(bitcast<f32>(squares)) + 1.0e-6)) / ${option("lossScale")};
  let parameter = load_parameters(i);
  let gradient = fma(parameter, vec4f(${option("weightDecay")}), load_gradients(i) * clip);
  let factor = ${option("momentum")};
  let velocity = fma(load_momentum(i), vec4f(factor), gradient);
  store_momentum(i, velocity);
  let step = select(velocity, fma(velocity, vec4f(factor), gradient), ${option("nesterov")} > 0.0);
  store_parameters(i, fma(step, vec4f(-${option("learningRate")}), parameter));
}
`;
      return threadKernel("SGD", views, threads, text);
    });
  });
  const floats = spec.ranges.reduce((sum, range) => sum + range.floats, 0);
  return { algorithm: "SGD", dispatches, temporaries: {}, ...sgdCost(floats) };
}
