/** One stored tensor, read when asked for. */
export interface StoredTensor {
  readonly shape: readonly number[];
  /** torch's name: "float32". */
  readonly dtype: string;
  /** All elements in C order as f32. */
  read(): Float32Array;
}
export interface Checkpoint extends Disposable {
  readonly file: string;
  readonly trainerName: string;
  readonly configurationName: string;
  readonly mirrorAxes: readonly number[] | null;
  readonly initArgs: unknown;
  readonly weights: ReadonlyMap<string, StoredTensor>;
}
export function openCheckpoint(_path: string): Promise<Checkpoint> {
  throw new Error("being written");
}
