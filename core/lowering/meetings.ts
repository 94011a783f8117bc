/** Where the shares of a batch meet in a step, and what each tells the others there. */
import type { EngineTypes, ShareKernels } from "./kernels.ts";
import type { Training } from "./training_context.ts";

/** Numbers that a share gives, and what all of them do: f32, or as many bits, [sample][floats]. */
export interface Gathered {
  readonly own: string;
  /** Of all samples of the batch. */
  readonly all: string;
  /** Of a sample. */
  readonly floats: number;
  /** True: `own` is one row, which is of all samples of the share; in the place of the others there will be zeros. */
  readonly isOfShare?: true;
}

export interface Meeting {
  /** The step before which it is. */
  readonly at: number;
  readonly gathered: readonly Gathered[];
  /** True: a validation has none of it. */
  readonly isOfTraining?: true;
}

/** Has all shares know what each has, from the next step on. `own` has been used before, which says how large it is. */
export function addMeeting<E extends EngineTypes>(
  { schedule: { touch, steps }, meetings, options: { share } }: Training<E>,
  gathered: readonly Gathered[],
  of: "training" | "both",
): void {
  if (!share) throw new RangeError("Planning a training: a whole batch has nobody to meet");
  for (const { own, all, floats } of gathered) {
    // They lie beside each other when they are exchanged.
    touch(own);
    touch(all, share.of * floats * 4);
  }
  meetings.push({ at: steps.length, gathered, ...(of === "training" && { isOfTraining: true }) });
}

/** The kernels of an engine that can compute a share. */
export function sharesOf<E extends EngineTypes>({ kernels: { shares } }: Training<E>): ShareKernels<E> {
  if (!shares) throw new RangeError("Planning a training: this engine computes no share of a batch");
  return shares;
}
