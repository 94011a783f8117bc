/**
 * What an image format is: its file names, how an image is opened (headers only) and read into the caller's array, how a segmentation
 * is written. A format is one object in a file of its own, named in readers.ts by the reader classes that take it; nothing else in
 * the program knows a format.
 */
import { voxelCount } from "../../base/shape.ts";
import type { ImageGeometry, LabelValues, LabelVolume } from "./image.ts";

/** What is being done, in errors of reading. */
export const READING = "reading the image";
/** What is being done, in errors of writing. */
export const WRITING = "writing the segmentation";

/** What may be chosen when reading. */
export interface ReadOptions {
  /**
   * NaN and infinite voxels. `keep` (default) leaves them, for the preprocessing to refuse or replace; `asUpstream` does what the
   * reader does: SimpleITKIO makes them 0 before the scaling, the nibabel readers keep them.
   */
  readonly nonFinite?: "keep" | "asUpstream";
  /** The file is a segmentation; a class may look for what lies beside one by another name. */
  readonly labels?: true;
}

/** What is known of an image without its voxels. */
export interface ImageProbe {
  readonly channels: number;
  readonly geometry: ImageGeometry;
  /** Type of the numbers in the file, as numpy names it: "int16". */
  readonly storedType: string;
  /** Bytes that reading holds beside the array it fills. */
  readonly bufferBytes: number;
}

/** An image whose headers are read and whose voxels are not. */
export interface OpenedImage extends ImageProbe, AsyncDisposable {
  readonly file: string;
  /** Sentences about what is unusual but usable, naming the file. */
  readonly warnings: readonly string[];
  /**
   * Streams all channels, in the geometry's order, into `target` from `offset` on, and checks the files to their ends. To be called
   * once; gives further warnings.
   * @throws UserError naming the file if it is damaged or ends early
   */
  read(target: Float32Array, offset: number): Promise<readonly string[]>;
  /** Where the numbers are stored as whole ones of 8 or 16 bits, and not scaled. */
  readonly small?: SmallNumbers;
}

/** Another way to read an image's numbers, for labels: as they are stored, without float32's four bytes for each. */
export interface SmallNumbers {
  /** The type that holds all of them. */
  readonly type: "uint8" | "int16" | "uint16";
  /** As {@link OpenedImage.read}. @param target Of the type, or a larger one */
  read(target: LabelValues): Promise<readonly string[]>;
}

/** A segmentation to be written; its labels are checked (0 or more) and have the geometry's shape. */
export interface LabelsToWrite {
  readonly labels: LabelVolume;
  readonly geometry: ImageGeometry;
  /** 1 where all labels are below 256. */
  readonly bytesPerLabel: 1 | 2;
  readonly signal?: AbortSignal;
}

export interface ImageFormat {
  readonly name: string;
  /** Endings of its files in lower case; the first is the usual one. */
  readonly endings: readonly string[];
  /**
   * How many channels a file may hold: `one`; `as stored`, which its header tells; `colours`, where fewer files than channels are left
   * to reading to judge.
   */
  readonly channelsPerFile: "one" | "as stored" | "colours";
  /** How to save a segmentation that has several channels: after "save it as". */
  readonly labelsAdvice: string;
  /** All files and folders that make the image which `file` names; a header that names others is read for it. */
  filesOf(file: string): readonly string[] | Promise<readonly string[]>;
  /** A file beside a segmentation that tells what the segmentation's own does not, and goes where that goes, by its name. */
  besideLabels?(file: string): string;
  /**
   * Reads the headers, and refuses sizes that the files can't hold, before memory is taken for them.
   * @throws UserError naming the file if it is damaged or not what the reader class takes
   */
  open(file: string, options: ReadOptions): Promise<OpenedImage>;
  /** Writes the segmentation, whole or not at all. @throws UserError; Interrupted if the signal aborts */
  write(file: string, segmentation: LabelsToWrite): Promise<void>;
}

/** Bytes that an image takes while it is read, its float32 array included. */
export function bytesToRead({ channels, geometry, bufferBytes }: ImageProbe): number {
  return 4 * channels * voxelCount(geometry.shape) + bufferBytes;
}
