/**
 * Arrays that span several bindings, as kernels without a fixed tile see them.
 *
 * A kernel that walks arrays in order is cut where any of them goes on in the next segment, so that every dispatch binds one segment of
 * each ({@link cutRanges}). A kernel that looks around in an array binds the segments that its range of threads can touch
 * ({@link touchedSegments}); it is halved until they are few ({@link halveUntil}). Which segments those are is in the uniforms, so all
 * dispatches of a kernel with the same number of bindings share one pipeline.
 */
import type { Binding, SlotLayout, WgslDispatch } from "../kernel.ts";

/** Where elements that are not a network's activations are; the kernel says what an element is. */
export type ArrayLayout = Omit<SlotLayout, "type">;

/** An array as one dispatch sees it. */
export interface ArrayView {
  /** In the kernel: `load_<name>(i)`, `store_<name>(i, value)` with i counted from the start of the whole array. */
  readonly name: string;
  readonly slot: string;
  readonly element: "f32" | "u32" | "atomic<u32>" | "vec4<f32>" | "vec4<f16>" | "vec4<u32>";
  readonly access: Binding["access"];
  /** What is bound, ascending: the segment and its first element. */
  readonly segments: readonly { readonly segment: number; readonly first: number }[];
}

/** A value of the uniform block. */
export type Uniform = NonNullable<WgslDispatch["uniforms"]>[number];

/** What the kernels here begin with, and what is bound to it. */
export interface KernelHeader {
  /** Bindings, the uniform block `p` and the accessors of the views. */
  readonly text: string;
  readonly bindings: readonly Binding[];
  readonly uniforms: readonly Uniform[];
}

/** Threads [start, end) of a kernel, counted over all its dispatches. */
export interface ThreadRange {
  readonly start: number;
  readonly end: number;
}

/** Threads of a workgroup: the most that every device has. */
export const WORKGROUP = 256;
/** Threads of a dispatch: as many as fit one dimension of workgroups. Short enough to cut submissions between them. */
export const MAX_THREADS = 65535 * WORKGROUP;
/** Storage buffers that every device can bind to a kernel. */
export const MAX_BINDINGS = 8;

export const u32 = (value: number): Uniform => ({ type: "u32", value });
export const i32 = (value: number): Uniform => ({ type: "i32", value });
export const f32 = (value: number): Uniform => ({ type: "f32", value });

/** A number as a WGSL literal of type f32. @throws RangeError if it is not finite. */
export function f32Literal(value: number): string {
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) throw new RangeError(`Writing WGSL: ${value} is no f32`);
  return `f32(${rounded})`;
}

/** An array of which some segments are bound. */
export function arrayView(
  name: string,
  { slot }: ArrayLayout,
  element: ArrayView["element"],
  access: ArrayView["access"],
  segments: ArrayView["segments"],
): ArrayView {
  return { name, slot, element, access, segments };
}

/** Activations of which some segments are bound. */
export function activationView(
  name: string,
  layout: SlotLayout,
  access: ArrayView["access"],
  segments: ArrayView["segments"],
): ArrayView {
  return arrayView(name, layout, layout.type === "f16" ? "vec4<f16>" : "vec4<f32>", access, segments);
}

/** A small array in one binding. */
export function wholeView(name: string, slot: string, element: ArrayView["element"], access: ArrayView["access"]) {
  return { name, slot, element, access, segments: [{ segment: 0, first: 0 }] } satisfies ArrayView;
}

/** The segments that hold elements first..last of an array, for each of these ranges; the first segment if there is none. */
export function touchedSegments(
  layout: ArrayLayout,
  ranges: readonly (readonly [first: number, last: number])[],
): ArrayView["segments"] {
  const touched = new Set<number>();
  for (const [first, last] of ranges) {
    const end = Math.min(layout.segments - 1, Math.floor(last / layout.segmentLength));
    for (let s = Math.max(0, Math.floor(first / layout.segmentLength)); s <= end; s++) touched.add(s);
  }
  if (touched.size === 0) touched.add(0);
  return [...touched].sort((a, b) => a - b).map((segment) => ({ segment, first: segment * layout.segmentLength }));
}

/**
 * Statements on the element `index` of an array, in whichever of the bound segments it lies.
 * With one segment: `body("ring_0[i - p.ring_0]")`.
 */
export function inSegment(view: ArrayView, index: string, body: (element: string) => string): string {
  const at = (s: number) => `${view.name}_${s}[${index} - p.${view.name}_${s}]`;
  const branches = view.segments.map((_, s) => s).slice(1).reverse()
    .map((s) => `if (${index} >= p.${view.name}_${s}) { ${body(at(s))} } else `);
  return `${branches.join("")}{ ${body(at(0))} }`;
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

/** An array that threads walk in order: `elementOf` never falls as the thread's number grows. */
export interface Walk {
  readonly layout: ArrayLayout;
  readonly elementOf: (thread: number) => number;
}

/** Cuts threads [0, count) where a walked array goes on in its next segment, and where a dispatch would be too long. */
export function cutRanges(count: number, walks: readonly Walk[], longest = MAX_THREADS): ThreadRange[] {
  const ranges: ThreadRange[] = [];
  for (let start = 0; start < count;) {
    let end = Math.min(count, start + longest);
    for (const { layout, elementOf } of walks) {
      const limit = (Math.floor(elementOf(start) / layout.segmentLength) + 1) * layout.segmentLength;
      if (elementOf(end - 1) < limit) continue;
      // The first thread at or beyond the limit is in (below, end].
      let below = start;
      end--;
      while (end - below > 1) {
        const middle = Math.floor((below + end) / 2);
        if (elementOf(middle) < limit) below = middle;
        else end = middle;
      }
    }
    ranges.push({ start, end });
    start = end;
  }
  return ranges;
}

/** The segment that a walked array is in over a range made by {@link cutRanges}. */
export function walkedSegment({ layout, elementOf }: Walk, { start, end }: ThreadRange): ArrayView["segments"] {
  return touchedSegments(layout, [[elementOf(start), elementOf(end - 1)]]);
}

/** Halves a range until `fits` or it is one workgroup; parts begin at multiples of the first of `grains` (falling) that divides them. */
export function halveUntil(
  range: ThreadRange,
  grains: readonly number[],
  fits: (range: ThreadRange) => boolean,
): ThreadRange[] {
  const { start, end } = range;
  if (end - start <= WORKGROUP || fits(range)) return [range];
  const half = (start + end) / 2;
  const middle = [...grains, 1].map((grain) => Math.ceil(half / grain) * grain).find((m) => m > start && m < end);
  if (middle === undefined) return [range];
  return [...halveUntil({ start, end: middle }, grains, fits), ...halveUntil({ start: middle, end }, grains, fits)];
}

/**
 * Cuts threads [0, count) as {@link cutRanges} and halves what would bind more than every device can, at `grains` as {@link halveUntil}.
 */
export function cutToFit(
  count: number,
  walks: readonly Walk[],
  grains: readonly number[],
  viewsOf: (range: ThreadRange) => readonly ArrayView[],
  longest?: number,
): ThreadRange[] {
  const fits = (range: ThreadRange) => bindingsOf(viewsOf(range)) <= MAX_BINDINGS;
  return cutRanges(count, walks, longest).flatMap((range) => halveUntil(range, grains, fits));
}

/** Storage buffers that views bind. */
export const bindingsOf = (views: readonly ArrayView[]) => views.reduce((sum, view) => sum + view.segments.length, 0);
