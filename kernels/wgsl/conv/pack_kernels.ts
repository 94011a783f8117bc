/**
 * Packing of weights on the device: from torch's layout to what a convolution reads, as pack.ts does it on the host. The same kernels pack
 * a convolution's weights for its data gradient, which is a convolution with inputs and outputs exchanged and, where its taps look the
 * other way, with flipped taps.
 */
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";
import { type ArrayLayout, wholeView } from "../emit/views.ts";
import { f32Literal, threadKernel, threadMain } from "../emit/thread_kernel.ts";
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

/** `name(position)`: the channel of a position in memory, or a number beyond all channels for padding. */
function realChannelText(name: string, parts: readonly number[]): string {
  let [position, channel] = [0, 0];
  const branches = parts.map((channels) => {
    const [start, first] = [position, channel];
    position += padToFour(channels);
    channel += channels;
    return `  if (position < ${position}u) { ` +
      `return select(0xffffffffu, position - ${start}u + ${first}u, position < ${start + channels}u); }`;
  });
  return wgsl`
fn ${name}(position: u32) -> u32 {
${branches}
  return 0xffffffffu;
}`;
}

/** Dispatches that fill a convolution's weight slot. @throws BindingLimitError if the slot spans too many bindings */
export function planPackWeights(spec: PackWeights): WgslDispatch[] {
  const { packing, limits } = spec;
  const layout = weightLayout(spec.targetSlot, lengthOf(spec), limits);
  const columns = channelLayout(spec.outputParts).padded / 4;
  const { padded } = channelLayout(spec.inputParts);
  const body = packing.kind === "winograd"
    ? winogradBody(packing.schemes, padded, columns)
    : plainBody(spec, packing, padded, columns);
  const threads = body.threads + columns;
  const target = { ...weightView(layout, 0, layout.length - 1), access: "read_write" } as const;
  const views = [
    wholeView("source", spec.sourceSlot, "f32", "read"),
    target,
    ...(spec.biasSlot === undefined ? [] : [wholeView("bias", spec.biasSlot, "f32", "read")]),
  ];
  if (target.segments.length + 2 > Math.min(limits.maxBindings, MAX_BINDINGS)) {
    throw new BindingLimitError(`Packing the weights of ${spec.name}: they span ${target.segments.length} bindings`);
  }
  const parts = Array.from({ length: Math.ceil(threads / MAX_THREADS) }, (_, i) => ({
    start: i * MAX_THREADS,
    end: Math.min(threads, (i + 1) * MAX_THREADS),
  }));
  return parts.map((range) => {
    const text = `${realChannelText("input_of", spec.inputParts)}

${realChannelText("output_of", spec.outputParts)}

${sourceText(spec, columns)}

${body.functions}

${threadMain("thread")}
  if (thread >= ${body.threads}u) {
    let column = thread - ${body.threads}u;
    store_weights(${layout.length - columns}u + column, bias_of(column));
    return;
  }
${body.main}
}
`;
    return threadKernel(`weight packing ${packing.kind}`, views, range, text);
  });
}

/** `weight_of(position, tap, column)` and `bias_of(column)`: four output channels, zeros for padding. */
function sourceText(spec: PackWeights, columns: number): string {
  const taps = productOf(spec.kernel);
  const tap = spec.flipped ? `${taps - 1}u - tap` : "tap";
  return wgsl`
fn weight_of(position: u32, tap: u32, column: u32) -> vec4f {
  let input = input_of(position);
  if (input == 0xffffffffu || column >= ${columns}u) { return vec4f(0.0); }
  let at = input * ${spec.inputStep}u + ${tap};
  var value = vec4f(0.0);
  ${
    unroll(4, (i) =>
      `{ let output = output_of(column * 4u + ${i}u); ` +
      `if (output != 0xffffffffu) { value[${i}] = load_source(output * ${spec.outputStep}u + at); } }`)
  }
  return value;
}

fn bias_of(column: u32) -> vec4f {
  var value = vec4f(0.0);
  ${
    spec.biasSlot === undefined ? "" : unroll(4, (i) =>
      `{ let output = output_of(column * 4u + ${i}u); ` +
      `if (output != 0xffffffffu) { value[${i}] = load_bias(output); } }`)
  }
  return value;
}`;
}

interface Body {
  readonly threads: number;
  readonly functions: string;
  readonly main: string;
}

/** A thread packs a vec4. */
function plainBody(spec: PackWeights, packing: WeightPacking, padded: number, columns: number): Body {
  const taps = productOf(spec.kernel);
  if (packing.kind === "direct") {
    return {
      threads: packing.rows * columns,
      functions: "",
      main: `  let k = thread / ${columns}u;
  let tap = k / ${packing.perTap}u;
  var value = vec4f(0.0);
  if (tap < ${taps}u) { value = weight_of(k % ${packing.perTap}u, tap, thread % ${columns}u); }
  store_weights(thread, value);`,
    };
  }
  return {
    threads: padded * taps * columns,
    functions: "",
    main: `  let k = thread / ${columns}u;
  store_weights(thread, weight_of(k / ${taps}u, k % ${taps}u, thread % ${columns}u));`,
  };
}

/** A thread makes a row along x of the transformed weights of a vec4: sums over z and y taps, then the transform along x. */
function winogradBody(
  schemes: Extract<WeightPacking, { kind: "winograd" }>["schemes"],
  padded: number,
  columns: number,
): Body {
  const [gz, gy, gx] = schemes.map((scheme) => scheme.weight);
  const [tz, ty, tx] = schemes.map((scheme) => scheme.taps);
  const matrix = padded * columns;
  const table = (name: string, rows: readonly (readonly number[])[]) =>
    `const ${name} = array<f32, ${rows.flat().length}>(${rows.flat().map(f32Literal).join(", ")});`;
  const sum = (x: number, row: readonly number[]) =>
    `  store_weights(at + ${x * matrix}u, ${
      row.flatMap((g, t) => (g === 0 ? [] : [`${f32Literal(g)} * t_${t}`])).join(" + ")
    });`;
  return {
    threads: gz.length * gy.length * matrix,
    functions: `${table("transform_z", gz)}\n${table("transform_y", gy)}`,
    main: `  let place = thread % ${matrix}u;
  let row = thread / ${matrix}u;
  let position = place / ${columns}u;
  let column = place % ${columns}u;
${unroll(tx, (t) => `  var t_${t} = vec4f(0.0);`).join("\n")}
  for (var z = 0u; z < ${tz}u; z++) {
    for (var y = 0u; y < ${ty}u; y++) {
      let factor = transform_z[row / ${gy.length}u * ${tz}u + z] * transform_y[row % ${gy.length}u * ${ty}u + y];
      let tap = (z * ${ty}u + y) * ${tx}u;
${unroll(tx, (t) => `      t_${t} = fma(vec4f(factor), weight_of(position, tap + ${t}u, column), t_${t});`).join("\n")}
    }
  }
  let at = row * ${gx.length * matrix}u + place;
${gx.map((row, x) => sum(x, row)).join("\n")}`,
  };
}

/** The slot of packed weights, in the segments that convolutions bind. */
export function packedLayout(spec: PackWeights): ArrayLayout {
  return weightLayout(spec.targetSlot, lengthOf(spec), spec.limits);
}
