/** The BMP files of tests/golden/bmp/make_bmps.py, with what NaturalImage2DIO makes of them. */
import { type ExpectedImage, unpacked } from "../tiff/tiffs.ts";

export interface BmpCase {
  readonly file: Uint8Array;
  /** Null: the reader fails. */
  readonly expected: ExpectedImage | null;
}

type Stored = { readonly shape: readonly number[]; readonly voxels: string } | null;

export function readBmps(): ReadonlyMap<string, BmpCase> {
  const stored: Record<string, { readonly file: string; readonly NaturalImage2DIO: Stored }> = JSON.parse(
    Deno.readTextFileSync(new URL("./bmps.json", import.meta.url)),
  );
  return new Map(
    Object.entries(stored).map(([name, { file, NaturalImage2DIO: image }]) => {
      const expected = image && { shape: image.shape, voxels: new Float32Array(unpacked(image.voxels).buffer) };
      return [name, { file: unpacked(file), expected }];
    }),
  );
}

/** What is refused of what Python reads, and why. */
export const REFUSED: Readonly<Record<string, string>> = {
  black_and_white_of_8_bits: "Python takes bytes for 8 pixels each",
  one_colour: "Python takes bytes for 8 pixels each",
  runs_4_of_8_bits: "runs of 4 bits in a picture of 8",
  runs_8_of_4_bits: "runs of 8 bits in a picture of 4",
  offset_in_header: "Python takes the header for pixels",
};
