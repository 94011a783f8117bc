/**
 * The connected components of a label volume as a graph. A component is voxels of one label that hang together; its edges lead to the
 * components of other labels that it touches. Whatever labels are put together, the connected components of their union are made of
 * whole components of the graph; so all that "keep the largest" can do to a volume is seen in the graph, which is small.
 */
import type { Vec3 } from "../base/shape.ts";
import { type ComponentSink, type LabelArray, scanComponents } from "./component_scan.ts";
import { createPairSet } from "./pair_set.ts";

export interface ComponentGraph {
  /** The label of each component. */
  readonly labels: Int32Array;
  /** Voxels of each. */
  readonly sizes: Float64Array;
  /** Pairs of components that touch, one after the other. */
  readonly edges: Uint32Array;
}

export interface BuiltGraph extends ComponentGraph {
  /** The component of each part that a scan of the volume tells of: see {@link ./component_scan.ts}. */
  readonly componentOfPart: Uint32Array;
}

/** Told of every run of a part, once. */
export type OnRun = (part: number, kind: number, start: number, end: number) => void;

/**
 * The graph of the components of `labels` in a volume of shape (z, y, x).
 * @param onRun Also told of all runs; `kind` is an index of `labels`.
 */
export function buildGraph(data: LabelArray, shape: Vec3, labels: readonly number[], onRun?: OnRun): BuiltGraph {
  let capacity = 256;
  let count = 0;
  let parents = new Uint32Array(capacity);
  let kinds = new Uint16Array(capacity);
  let sizes = new Float64Array(capacity);
  /** What a part was last seen to touch, + 1: runs of neighbouring rows mostly touch the same. */
  let touched = new Uint32Array(capacity);
  const touching = createPairSet();
  const grow = () => {
    capacity *= 2;
    parents = copied(parents, new Uint32Array(capacity));
    kinds = copied(kinds, new Uint16Array(capacity));
    sizes = copied(sizes, new Float64Array(capacity));
    touched = copied(touched, new Uint32Array(capacity));
  };
  const sink: ComponentSink = {
    open(kind) {
      if (count === capacity) grow();
      parents[count] = count;
      kinds[count] = kind;
      return count++;
    },
    join: (a, b) => unite(parents, a, b),
    run(part, start, end) {
      sizes[part] += end - start;
      onRun?.(part, kinds[part], start, end);
    },
    ...(labels.length > 1 && {
      touch(a: number, b: number) {
        if (touched[a] === b + 1) return;
        touched[a] = b + 1;
        touching.add(a, b);
      },
    }),
  };
  scanComponents(data, shape, labels, sink);
  return condense(parents.subarray(0, count), kinds, sizes, touching.pairs(), labels);
}

function copied<T extends Uint32Array | Uint16Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** Parts that were joined become one component, numbered by their first part. */
function condense(
  parents: Uint32Array,
  kinds: Uint16Array,
  sizes: Float64Array,
  touching: Uint32Array,
  labels: readonly number[],
): BuiltGraph {
  const componentOfPart = new Uint32Array(parents.length);
  let components = 0;
  // The root of a tree is its lowest part, so it has its number before the others ask for it.
  for (let part = 0; part < parents.length; part++) {
    const root = rootOf(parents, part);
    componentOfPart[part] = root === part ? components++ : componentOfPart[root];
  }
  const graph = { labels: new Int32Array(components), sizes: new Float64Array(components) };
  for (let part = 0; part < parents.length; part++) {
    graph.labels[componentOfPart[part]] = labels[kinds[part]];
    graph.sizes[componentOfPart[part]] += sizes[part];
  }
  const edges = createPairSet();
  for (let i = 0; i < touching.length; i += 2) {
    edges.add(componentOfPart[touching[i]], componentOfPart[touching[i + 1]]);
  }
  return { ...graph, edges: edges.pairs(), componentOfPart };
}

/** "Of these labels together, keep the largest component": other voxels of the labels become `background`. */
export interface LargestComponentFilter {
  readonly labels: readonly number[];
  readonly background: number;
}

/**
 * Applies a filter to the labels that components have at the moment, in place: of the components of the union of its labels, all that
 * have the most voxels are kept. Source: remove_all_but_largest_component_from_segmentation in
 * nnunetv2/postprocessing/remove_connected_components.py.
 * @param current The label of each component of `graph`, as {@link ComponentGraph.labels} is before the first filter
 */
export function keepLargest(
  { sizes, edges }: ComponentGraph,
  current: Int32Array,
  { labels, background }: LargestComponentFilter,
): void {
  const wanted = new Set(labels);
  const inside = Uint8Array.from(current, (label) => wanted.has(label) ? 1 : 0);
  const parents = Uint32Array.from(current, (_, component) => component);
  for (let i = 0; i < edges.length; i += 2) {
    if (inside[edges[i]] && inside[edges[i + 1]]) unite(parents, edges[i], edges[i + 1]);
  }
  const together = new Float64Array(current.length);
  let largest = 0;
  for (let i = 0; i < current.length; i++) {
    if (!inside[i]) continue;
    const root = rootOf(parents, i);
    together[root] += sizes[i];
    largest = Math.max(largest, together[root]);
  }
  for (let i = 0; i < current.length; i++) {
    if (inside[i] && together[rootOf(parents, i)] < largest) current[i] = background;
  }
}

/** Joins two trees; the lower root becomes the root of both. */
function unite(parents: Uint32Array, a: number, b: number): void {
  const [first, second] = [rootOf(parents, a), rootOf(parents, b)];
  if (first < second) parents[second] = first;
  else parents[first] = second;
}

function rootOf(parents: Uint32Array, of: number): number {
  let at = of;
  while (parents[at] !== at) {
    parents[at] = parents[parents[at]];
    at = parents[at];
  }
  return at;
}
