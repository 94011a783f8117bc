/** Kernels without a fixed tile: what their text begins with, and the dispatches that run it. */
import type { Binding, WgslDispatch } from "../kernel.ts";
import { type ThreadRange, WORKGROUP } from "./ranges.ts";
import { type ArrayView, inSegment } from "./views.ts";

/** A value of the uniform block. */
export type Uniform = NonNullable<WgslDispatch["uniforms"]>[number];

/** What the kernels here begin with, and what is bound to it. */
export interface KernelHeader {
  /** Bindings, the uniform block `p` and the accessors of the views. */
  readonly text: string;
  readonly bindings: readonly Binding[];
  readonly uniforms: readonly Uniform[];
}

export const u32 = (value: number): Uniform => ({ type: "u32", value });
export const i32 = (value: number): Uniform => ({ type: "i32", value });
export const f32 = (value: number): Uniform => ({ type: "f32", value });

/** A number as a WGSL literal of type f32. @throws RangeError if it is not finite. */
export function f32Literal(value: number): string {
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) throw new RangeError(`Writing WGSL: ${value} is no f32`);
  return `f32(${rounded})`;
}

/**
 * The beginning of a kernel's text. All threads of a dispatch get their number from `p.start + global_invocation_id.x` and stop at
 * `p.end`; accessors convert f16 to f32 and back.
 */
export function kernelHeader(
  views: readonly ArrayView[],
  range: ThreadRange,
  uniforms: Readonly<Record<string, Uniform>> = {},
): KernelHeader {
  const bound = views.flatMap((view) =>
    view.segments.map((place, s) => ({ ...view, ...place, variable: `${view.name}_${s}` }))
  );
  const values: Record<string, Uniform> = { start: u32(range.start), end: u32(range.end), ...uniforms };
  for (const { variable, first } of bound) values[variable] = u32(first);
  for (let pad = 0; Object.keys(values).length % 4 !== 0; pad++) values[`unused_${pad}`] = u32(0);
  const declarations = bound.map(({ variable, element, access }, i) =>
    `@group(0) @binding(${i}) var<storage, ${access}> ${variable}: array<${element}>;`
  );
  const fields = Object.entries(values).map(([name, { type }]) => `  ${name}: ${type},`);
  return {
    text: [
      ...(views.some((view) => view.element === "vec4<f16>") ? ["enable f16;"] : []),
      ...declarations,
      "struct Parameters {",
      ...fields,
      "}",
      `@group(0) @binding(${bound.length}) var<uniform> p: Parameters;`,
      ...views.flatMap(accessors),
    ].join("\n"),
    bindings: bound.map(({ slot, access, segment }) => ({ slot, access, segment })),
    uniforms: Object.values(values),
  };
}

function accessors(view: ArrayView): string[] {
  if (view.element === "atomic<u32>") return [];
  const type = view.element.replace("f16", "f32");
  const load = `fn load_${view.name}(i: u32) -> ${type} {
  ${inSegment(view, "i", (element) => `return ${type}(${element});`)}
}`;
  if (view.access === "read") return [load];
  const store = `fn store_${view.name}(i: u32, value: ${type}) {
  ${inSegment(view, "i", (element) => `${element} = ${view.element}(value);`)}
}`;
  return [load, store];
}

/** The head of a kernel each of whose threads has one element; `name` is its number. */
export const threadMain = (name: string) =>
  `@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let ${name} = p.start + id.x;
  if (${name} >= p.end) { return; }`;

/** A dispatch of a kernel with {@link kernelHeader}. */
export function dispatchOf(
  name: string,
  { bindings, uniforms }: KernelHeader,
  workgroups: WgslDispatch["workgroups"],
  code: string,
): WgslDispatch {
  return { name, code, bindings, uniforms, workgroups };
}

/** A kernel over a range of threads: its text behind the header, and what it needs of `p` beside the range and its views. */
export function threadKernel(
  name: string,
  views: readonly ArrayView[],
  range: ThreadRange,
  text: string,
  uniforms: Readonly<Record<string, Uniform>> = {},
): WgslDispatch {
  const header = kernelHeader(views, range, uniforms);
  const workgroups = [Math.ceil((range.end - range.start) / WORKGROUP), 1, 1] as const;
  return dispatchOf(name, header, workgroups, `${header.text}\n\n${text}`);
}
