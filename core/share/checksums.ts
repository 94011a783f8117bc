/**
 * What was installed into a model's folder, file by file, so that it can be told later whether the files are still the same. A model
 * that is trained on or replaced by hand differs then, and says so.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { checkFields } from "../base/fields.ts";
import { filePieces } from "../base/file_pieces.ts";
import { writeAtomically } from "../base/files.ts";
import { readJsonFile, stringifyJson } from "../base/json.ts";
import { join } from "../base/path.ts";
import { PATH_NAME } from "../base/path_name.ts";
import { statOrNull } from "../base/stat_or_null.ts";

/** In a model's folder. */
export const CHECKSUMS_FILE = "nnunet_checksums.json";

export interface Checksum {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** By the file's path in the model's folder, with slashes. */
export type Checksums = ReadonlyMap<string, Checksum>;

/** Files up to this size are read even where all are to be checked quickly. */
const SMALL_BYTES = 2 ** 20;
const MOST_FILES = 100_000;
const CHECKING = "checking an installed model";

const FILE_PATH = z.string().refine(
  (path) => path.split("/").every((part) => PATH_NAME.safeParse(part).success),
  "expected the path of a file in the folder",
);
const RECORD = z.object({
  installed_from: z.string(),
  files: z.array(z.object({ file: FILE_PATH, bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) }))
    .max(MOST_FILES),
});

/**
 * What was installed into `folder`; null if nothing was.
 * @throws UserError if the record is damaged
 */
export async function readChecksums(folder: string): Promise<Checksums | null> {
  const file = join(folder, CHECKSUMS_FILE);
  const doing = "reading the checksums of an installed model";
  if (!(await statOrNull(file, doing))) return null;
  const { value } = await readJsonFile(file, doing);
  const remedy = "remove it; installing the model again makes it anew";
  const { files } = checkFields(RECORD, value, { doing, file, path: [], remedy });
  return new Map(files.map(({ file, bytes, sha256 }) => [file, { bytes, sha256 }]));
}

/** Adds what was installed to what was before. @param zip Name of the zip file */
export async function writeChecksums(folder: string, zip: string, files: Checksums): Promise<void> {
  const earlier = await readChecksums(folder).catch(() => null);
  const all = [...new Map([...earlier ?? [], ...files])].sort(([a], [b]) => (a < b ? -1 : 1));
  const text = stringifyJson({
    installed_from: zip,
    files: all.map(([file, { bytes, sha256 }]) => ({ file, bytes, sha256 })),
  });
  await writeAtomically(join(folder, CHECKSUMS_FILE), text, { doing: "recording the checksums" });
}

/** A file that is not as it was installed. */
export interface Difference {
  readonly file: string;
  readonly what: "missing" | "changed";
}

/**
 * Compares a model's folder with what was installed into it. Files that have come since are no difference.
 * @param whole True: every byte is read; otherwise sizes, and the bytes of small files (all but the weights)
 * @throws UserError if a file may not be read; Interrupted
 */
export async function findDifferences(
  folder: string,
  checksums: Checksums,
  { whole, signal }: { readonly whole: boolean; readonly signal?: AbortSignal },
): Promise<Difference[]> {
  const differences: Difference[] = [];
  for (const [name, { bytes, sha256 }] of checksums) {
    const file = join(folder, ...name.split("/"));
    const info = await statOrNull(file, CHECKING);
    if (!info?.isFile) {
      differences.push({ file: name, what: "missing" });
      continue;
    }
    const isSame = info.size === bytes &&
      ((!whole && bytes > SMALL_BYTES) || (await fileSha256(file, signal)) === sha256);
    if (!isSame) differences.push({ file: name, what: "changed" });
  }
  return differences;
}

async function fileSha256(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of filePieces(file, CHECKING, signal)) hash.update(piece);
  return hash.digest("hex");
}
