/** A batch that several engines compute together: which of its samples are whose. */

/** Samples [first, first + batch) of a whole batch, batch being the share's own. */
export interface BatchShare {
  readonly first: number;
  /** Samples of the whole batch. */
  readonly of: number;
}

/**
 * A batch among `shares` engines as evenly as possible, the first ones having one sample more.
 * Source: _set_batch_size_and_oversample in nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1).
 * @throws RangeError if a share would be empty
 */
export function splitBatch(batch: number, shares: number): (BatchShare & { readonly batch: number })[] {
  if (!(Number.isInteger(shares) && shares >= 1 && shares <= batch)) {
    throw new RangeError(`Splitting a batch: ${batch} samples among ${shares}`);
  }
  const [least, more] = [Math.floor(batch / shares), batch % shares];
  return Array.from({ length: shares }, (_, i) => ({
    first: i * least + Math.min(i, more),
    batch: least + (i < more ? 1 : 0),
    of: batch,
  }));
}
