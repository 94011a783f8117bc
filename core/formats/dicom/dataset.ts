/** What is read of a DICOM object: its attributes as plain text and numbers, the items of sequences the same way, and where its pixels lie. */
import type { Keyword } from "./attributes.ts";

/** An object's attributes, or those of an item of a sequence. */
export interface DicomDataset {
  /** True where the attribute is there, with or without a value. */
  has(keyword: Keyword): boolean;
  /** All values of a text, without the spaces that pad them; none where it is not there or empty. */
  texts(keyword: Keyword): readonly string[];
  /** The first value; undefined where it is not there or empty. A long text (LT, ST, UT) is one value. */
  text(keyword: Keyword): string | undefined;
  /** All values of a number, binary or written out (DS, IS); NaN where what is written is none. */
  numbers(keyword: Keyword): readonly number[];
  /** The first value; undefined where it is not there or empty, NaN where what is written is no number. */
  number(keyword: Keyword): number | undefined;
  /** The bytes of a value as they are stored; empty where it is not there. */
  bytes(keyword: Keyword): Uint8Array;
  /** The items of a sequence. */
  items(keyword: Keyword): readonly DicomDataset[];
}

/** Where the Pixel Data's value lies. */
export interface PixelPlace {
  /** In bytes from the file's beginning, as if what is deflated in it were inflated in its place. */
  readonly offset: number;
  /** In bytes; undefined where the pixels are encapsulated: fragments up to a delimiter. */
  readonly length?: number;
  /** From the Extended Offset Table, where there is one: where each frame's first fragment begins, counted from the first one's item. */
  readonly frameOffsets?: readonly number[];
}

/** A DICOM object of which all but the pixels is read. */
export interface DicomFile {
  readonly file: string;
  /** Bytes of the file. */
  readonly fileBytes: number;
  /** UID of the transfer syntax. */
  readonly transferSyntax: string;
  /** The object's attributes, and those of the file's meta information. */
  readonly dataset: DicomDataset;
  /** Undefined where the object has no Pixel Data. */
  readonly pixels?: PixelPlace;
  /** True where numbers of two bytes and more have the high byte first, the pixels' too. */
  readonly bigEndian: boolean;
  /** Where the deflated stream begins that all behind the meta information is in one transfer syntax. */
  readonly deflatedFrom?: number;
}
