/** Undoes what was done to rows of samples to pack them better. Source: TIFF 6.0, section 14; Adobe's TIFF technical note 3. */
import { HOST_LITTLE_ENDIAN } from "../nifti/voxels.ts";
import { TiffRefusal } from "./problem.ts";

export const NONE = 1;
/** Differences to the sample of the pixel to the left. */
export const HORIZONTAL = 2;
/** The bytes of a row's floats, the highest ones first, and their differences. */
export const FLOATING_POINT = 3;

/** @throws TiffRefusal if the predictor is another, or not for these samples, or nothing is packed (tifffile adds up whole pages) */
export function checkPredictor(predictor: number, isFloat: boolean, isPacked: boolean): void {
  if (predictor === NONE) return;
  if (isPacked && (predictor === HORIZONTAL || (predictor === FLOATING_POINT && isFloat))) return;
  throw new TiffRefusal(
    `its pixels are stored by predictor ${predictor}${isPacked ? "" : " without being packed"}, which is not read`,
    "save it without a predictor",
  );
}

/** Adds up differences of `perRow` numbers a row, `samples` of them a pixel; modulo the numbers' width. */
export function addDifferences(
  rows: Uint8Array | Uint16Array | Uint32Array | BigUint64Array,
  perRow: number,
  samples: number,
): void {
  if (rows instanceof BigUint64Array) {
    for (let start = 0; start < rows.length; start += perRow) {
      for (let i = start + samples; i < start + perRow; i++) rows[i] += rows[i - samples];
    }
    return;
  }
  for (let start = 0; start < rows.length; start += perRow) {
    for (let i = start + samples; i < start + perRow; i++) rows[i] += rows[i - samples];
  }
}

/** Turns rows of predicted floats of `width` bytes into floats in the byte order of this machine, in place. */
export function undoFloatingPoint(rows: Uint8Array, perRow: number, samples: number, width: number): void {
  const rowBytes = perRow * width;
  const row = new Uint8Array(rowBytes);
  for (let start = 0; start < rows.length; start += rowBytes) {
    const bytes = rows.subarray(start, start + rowBytes);
    for (let i = samples; i < rowBytes; i++) bytes[i] += bytes[i - samples];
    for (let byte = 0; byte < width; byte++) {
      const to = HOST_LITTLE_ENDIAN ? width - 1 - byte : byte;
      const from = byte * perRow;
      for (let i = 0; i < perRow; i++) row[i * width + to] = bytes[from + i];
    }
    bytes.set(row);
  }
}
