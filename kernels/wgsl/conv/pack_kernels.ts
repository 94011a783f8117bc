/**
 * Packing of weights on the device: from torch's layout to what a convolution reads, as pack.ts does it on the host. The same kernels pack
 * a convolution's weights for its data gradient, which is a convolution with inputs and outputs exchanged and, where its taps look the
 * other way, with flipped taps.
 */
import { type Vec3 } from "../../../core/base/shape.ts";
import { type ArrayLayout, wholeView } from "../emit/views.ts";
import { f32Literal, threadKernel, threadMain, u32, type Uniform } from "../emit/thread_kernel.ts";
import { MAX_BINDINGS, MAX_THREADS } from "../emit/ranges.ts";
import type { WgslDispatch } from "../kernel.ts";
import { unroll, wgsl } from "../emit/template.ts";
import { type ConvLimits, type WeightPacking } from "./problem.ts";
import { channelLayout } from "../../operators/tensor.ts";
import { productOf } from "../../operators/arithmetic.ts";
import { BindingLimitError, weightLayout, weightView } from "./touched.ts";

export interface PackWeights {
  /** For errors. */
  readonly name: string;
  readonly packing: WeightPacking;
  /** The weight, f32 in torch's layout: an element is at output * outputStep + input * inputStep + tap. */
  readonly sourceSlot: string;
  readonly outputStep: number;
  readonly inputStep: number;
  readonly kernel: Vec3;
  /** True: taps in reverse order. */
  readonly flipped: boolean;
  /** f32 (outputs); absent: zeros. */
  readonly biasSlot?: string;
  /** What the convolution reads and writes, each part padded to four on its own. */
  readonly inputParts: readonly number[];
  readonly outputParts: readonly number[];
  readonly targetSlot: string;
  readonly limits: ConvLimits;
}

/** Elements (vec4) of a packing with so many padded output channels. */
function lengthOf({ packing, kernel, inputParts, outputParts }: PackWeights): number {
  const columns = channelLayout(outputParts).padded / 4;
  const { padded } = channelLayout(inputParts);
  switch (packing.kind) {
    case "direct":
      return (packing.rows + 1) * columns;
    case "transposed":
      return (padded * productOf(kernel) + 1) * columns;
    case "winograd":
      return (productOf(packing.schemes.map((s) => s.weight.length)) * padded + 1) * columns;
  }
}

/** Channels of each part. A tensor alone has a second part, which is empty, and so the kernel of a concatenation of two. */
function partsOf(name: string, parts: readonly number[]): Record<string, Uniform> {
  const count = Math.max(2, parts.length);
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`${name}_${i}`, u32(parts[i] ?? 0)]));
}

/** `<name>_of(position)`: the channel of a position in memory, or a number beyond all channels for padding. */
function realChannelText(name: string, parts: Readonly<Record<string, Uniform>>): string {
  const part = (channels: string) =>
    wgsl`
if (at < p.${channels}) { return channel + at; }
let ${channels}_padded = (p.${channels} + 3u) / 4u * 4u;
if (at < ${channels}_padded) { return NO_CHANNEL; }
at -= ${channels}_padded;
channel += p.${channels};`;
  return wgsl`
fn ${name}_of(position: u32) -> u32 {
  var at = position;
  var channel = 0u;
  ${Object.keys(parts).map(part)}
  return NO_CHANNEL;
}`;
}

/**
 * Dispatches that fill a convolution's weight slot. Shapes are uniforms: kernels are as few as there are forms of packing, not layers.
 * @throws BindingLimitError if the slot spans too many bindings
 */
export function planPackWeights(spec: PackWeights): WgslDispatch[] {
  const { packing, limits } = spec;
  const layout = weightLayout(spec.targetSlot, lengthOf(spec), limits);
  const columns = channelLayout(spec.outputParts).padded / 4;
  const { padded } = channelLayout(spec.inputParts);
  const body = packing.kind === "winograd" ? winogradBody(packing.schemes, padded) : plainBody(spec, packing, padded);
  const threads = (body.rows + 1) * columns;
  const target = { ...weightView(layout, 0, layout.length - 1), access: "read_write" } as const;
  const views = [
    wholeView("source", spec.sourceSlot, "f32", "read"),
    target,
    ...(spec.biasSlot === undefined ? [] : [wholeView("bias", spec.biasSlot, "f32", "read")]),
  ];
  if (target.segments.length + 2 > Math.min(limits.maxBindings, MAX_BINDINGS)) {
    throw new BindingLimitError(`Packing the weights of ${spec.name}: they span ${target.segments.length} bindings`);
  }
  const [inputs, outputs] = [partsOf("input", spec.inputParts), partsOf("output", spec.outputParts)];
  const uniforms = {
    columns: u32(columns),
    // Threads from here on pack the bias.
    bias_thread: u32(body.rows * columns),
    bias_at: u32(layout.length - columns),
    output_step: u32(spec.outputStep),
    input_step: u32(spec.inputStep),
    ...inputs,
    ...outputs,
    ...body.uniforms,
  };
  const text = `const NO_CHANNEL = 0xffffffffu;

${realChannelText("input", inputs)}

${realChannelText("output", outputs)}

${sourceText(spec)}

${body.functions}

${threadMain("thread")}
  if (thread >= p.bias_thread) {
    let column = thread - p.bias_thread;
    store_weights(p.bias_at + column, bias_of(column));
    return;
  }
${body.main}
}
`;
  const name = `weight packing ${packing.kind}`;
  return Array.from({ length: Math.ceil(threads / MAX_THREADS) }, (_, i) => {
    const range = { start: i * MAX_THREADS, end: Math.min(threads, (i + 1) * MAX_THREADS) };
    return threadKernel(name, views, range, text, uniforms);
  });
}

/**
 * `places_of(position, column)`: where the weights of four output channels begin, NO_CHANNEL for padding; `weights_at(places, tap)` and
 * `bias_of(column)`: four values, zeros for padding.
 */
function sourceText({ kernel, flipped, biasSlot }: PackWeights): string {
  const tap = flipped ? `${productOf(kernel) - 1}u - tap` : "tap";
  return wgsl`
fn outputs_of(column: u32) -> vec4u {
  return vec4u(${unroll(4, (i) => `output_of(column * 4u + ${i}u)`).join(", ")});
}

fn places_of(position: u32, column: u32) -> vec4u {
  let input = input_of(position);
  if (input == NO_CHANNEL) { return vec4u(NO_CHANNEL); }
  let outputs = outputs_of(column);
  let places = outputs * p.output_step + vec4u(input * p.input_step);
  return select(places, outputs, outputs == vec4u(NO_CHANNEL));
}

fn weights_at(places: vec4u, tap: u32) -> vec4f {
  var value = vec4f(0.0);
  ${unroll(4, (i) => `if (places[${i}] != NO_CHANNEL) { value[${i}] = load_source(places[${i}] + ${tap}); }`)}
  return value;
}

fn bias_of(column: u32) -> vec4f {
  let outputs = outputs_of(column);
  var value = vec4f(0.0);
  ${
    biasSlot === undefined
      ? ""
      : unroll(4, (i) => `if (outputs[${i}] != NO_CHANNEL) { value[${i}] = load_bias(outputs[${i}]); }`)
  }
  return value;
}`;
}

interface Body {
  /** Rows of output channels that threads make in front of the bias, a vec4 each. */
  readonly rows: number;
  readonly uniforms: Readonly<Record<string, Uniform>>;
  readonly functions: string;
  readonly main: string;
}

/** A thread packs a vec4. */
function plainBody(
  { kernel }: PackWeights,
  packing: Exclude<WeightPacking, { kind: "winograd" }>,
  padded: number,
): Body {
  const taps = productOf(kernel);
  if (packing.kind === "direct") {
    return {
      rows: packing.rows,
      uniforms: { taps: u32(taps), per_tap: u32(packing.perTap) },
      functions: "",
      main: `  let k = thread / p.columns;
  let tap = k / p.per_tap;
  var value = vec4f(0.0);
  if (tap < p.taps) { value = weights_at(places_of(k % p.per_tap, thread % p.columns), tap); }
  store_weights(thread, value);`,
    };
  }
  return {
    rows: padded * taps,
    uniforms: { taps: u32(taps) },
    functions: "",
    main: `  let k = thread / p.columns;
  store_weights(thread, weights_at(places_of(k / p.taps, thread % p.columns), k % p.taps));`,
  };
}

/** A thread makes a row along x of the transformed weights of a vec4: sums over z and y taps, then the transform along x. */
function winogradBody(schemes: Extract<WeightPacking, { kind: "winograd" }>["schemes"], padded: number): Body {
  const [gz, gy, gx] = schemes.map((scheme) => scheme.weight);
  const [tz, ty, tx] = schemes.map((scheme) => scheme.taps);
  const table = (name: string, rows: readonly (readonly number[])[]) =>
    `const ${name} = array<f32, ${rows.flat().length}>(${rows.flat().map(f32Literal).join(", ")});`;
  const sum = (x: number, row: readonly number[]) =>
    `  store_weights(at + ${x}u * matrix, ${
      row.flatMap((g, t) => (g === 0 ? [] : [`${f32Literal(g)} * t_${t}`])).join(" + ")
    });`;
  return {
    rows: gz.length * gy.length * padded,
    uniforms: { positions: u32(padded) },
    functions: `${table("transform_z", gz)}\n${table("transform_y", gy)}`,
    main: `  let matrix = p.positions * p.columns;
  let place = thread % matrix;
  let row = thread / matrix;
  let places = places_of(place / p.columns, place % p.columns);
${unroll(tx, (t) => `  var t_${t} = vec4f(0.0);`).join("\n")}
  for (var z = 0u; z < ${tz}u; z++) {
    for (var y = 0u; y < ${ty}u; y++) {
      let factor = transform_z[row / ${gy.length}u * ${tz}u + z] * transform_y[row % ${gy.length}u * ${ty}u + y];
      let tap = (z * ${ty}u + y) * ${tx}u;
${unroll(tx, (t) => `      t_${t} = fma(vec4f(factor), weights_at(places, tap + ${t}u), t_${t});`).join("\n")}
    }
  }
  let at = row * ${gx.length}u * matrix + place;
${gx.map((row, x) => sum(x, row)).join("\n")}`,
  };
}

/** The slot of packed weights, in the segments that convolutions bind. */
export function packedLayout(spec: PackWeights): ArrayLayout {
  return weightLayout(spec.targetSlot, lengthOf(spec), spec.limits);
}
