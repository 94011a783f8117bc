/** Writes label volumes with their image's geometry. */
import type { ImageGeometry, LabelVolume, ReaderName } from "./image.ts";

export function writeLabels(
  _reader: ReaderName,
  _file: string,
  _labels: LabelVolume,
  _geometry: ImageGeometry,
  _signal?: AbortSignal,
): Promise<void> {
  throw new Error("being written");
}
