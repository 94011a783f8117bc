/** The transfer syntaxes of DICOM: how pixels are packed, and which of the ways are read. */

/** How a frame's pixels are packed. */
export type Packing = "none" | "rle" | "jpeg" | "jpeg lossless" | "jpeg-ls" | "jpeg 2000";

const READ: ReadonlyMap<string, Packing> = new Map([
  ["1.2.840.10008.1.2", "none"],
  ["1.2.840.10008.1.2.1", "none"],
  ["1.2.840.10008.1.2.1.99", "none"],
  ["1.2.840.10008.1.2.2", "none"],
  ["1.2.840.10008.1.2.5", "rle"],
  ["1.2.840.10008.1.2.4.50", "jpeg"],
  ["1.2.840.10008.1.2.4.57", "jpeg lossless"],
  ["1.2.840.10008.1.2.4.70", "jpeg lossless"],
  ["1.2.840.10008.1.2.4.80", "jpeg-ls"],
  ["1.2.840.10008.1.2.4.81", "jpeg-ls"],
  ["1.2.840.10008.1.2.4.90", "jpeg 2000"],
  ["1.2.840.10008.1.2.4.91", "jpeg 2000"],
]);

const NAMES: ReadonlyMap<string, string> = new Map([
  ["1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed"],
  ["1.2.840.10008.1.2.4.51", "JPEG Extended (12 bits)"],
  ["1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2, lossless"],
  ["1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2"],
  ["1.2.840.10008.1.2.4.94", "JPIP Referenced"],
  ["1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate"],
  ["1.2.840.10008.1.2.4.100", "MPEG2 Main Level"],
  ["1.2.840.10008.1.2.4.101", "MPEG2 High Level"],
  ["1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264"],
  ["1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible"],
  ["1.2.840.10008.1.2.4.107", "HEVC/H.265 Main"],
  ["1.2.840.10008.1.2.4.110", "JPEG XL, lossless"],
  ["1.2.840.10008.1.2.4.112", "JPEG XL"],
  ["1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000, lossless"],
  ["1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000, lossless, RPCL"],
  ["1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000"],
]);

/** Undefined for a transfer syntax that is not read. */
export function packingOf(transferSyntax: string): Packing | undefined {
  return READ.get(transferSyntax);
}

/** Name and UID, for errors. */
export function describeSyntax(transferSyntax: string): string {
  if (transferSyntax === "") return "none that it names";
  const name = NAMES.get(transferSyntax);
  return name === undefined ? transferSyntax : `${name} (${transferSyntax})`;
}

/** What may be exported instead. */
export const SYNTAX_REMEDY = "export it uncompressed, or as RLE, JPEG (8 bits), JPEG Lossless, JPEG-LS or JPEG 2000";
