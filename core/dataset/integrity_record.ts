/**
 * That a dataset was checked and found right, remembered by path, size and time of its files, so that it is not read again for it.
 * The record lies in the preprocessed folder; nothing but the check reads it.
 */
import { readError } from "../base/read_error.ts";
import { z } from "zod";
import { writeAtomically } from "../base/files.ts";
import { readJsonFile, stringifyJson } from "../base/json.ts";
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import { filesOfImage } from "../formats/image/readers.ts";
import type { Finding } from "./integrity.ts";
import type { RawDataset } from "./raw_dataset.ts";

const NAME = "dataset_integrity.json";
/** Raised when the check learns to find more. */
const VERSION = 1;

/** What a check saw: path -> [bytes, milliseconds]. */
export type FileStates = Readonly<Record<string, readonly [number, number]>>;

interface IntegrityRecord {
  readonly version: number;
  readonly allow_geometry_mismatch: boolean;
  readonly files: FileStates;
  readonly warnings: readonly Finding[];
}

const RECORD: z.ZodType<IntegrityRecord> = z.object({
  version: z.literal(VERSION),
  allow_geometry_mismatch: z.boolean(),
  files: z.record(z.string(), z.tuple([z.number(), z.number()])),
  warnings: z.array(z.object({
    severity: z.enum(["error", "warning"]),
    kind: z.string(),
    caseId: z.string().optional(),
    file: z.string().optional(),
    found: z.string(),
    needed: z.string(),
  })),
});

/**
 * Size and time of dataset.json and of all files of all cases; a file that is not there is left out. One of two states that are
 * equal was read from the same files, as far as can be told without reading them.
 */
export async function fileStates(dataset: RawDataset): Promise<FileStates> {
  const states: Record<string, readonly [number, number]> = {};
  const files = [dataset.jsonFile];
  for (const { images, label } of dataset.cases) {
    for (const named of [...images, label]) files.push(...await filesOfImage(named));
  }
  for (const file of files) {
    try {
      const { size, mtime } = await Deno.stat(file);
      states[file] = [size, mtime?.getTime() ?? 0];
    } catch (error) {
      const { NotFound, NotADirectory, FilesystemLoop } = Deno.errors;
      if (![NotFound, NotADirectory, FilesystemLoop].some((kind) => error instanceof kind)) {
        throw readError(error, file, "looking for the dataset's files");
      }
    }
  }
  return states;
}

/** One that is damaged, or of another version, is none: the files are read again. */
async function readRecord(preprocessedFolder: string): Promise<IntegrityRecord | undefined> {
  try {
    const { value } = await readJsonFile(join(preprocessedFolder, NAME));
    return RECORD.safeParse(value).data;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/**
 * Files that have changed, come or gone since the check that is remembered; none where none is, or where it was of a dataset that has
 * been moved since, as other paths say nothing.
 */
export async function changedFiles(preprocessedFolder: string, states: FileStates): Promise<string[]> {
  const { files = {} } = await readRecord(preprocessedFolder) ?? {};
  const before = new Map(Object.entries(files));
  const now = new Map(Object.entries(states));
  if (![...now.keys()].some((path) => before.has(path))) return [];
  const changed = [...now].filter(([path, [bytes, time]]) => {
    const [bytesBefore, timeBefore] = before.get(path) ?? [];
    return bytesBefore !== bytes || timeBefore !== time;
  });
  return [...changed.map(([path]) => path), ...[...before.keys()].filter((path) => !now.has(path))];
}

/** The warnings of the check that was made of exactly these files, or null if there was none. */
export async function rememberedCheck(
  preprocessedFolder: string,
  states: FileStates,
  allowGeometryMismatch: boolean,
): Promise<readonly Finding[] | null> {
  const record = await readRecord(preprocessedFolder);
  if (!record || (record.allow_geometry_mismatch && !allowGeometryMismatch)) return null;
  const { files, warnings } = record;
  const paths = Object.keys(states);
  if (Object.keys(files).length !== paths.length) return null;
  const same = paths.every((path) => {
    const before = Object.hasOwn(files, path) ? files[path] : undefined;
    return before?.[0] === states[path][0] && before[1] === states[path][1];
  });
  return same ? warnings : null;
}

/** Remembers a check without errors. `states` are those from before the files were read. */
export async function rememberCheck(
  preprocessedFolder: string,
  states: FileStates,
  allowGeometryMismatch: boolean,
  warnings: readonly Finding[],
): Promise<void> {
  const record: IntegrityRecord = {
    version: VERSION,
    allow_geometry_mismatch: allowGeometryMismatch,
    files: states,
    warnings,
  };
  await writeAtomically(join(preprocessedFolder, NAME), stringifyJson(record), {
    doing: "remembering the dataset's check",
  });
}
