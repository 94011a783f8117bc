/**
 * One case, read once, as all that choosing a postprocessing needs of it: the graph of its components, and what each of them has in
 * common with the reference. Plain data in and out, so that it runs in any thread.
 */
import { allocationError } from "../base/allocation.ts";
import { freeArray } from "../base/free_array.ts";
import { collectUnderLimit, type MemoryAllowance } from "../base/memory_allowance.ts";
import { checkComparable } from "../evaluate/same_image.ts";
import type { Overlap, Target } from "../evaluate/overlap.ts";
import type { LabelValues, ReaderName } from "../formats/image/image.ts";
import { buildGraph, type ComponentGraph } from "./component_graph.ts";
import type { LabelArray } from "./component_scan.ts";
import { readReference, readSegmentation } from "./read_segmentation.ts";
import type { Vec3 } from "../base/shape.ts";

export interface MeasurementJob {
  readonly kind: "measure";
  readonly caseId: string;
  readonly reader: ReaderName;
  readonly predictionFile: string;
  readonly referenceFile: string;
  readonly targets: readonly Target[];
  /** Labels whose components may be removed. */
  readonly labels: readonly number[];
  readonly ignoreLabel?: number;
  readonly memory?: MemoryAllowance;
}

export interface MeasuredCase {
  readonly graph: ComponentGraph;
  /** Of each component: its voxels that are not ignored. */
  readonly counted: Float64Array;
  /** Of each component: its voxels that are counted and in the reference's target, for each target of {@link targetsOfLabel}. */
  readonly hits: readonly Float64Array[];
  /** Indexes of the targets that a component of the label can be part of, in the order of `hits`. */
  readonly targetsOfLabel: ReadonlyMap<number, readonly number[]>;
  /** Voxels of each target in the reference, without those that are ignored. */
  readonly reference: readonly number[];
  /** All voxels that are not ignored. */
  readonly voxels: number;
  /** A sentence on what is unusual. */
  readonly warning?: string;
}

const DOING = "comparing segmentations";
/** What removed components become. */
const BACKGROUND = 0;

/** @throws UserError naming the case: a file can't be read, is no segmentation, or the shapes differ */
export async function measureCase(job: MeasurementJob): Promise<MeasuredCase> {
  const { caseId, reader, predictionFile, referenceFile, memory } = job;
  using stack = new DisposableStack();
  stack.defer(() => collectUnderLimit(memory));
  const prediction = await readSegmentation({ caseId, reader, file: predictionFile, doing: DOING, memory });
  stack.defer(() => freeArray(prediction.data));
  const reference = await readReference({ caseId, reader, file: referenceFile, doing: DOING, memory });
  stack.defer(() => freeArray(reference.data));
  const warning = checkComparable(
    caseId,
    { file: predictionFile, geometry: prediction.geometry },
    { file: referenceFile, geometry: reference.geometry },
    DOING,
  );
  try {
    const measured = measureLabels(prediction.data, reference.data, prediction.geometry.shape, job);
    return warning === undefined ? measured : { ...measured, warning };
  } catch (error) {
    throw allocationError(error, { doing: DOING, caseId, file: predictionFile });
  }
}

/** Buffers of a measured case, to be moved between threads. */
export function buffersOfCase({ graph, counted, hits }: MeasuredCase): ArrayBuffer[] {
  return [graph.labels, graph.sizes, graph.edges, counted, ...hits].map(({ buffer }) => buffer as ArrayBuffer);
}

/** What is measured of two label volumes of shape (z, y, x). */
export function measureLabels(
  prediction: LabelArray,
  reference: LabelValues,
  shape: Vec3,
  { targets, labels, ignoreLabel }: Pick<MeasurementJob, "targets" | "labels" | "ignoreLabel">,
): MeasuredCase {
  const classes = referenceClasses(targets, ignoreLabel);
  const wanted = [...new Set([...labels, ...targets.flatMap((target) => target.labels)])].sort((a, b) => a - b);
  const containing = (label: number) => targets.flatMap((target, i) => target.labels.includes(label) ? [i] : []);
  // A component that is removed becomes part of the targets that hold the background, if there are any.
  const slots = wanted.map((label) => [...new Set([...containing(label), ...containing(BACKGROUND)])]);
  const width = Math.max(0, ...slots.map((slot) => slot.length));

  let ofParts = new Float64Array(256 * (width + 1)); // counted, hits of each slot
  const { componentOfPart, ...graph } = buildGraph(prediction, shape, wanted, (part, kind, start, end) => {
    const row = part * (width + 1);
    if (row + width >= ofParts.length) {
      const larger = new Float64Array(Math.max(2 * ofParts.length, row + width + 1));
      larger.set(ofParts);
      ofParts = larger;
    }
    for (let i = start; i < end;) {
      const value = reference[i];
      let next = i + 1;
      while (next < end && reference[next] === value) next++;
      const members = classes.membersOf(value);
      if (members !== null) {
        ofParts[row] += next - i;
        const slot = slots[kind];
        for (let k = 0; k < slot.length; k++) if (members[slot[k]]) ofParts[row + 1 + k] += next - i;
      }
      i = next;
    }
  });
  const sums = Array.from({ length: width + 1 }, () => new Float64Array(graph.labels.length));
  for (let part = 0; part < componentOfPart.length; part++) {
    for (let k = 0; k <= width; k++) sums[k][componentOfPart[part]] += ofParts[part * (width + 1) + k];
  }
  return {
    graph,
    counted: sums[0],
    hits: sums.slice(1),
    targetsOfLabel: new Map(wanted.map((label, i) => [label, slots[i]])),
    ...countReference(reference, targets.length, classes),
  };
}

interface ReferenceClasses {
  /** Which targets a value of the reference is part of: 1 for each that it is; null: it is ignored. */
  membersOf(value: number): Uint8Array | null;
}

function referenceClasses(targets: readonly Target[], ignoreLabel: number | undefined): ReferenceClasses {
  const none = new Uint8Array(targets.length);
  const known = new Map<number, Uint8Array | null>();
  for (const label of targets.flatMap((target) => target.labels)) {
    known.set(label, Uint8Array.from(targets, (target) => target.labels.includes(label) ? 1 : 0));
  }
  if (ignoreLabel !== undefined) known.set(ignoreLabel, null);
  return {
    membersOf: (value) => {
      const members = known.get(value);
      return members === undefined ? none : members;
    },
  };
}

function countReference(
  reference: LabelValues,
  targets: number,
  classes: ReferenceClasses,
): Pick<MeasuredCase, "reference" | "voxels"> {
  const counts: number[] = new Array(targets).fill(0);
  let voxels = 0;
  for (let i = 0; i < reference.length;) {
    const value = reference[i];
    let next = i + 1;
    while (next < reference.length && reference[next] === value) next++;
    const members = classes.membersOf(value);
    if (members !== null) {
      voxels += next - i;
      for (let t = 0; t < targets; t++) counts[t] += members[t] * (next - i);
    }
    i = next;
  }
  return { reference: counts, voxels };
}

/**
 * The overlap of each target with the reference, as the components are labelled by `current`.
 * @param current Labels of the graph's components, after some were removed: see keepLargest
 */
export function overlapsOf(measured: MeasuredCase, current: Int32Array, targets: readonly Target[]): Overlap[] {
  const { graph, counted, hits, targetsOfLabel, reference, voxels } = measured;
  const [TP, predicted] = [new Float64Array(targets.length), new Float64Array(targets.length)];
  const members = targets.map(({ labels }) => new Set(labels));
  for (let i = 0; i < current.length; i++) {
    const slots = targetsOfLabel.get(graph.labels[i]) ?? [];
    for (let k = 0; k < slots.length; k++) {
      if (!members[slots[k]].has(current[i])) continue;
      TP[slots[k]] += hits[k][i];
      predicted[slots[k]] += counted[i];
    }
  }
  return targets.map((_, t) => {
    const [FP, FN] = [predicted[t] - TP[t], reference[t] - TP[t]];
    return { TP: TP[t], FP, FN, TN: voxels - TP[t] - FP - FN };
  });
}
