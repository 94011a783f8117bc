/** Memory a case needs, part by part, in bytes. */
export interface MemoryForecast {
  /** The preprocessed image (and previous stage) on the engine and on the host; the prefetched next case included. */
  readonly image: number;
  /** The label volume, on the engine and on the host. */
  readonly labels: number;
  /** Open planes of logits and weight sums. */
  readonly ring: number;
  readonly activations: number;
  /** Packed weights of all resident folds. */
  readonly weights: number;
  readonly scratch: number;
  readonly total: number;
}
