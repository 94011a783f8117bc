/** Filters of connected components, applied to a label volume. */
import type { Vec3 } from "../base/shape.ts";
import { buildGraph, keepLargest, type LargestComponentFilter } from "./component_graph.ts";
import { type LabelArray, scanComponents } from "./component_scan.ts";

/**
 * Applies filters one after the other, in place, to a volume of shape (z, y, x): two passes over it, however many they are.
 * @returns voxels that have become another label
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert";
 *
 * const labels = Uint8Array.of(1, 1, 0, 2, 0, 0, 1);
 * filterLabels(labels, [1, 1, 7], [{ labels: [1], background: 0 }]);
 * deepStrictEqual([...labels], [1, 1, 0, 2, 0, 0, 0]);
 * ```
 */
export function filterLabels(data: LabelArray, shape: Vec3, filters: readonly LargestComponentFilter[]): number {
  const labels = labelsOfFilters(filters);
  const graph = buildGraph(data, shape, labels);
  const current = graph.labels.slice();
  for (const filter of filters) keepLargest(graph, current, filter);
  if (current.every((label, i) => label === graph.labels[i])) return 0;
  const { componentOfPart } = graph;
  let parts = 0;
  let changed = 0;
  scanComponents(data, shape, labels, {
    open: () => parts++,
    join: () => {},
    run(part, start, end) {
      const component = componentOfPart[part];
      if (current[component] === graph.labels[component]) return;
      changed += end - start;
      data.fill(current[component], start, end);
    },
  });
  return changed;
}

/** The labels whose components matter to `filters`: those they name, as voxels that became background may be named again. */
function labelsOfFilters(filters: readonly LargestComponentFilter[]): number[] {
  return [...new Set(filters.flatMap(({ labels }) => labels))].sort((a, b) => a - b);
}
