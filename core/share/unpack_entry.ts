/** Unpacks one file of a model's zip; plain data in and out, so that it runs in any thread. */
import { createHash } from "node:crypto";
import { Interrupted } from "../base/errors.ts";
import { writeAllSync, writeError } from "../base/files.ts";
import { openZip, type ZipEntry, type ZipFile } from "../formats/archive/zip.ts";
import type { Checksum } from "./checksums.ts";

export interface UnpackJob {
  readonly entry: ZipEntry;
  /** Is there, and empty. */
  readonly target: string;
  /** Bytes of all files that are unpacked, for the error of a full disk. */
  readonly total: number;
}

/** What is being done, for errors. */
export const INSTALLING = "installing the models";

/** @throws UserError as {@link openZip} */
export function openModelZip(file: string): ZipFile {
  return openZip(file, INSTALLING, {
    kind: "zip file",
    remedy: "download or copy it again; `unzip -t FILE` tells whether a copy is whole",
  });
}

/**
 * Reads the entry in its place, whatever list of contents the file has by now; its checksum is verified.
 * @throws UserError if the zip is damaged or writing fails; Interrupted if the signal aborts. What is written then is not the file
 */
export async function unpackEntry(
  zip: ZipFile,
  { entry, target, total }: UnpackJob,
  signal?: AbortSignal,
): Promise<Checksum> {
  const hash = createHash("sha256");
  try {
    using out = await Deno.open(target, { write: true });
    for await (const piece of zip.pieces(entry)) {
      if (signal?.aborted) throw new Interrupted(`stopped while ${INSTALLING}; nothing was installed`);
      hash.update(piece);
      writeAllSync(out, piece);
    }
  } catch (error) {
    throw writeError(error, target, INSTALLING, total);
  }
  return { bytes: entry.size, sha256: hash.digest("hex") };
}
