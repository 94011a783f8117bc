/** A postprocessing: the steps that are applied one after the other, as nnU-Net writes them down. */
import type { Target } from "../evaluate/overlap.ts";
import type { LargestComponentFilter } from "./component_graph.ts";

/** The one function there is: nnunetv2/postprocessing/remove_connected_components.py. */
export const FUNCTION = "remove_all_but_largest_component_from_segmentation";
export const FUNCTION_MODULE = "nnunetv2.postprocessing.remove_connected_components";

/** "Keep the largest component of these labels together". */
export interface PostprocessingStep extends LargestComponentFilter {
  /** What labels_or_regions is in Python: an int, a tuple, or a list of such. */
  readonly written: "label" | "region" | "list";
}

/** What removed voxels become, unless a file says something else. */
export const BACKGROUND = 0;

/** The step of all foreground together. */
export function foregroundStep(labels: readonly number[]): PostprocessingStep {
  return { labels, written: "list", background: BACKGROUND };
}

/** The step of one label or region. */
export function targetStep({ key, labels }: Target): PostprocessingStep {
  // The key is what Python prints: of a tuple it has parentheses.
  return { labels, written: key.startsWith("(") ? "region" : "label", background: BACKGROUND };
}
