/** The TIFF files of tests/golden/tiff/make_tiffs.py, with what nnU-Net's readers make of them. */
import zlib from "node:zlib";

/** What a reader makes of a file: channels, z, y, x, and the voxels. */
export interface ExpectedImage {
  readonly shape: readonly number[];
  readonly voxels: Float32Array;
}

export interface TiffCase {
  readonly ending: string;
  readonly file: Uint8Array;
  /** Null: the reader fails. */
  readonly Tiff3DIO: ExpectedImage | null;
  readonly NaturalImage2DIO: ExpectedImage | null;
}

type Stored = { readonly shape: readonly number[]; readonly voxels: string } | null;
type StoredCase =
  & Readonly<Record<"ending" | "file", string>>
  & Readonly<Record<"Tiff3DIO" | "NaturalImage2DIO", Stored>>;

/** Bytes that are deflated and in base64. */
export function unpacked(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(zlib.inflateSync(Uint8Array.fromBase64(text)));
}

export function readTiffs(): ReadonlyMap<string, TiffCase> {
  const stored: Record<string, StoredCase> = JSON.parse(
    Deno.readTextFileSync(new URL("./tiffs.json", import.meta.url)),
  );
  const image = (one: Stored) => one && { shape: one.shape, voxels: new Float32Array(unpacked(one.voxels).buffer) };
  return new Map(
    Object.entries(stored).map(([name, { ending, file, Tiff3DIO, NaturalImage2DIO }]) => [
      name,
      { ending, file: unpacked(file), Tiff3DIO: image(Tiff3DIO), NaturalImage2DIO: image(NaturalImage2DIO) },
    ]),
  );
}

/** What is refused of what Python reads, and why. */
export const REFUSED: Readonly<Record<string, string>> = {
  pages_10_one_other: "Python takes a page of another size for one of the first's, and reads on behind it",
  ome_planes_missing: "Python fills planes that are not there with zeros",
  ome_uuid_is_other: "Python fills planes of a file that is not there with zeros",
  strip_missing: "Python fills strips that are not there with zeros",
  strip_empty: "Python fills strips without data with zeros",
  described_more_packed: "Python takes the one page that is there of five for the image",
  predictor_2_bare: "Python adds up differences over the ends of rows",
  bits_5_6_5: "colours of 5 and 6 bits",
  picture_complex64: "complex numbers, of which Python drops a part",
  picture_complex128: "complex numbers, of which Python drops a part",
  format_complex_whole: "complex numbers, of which Python drops a part",
  format_float_24: "floats of 24 bits",
  predictor_3_of_whole_numbers: "a predictor that is none of whole numbers'",
  picture_lzma: "packing",
  picture_jpeg: "packing",
  picture_jpeg2000: "packing",
  picture_jpegxl: "packing",
  picture_png: "packing",
  svs: "a microscope's format",
};

/** What is read though Python fails. */
export const READ_ANYWAY: Readonly<Record<string, string>> = {
  padded_strips: "a last strip that is filled up to the others' rows, as libtiff reads it",
  described_no_shape: "a description of tifffile's kind without a shape counts as none",
};
