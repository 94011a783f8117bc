/**
 * Arrays that span several bindings, as one dispatch sees them: which of their segments are bound, and from which element on. A kernel that
 * looks around in an array binds the segments that its range of threads can touch. Which segments those are is in the uniforms, so all
 * dispatches of a kernel with the same number of bindings share one pipeline.
 */
import type { Binding, SlotLayout } from "../kernel.ts";

/** Where elements that are not a network's activations are; the kernel says what an element is. */
export type ArrayLayout = Omit<SlotLayout, "type">;

/** An array as one dispatch sees it. */
export interface ArrayView {
  /** In the kernel: `load_<name>(i)`, `store_<name>(i, value)` with i counted from the start of the whole array. */
  readonly name: string;
  readonly slot: string;
  readonly element: "f32" | "u32" | "atomic<u32>" | "vec4<f32>" | "vec4<f16>" | "vec4<u32>" | "vec2<u32>";
  readonly access: Binding["access"];
  /** What is bound, ascending: the segment and its first element. */
  readonly segments: readonly { readonly segment: number; readonly first: number }[];
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

/** Storage buffers that views bind. */
export const bindingsOf = (views: readonly ArrayView[]) => views.reduce((sum, view) => sum + view.segments.length, 0);
