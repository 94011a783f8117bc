/** Adam on a GPU, which counts the steps: see kernels/operators/training/optimizer.ts. */
import type { AdamOptions } from "../../../core/graph/optimizer.ts";
import { adamCost, type AdamSlots } from "../../operators/training/optimizer.ts";
import { dispatchOf, f32Literal, kernelHeader, threadKernel } from "../emit/thread_kernel.ts";
import { MAX_THREADS, type ThreadRange } from "../emit/ranges.ts";
import { wholeView } from "../emit/views.ts";
import type { WgslDispatch, WgslOperator } from "../kernel.ts";
import { wgsl } from "../emit/template.ts";
import { type GradientRange, OPTION } from "./optimizer.ts";

export type AdamRange = GradientRange & AdamSlots;

export interface AdamUpdate extends Omit<AdamOptions, "kind" | "amsgrad"> {
  readonly ranges: readonly AdamRange[];
  readonly optionsSlot: string;
  /** f32: the sum of the gradients' squares. */
  readonly resultSlot: string;
  readonly resultIndex: number;
  /** f32 [8]: steps so far; the others are overwritten. */
  readonly stateSlot: string;
}

/** Order of the state's floats. */
const STATE = { steps: 0, runs: 1, clip: 2, rate: 3, correction: 4 } as const;

const option = (name: keyof typeof OPTION) => `load_options(${OPTION[name]}u)`;

export function planAdamUpdate(spec: AdamUpdate): WgslOperator {
  const dispatches = spec.ranges.flatMap((range) => {
    const vectors = range.floats / 4;
    return Array.from({ length: Math.ceil(vectors / MAX_THREADS) }, (_, i) => {
      return updateDispatch(spec, range, { start: i * MAX_THREADS, end: Math.min(vectors, (i + 1) * MAX_THREADS) });
    });
  });
  const floats = spec.ranges.reduce((sum, range) => sum + range.floats, 0);
  return {
    algorithm: "Adam",
    dispatches: [factorsDispatch(spec), ...dispatches],
    temporaries: {},
    ...adamCost(floats),
  };
}

/** What all parameters share: one thread. */
function factorsDispatch({ betas, ...spec }: AdamUpdate): WgslDispatch {
  const header = kernelHeader([
    wholeView("results", spec.resultSlot, "u32", "read"),
    wholeView("options", spec.optionsSlot, "f32", "read"),
    wholeView("state", spec.stateSlot, "f32", "read_write"),
  ], { start: 0, end: 1 });
  const code = wgsl`
${header.text}

// For x <= 0; near 0 the difference would leave few digits.
fn one_minus_exp(x: f32) -> f32 {
  let series = 1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0 * (1.0 + x / 6.0 * (1.0 + x / 7.0)))));
  return select(1.0 - exp(x), -x * series, x > -0.5);
}

@compute @workgroup_size(1)
fn main() {
  let squares = load_results(${spec.resultIndex}u);
  // By its bits: a compiler may take floats to be finite.
  if ((squares & 0x7f800000u) == 0x7f800000u) {
    store_state(${STATE.runs}u, 0.0);
    return;
  }
  let steps = load_state(${STATE.steps}u) + 1.0;
  let norm = sqrt(bitcast<f32>(squares)) + 1.0e-6;
  store_state(${STATE.steps}u, steps);
  store_state(${STATE.runs}u, 1.0);
  store_state(${STATE.clip}u, min(1.0, ${option("clipNorm")} / norm) / ${option("lossScale")});
  store_state(${STATE.rate}u, ${option("learningRate")} / one_minus_exp(steps * ${f32Literal(Math.log(betas[0]))}));
  store_state(${STATE.correction}u, 1.0 / sqrt(one_minus_exp(steps * ${f32Literal(Math.log(betas[1]))})));
}
`;
  return dispatchOf("Adam factors", header, [1, 1, 1], code);
}

function updateDispatch(spec: AdamUpdate, range: AdamRange, threads: ThreadRange): WgslDispatch {
  const { betas: [beta1, beta2] } = spec;
  const { largestSlot } = range;
  const views = [
    wholeView("parameters", range.parameterSlot, "vec4<f32>", "read_write"),
    wholeView("gradients", range.gradientSlot, "vec4<f32>", "read"),
    wholeView("momentum", range.momentumSlot, "vec4<f32>", "read_write"),
    wholeView("averages", range.averagesSlot, "vec4<f32>", "read_write"),
    ...(largestSlot === undefined ? [] : [wholeView("largest", largestSlot, "vec4<f32>", "read_write")]),
    wholeView("options", spec.optionsSlot, "f32", "read"),
    wholeView("state", spec.stateSlot, "f32", "read"),
  ];
  const decay = spec.decoupled
    ? `parameter *= fma(-${option("learningRate")}, ${option("weightDecay")}, 1.0);`
    : `gradient = fma(parameter, vec4f(${option("weightDecay")}), gradient);`;
  const text = wgsl`
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = p.start + id.x;
  if (i >= p.end || load_state(${STATE.runs}u) == 0.0) { return; }
  var parameter = load_parameters(i);
  var gradient = load_gradients(i) * load_state(${STATE.clip}u);
  ${decay}
  let before = load_momentum(i);
  let momentum = fma(gradient - before, vec4f(${f32Literal(1 - beta1)}), before);
  store_momentum(i, momentum);
  let average_before = load_averages(i);
  var average = fma(fma(gradient, gradient, -average_before), vec4f(${f32Literal(1 - beta2)}), average_before);
  store_averages(i, average);
  ${largestSlot === undefined ? "" : "average = max(average, load_largest(i));\nstore_largest(i, average);"}
  let denominator = fma(sqrt(average), vec4f(load_state(${STATE.correction}u)), vec4f(${f32Literal(spec.eps)}));
  store_parameters(i, fma(momentum / denominator, vec4f(-load_state(${STATE.rate}u)), parameter));
}
`;
  return threadKernel("Adam", views, threads, text);
}
