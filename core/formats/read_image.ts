/** Reads a case's images and label volumes as nnU-Net's reader classes do. */
import type { CaseImage, ImageGeometry, LabelVolume, ReaderName } from "./image.ts";

/** What may be chosen when reading. */
export interface ReadOptions {
  readonly nonFinite?: "keep" | "asUpstream";
}

export function fileEndings(_reader: ReaderName): readonly string[] {
  throw new Error("being written");
}

export function readCase(_reader: ReaderName, _files: readonly string[], _options: ReadOptions = {}): Promise<CaseImage> {
  throw new Error("being written");
}

export function readLabels(
  _reader: ReaderName,
  _file: string,
): Promise<{ readonly labels: LabelVolume & { readonly data: Int16Array }; readonly geometry: ImageGeometry }> {
  throw new Error("being written");
}

export function imageGridCorners(_geometry: ImageGeometry): Float64Array {
  throw new Error("being written");
}

/** Largest distance between corresponding corners of two grids, in voxels. */
export function compareGrids(_a: ImageGeometry, _b: ImageGeometry): number {
  throw new Error("being written");
}
