/** The parts of the resampling kernels: mixing logits, and deciding a voxel from them. */
import { padToFour } from "../../core/base/shape.ts";

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

/** `choose(sources)`: the channel that decides a voxel; for regions the number of channels where none does. */
export function chooseText(kind: "argmax" | "regions", channels: number): string {
  const first = kind === "argmax"
    ? "  var best = mixed(sources, 0u).x;\n  var channel = 0u;"
    : `  var channel = ${channels}u;`;
  const lanes = (block: number) =>
    ["x", "y", "z", "w"].slice(0, channels - block * 4).map((lane, i) =>
      kind === "argmax"
        // The first of equals stays.
        ? `  if (value.${lane} > best) { best = value.${lane}; channel = ${block * 4 + i}u; }`
        // The last in order overrides the others.
        : `  if (value.${lane} > 0.0) { channel = ${block * 4 + i}u; }`
    );
  const blocks = Array.from(
    { length: padToFour(channels) / 4 },
    (_, block) => [`  value = mixed(sources, ${block}u);`, ...lanes(block)].join("\n"),
  );
  return `fn choose(sources: Sources) -> u32 {
${first}
  var value: vec4f;
${blocks.join("\n")}
  return channel;
}`;
}

/** `put_probabilities(sources, at, stride)`: writes the probability of channel c to element at + c * stride. */
export function probabilitiesText(nonlinearity: "softmax" | "sigmoid", channels: number): string {
  const blocks = Array.from({ length: padToFour(channels) / 4 }, (_, block) => block);
  const lanesOf = (block: number) => ["x", "y", "z", "w"].slice(0, channels - block * 4);
  const each = (line: (value: string, channel: number, block: number) => string) =>
    blocks.flatMap((block) => lanesOf(block).map((lane, i) => line(`value_${block}.${lane}`, block * 4 + i, block)));
  const values = blocks.map((block) => `  var value_${block} = mixed(sources, ${block}u);`);
  const steps = nonlinearity === "softmax"
    ? [
      ...values,
      // Against the largest, so that no power overflows.
      "  var largest = value_0.x;",
      ...each((value) => `  largest = max(largest, ${value});`),
      "  var sum = 0.0;",
      ...each((value) => `  ${value} = exp(${value} - largest); sum += ${value};`),
      ...each((value, channel) => `  store_probabilities(at + ${channel}u * stride, ${value} / sum);`),
    ]
    : [
      ...values,
      ...each((value, channel) => `  store_probabilities(at + ${channel}u * stride, sigmoid(${value}));`),
    ];
  return `${
    nonlinearity === "sigmoid"
      ? `/// Of the power that is at most 1, so that none overflows.
fn sigmoid(x: f32) -> f32 {
  let power = exp(-abs(x));
  return select(power, 1.0, x >= 0.0) / (1.0 + power);
}

`
      : ""
  }fn put_probabilities(sources: Sources, at: u32, stride: u32) {
${steps.join("\n")}
}`;
}
