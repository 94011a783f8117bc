/** The parts of the resampling kernels: mixing logits, and deciding a voxel from them. */
import { padToFour } from "../../../core/base/shape.ts";

const AXES = ["planes", "rows", "columns"] as const;

/**
 * `sources_of(plane, row, column)`: where an output voxel's source voxels are, and how they are weighted. `mixed(sources, block)`: its
 * logits of four channels. Of an axis that is never mixed only the first source is read.
 */
export function mixedText(mixes: readonly boolean[], blocks: number): string {
  const mixed = AXES.filter((_, axis) => mixes[axis]);
  const sides = (axis: number) => mixes[axis] ? [0, 1] : [0];
  const corner = (plane: number, row: number, column: number) => `at_${plane}${row}${column}`;
  const corners = sides(0).flatMap((z) => sides(1).flatMap((y) => sides(2).map((x) => [z, y, x] as const)));
  const load = (z: number, y: number, x: number) => `load_logits(sources.${corner(z, y, x)} + block)`;
  const mixOf = (axis: number, value: (side: number) => string) =>
    mixes[axis] ? `mix_two(${value(0)}, ${value(1)}, sources.${AXES[axis]})` : value(0);
  const value = mixOf(2, (x) => mixOf(1, (y) => mixOf(0, (z) => load(z, y, x))));
  return `/// First elements of the source voxels (side of plane, row, column), and the weights of both sides of the mixed axes.
struct Sources {
${[...corners.map(([z, y, x]) => `  ${corner(z, y, x)}: u32,`), ...mixed.map((axis) => `  ${axis}: vec2f,`)].join("\n")}
}

fn sources_of(plane: u32, row: u32, column: u32) -> Sources {
  let planes = load_tables(plane);
  let rows = load_tables(p.tables_of_rows + row);
  let columns = load_tables(p.tables_of_columns + column);
  return Sources(
${
    [
      ...corners.map(([z, y, x]) =>
        `    ((planes[${z}] * p.ring_rows + rows[${y}]) * p.ring_columns + columns[${x}]) * ${blocks}u,`
      ),
      ...mixed.map((axis) => `    bitcast<vec2f>(${axis}.zw),`),
    ].join("\n")
  }
  );
}
${
    mixed.length === 0 ? "" : `
/// The first weight times a plus the second times b; a itself, even if b is not finite, where the second weight is 0.
fn mix_two(a: vec4f, b: vec4f, weights: vec2f) -> vec4f {
  return select(fma(b, vec4f(weights.y), a * weights.x), a, weights.y == 0.0);
}
`
  }
fn mixed(sources: Sources, block: u32) -> vec4f {
  return ${value};
}`;
}

/** Blocks of four channels that are mixed one after the other in the text; more are mixed in a loop, to keep the text short. */
const UNROLLED_BLOCKS = 8;
const LANES = ["x", "y", "z", "w"];

/** How often the text of a block is repeated: with branches between segments it is long, and compiled once in a loop. */
export function unrollsBlocks(blocks: number, segments: number): boolean {
  return blocks <= UNROLLED_BLOCKS && segments === 1;
}

/** `choose(sources)`: the channel that decides a voxel; for regions the number of channels where none does. */
export function chooseText(kind: "argmax" | "regions", channels: number, unroll: boolean): string {
  const argmax = kind === "argmax";
  const whole = Math.floor(channels / 4);
  /** One look at some lanes of `block`, a number or a variable. */
  const look = (block: string, lanes: readonly string[]) => [
    `  value = mixed(sources, ${block});`,
    // Of the largest, the first of equals stays; of regions, the last in order overrides the others.
    ...lanes.map((lane, i) =>
      argmax
        ? `  if (value.${lane} > best) { best = value.${lane}; channel = ${block} * 4u + ${i}u; }`
        : `  if (value.${lane} > 0.0) { channel = ${block} * 4u + ${i}u; }`
    ),
  ];
  const blocks = unroll
    ? Array.from({ length: whole }, (_, block) => look(`${block}u`, LANES)).flat()
    : [`  for (var block = 0u; block < ${whole}u; block++) {`, ...look("block", LANES), "  }"];
  const rest = channels % 4 === 0 ? [] : look(`${whole}u`, LANES.slice(0, channels % 4));
  return `fn choose(sources: Sources) -> u32 {
  var value: vec4f;
${argmax ? "  var best = mixed(sources, 0u).x;\n  var channel = 0u;" : `  var channel = ${channels}u;`}
${[...(whole === 0 ? [] : blocks), ...rest].join("\n")}
  return channel;
}`;
}

/** `put_probabilities(sources, at, stride)`: writes the probability of channel c to element at + c * stride. */
export function probabilitiesText(nonlinearity: "softmax" | "sigmoid", channels: number, unroll: boolean): string {
  const blocks = padToFour(channels) / 4;
  const each = (line: (value: string, channel: number) => string) =>
    Array.from({ length: channels }, (_, c) => line(`values[${c >> 2}].${LANES[c & 3]}`, c)).join("\n");
  const mixing = unroll
    ? Array.from({ length: blocks }, (_, block) => `  values[${block}] = mixed(sources, ${block}u);`).join("\n")
    : `  for (var block = 0u; block < ${blocks}u; block++) { values[block] = mixed(sources, block); }`;
  if (nonlinearity === "sigmoid") {
    return `/// Of the power that is at most 1, so that none overflows.
fn sigmoid(x: f32) -> f32 {
  let power = exp(-abs(x));
  return select(power, 1.0, x >= 0.0) / (1.0 + power);
}

fn put_probabilities(sources: Sources, at: u32, stride: u32) {
  var values: array<vec4f, ${blocks}>;
${mixing}
${each((value, c) => `  store_probabilities(at + ${c}u * stride, sigmoid(${value}));`)}
}`;
  }
  return `fn put_probabilities(sources: Sources, at: u32, stride: u32) {
  var values: array<vec4f, ${blocks}>;
${mixing}
  // Against the largest, so that no power overflows.
  var largest = values[0].x;
${each((value) => `  largest = max(largest, ${value});`)}
  var sum = 0.0;
${each((value) => `  ${value} = exp(${value} - largest); sum += ${value};`)}
${each((value, c) => `  store_probabilities(at + ${c}u * stride, ${value} / sum);`)}
}`;
}
