/** The `wgsl` tag: templates of kernels whose splices cannot go wrong unnoticed. */

/** What may be spliced into a kernel: text, lines of text, integers. */
export type Splice = string | number | readonly string[];

const NO_CODE = /\b(undefined|NaN|Infinity|null)\b|\[object/;

/**
 * WGSL from a template. Numbers must be integers (`${8}u`); a float has to come as text of a known type (`f32Literal`), because 3 and 3.5
 * spliced alike would be two types. Text of several lines is indented like the line it stands on; a line that holds nothing but an
 * empty splice is dropped.
 * @throws TypeError if a splice is undefined, NaN, a float, or text in which such a value was printed; the message quotes the place.
 */
export function wgsl(parts: TemplateStringsArray, ...values: readonly Splice[]): string {
  let text = parts[0];
  values.forEach((value, i) => {
    const spliced = spliceText(value, text);
    const next = parts[i + 1];
    const lineStart = text.lastIndexOf("\n") + 1;
    const line = text.slice(lineStart);
    const alone = /^[ ]*$/.test(line) && /^[ ]*(\n|$)/.test(next);
    if (spliced === "" && alone) {
      text = text.slice(0, lineStart) + next.replace(/^[ ]*\n/, "");
    } else {
      const indent = /^[ ]*/.exec(line)?.[0] ?? "";
      text += spliced.replaceAll(/\n(?=[^\n])/g, `\n${indent}`) + next;
    }
  });
  return text.replace(/^\n/, "");
}

function spliceText(value: unknown, before: string): string {
  const refuse = (problem: string) =>
    new TypeError(`Writing WGSL: ${problem}, after ${JSON.stringify(before.slice(-60))}`);
  if (typeof value === "number") {
    if (Number.isSafeInteger(value)) return String(value);
    throw refuse(`the splice ${value} is no integer; floats come with their type, as f32Literal(${value})`);
  }
  const text = Array.isArray(value) ? value.join("\n") : value;
  if (typeof text !== "string") throw refuse(`the splice ${String(value)} is neither text nor an integer`);
  const found = NO_CODE.exec(text);
  if (found) throw refuse(`the splice holds ${found[0]}`);
  return text;
}

/** The results of `line` for 0..count-1: what a loop would do, unrolled. */
export function unroll<T>(count: number, line: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => line(i));
}

/** Statements that add up `halves[0]` to `halves[lanes - 1]` of a workgroup, halves meeting, until `2 ** steps` times fewer are left. */
export function meetHalves(lanes: number, steps: number = Math.log2(lanes)): string[] {
  return unroll(steps, (i) => {
    const half = lanes >> (i + 1);
    return `if (lane < ${half}u) { halves[lane] += halves[lane + ${half}u]; }\nworkgroupBarrier();`;
  });
}
