/** The record of a folder of preprocessed data: which cases are done, made of which files, a line a case. */
import { z } from "zod";
import { writeAtomically, writeError } from "../base/files.ts";
import { join } from "../base/path.ts";
import { PATH_NAME } from "../base/path_name.ts";
import { isRecord, RECORD, recordsInside } from "./data_folder_files.ts";

export const NOTING = "noting which cases are preprocessed";

/** Path, bytes and time of change (ms) of a case's files. */
export type InputStates = readonly (readonly [path: string, bytes: number, changed: number])[];

export type CaseFiles = readonly (readonly [name: string, bytes: number])[];

/** A line of the record. Its names become paths. */
const CASE_RECORD = z.object({
  id: PATH_NAME,
  inputs: z.array(z.tuple([z.string(), z.number(), z.number()])),
  files: z.array(z.tuple([PATH_NAME, z.number()])),
});

export interface CaseRecord {
  readonly id: string;
  readonly inputs: InputStates;
  readonly files: CaseFiles;
}

/** A record that is added to. */
export interface RecordLog extends Disposable {
  /** The line is on the disk when this returns. @throws UserError if it can't be written */
  add(one: CaseRecord): void;
}

/** Opens a record, which is there. */
export function appendRecord(file: string): RecordLog {
  const log = Deno.openSync(file, { append: true });
  return {
    add(one) {
      const bytes = new TextEncoder().encode(`${JSON.stringify(one)}\n`);
      try {
        for (let at = 0; at < bytes.length;) at += log.writeSync(bytes.subarray(at));
        log.syncDataSync();
      } catch (error) {
        throw writeError(error, file, NOTING, bytes.length);
      }
    },
    [Symbol.dispose]: () => log.close(),
  };
}

/** Writes a record anew, beside the old one, so that a full disk does not take what that says. */
export async function writeRecord(folder: string, first: string, records: readonly CaseRecord[]): Promise<void> {
  const lines = [first, ...records.map((one) => JSON.stringify(one))];
  await writeAtomically(join(folder, RECORD), `${lines.join("\n")}\n`, { doing: NOTING });
}

/** The cases of a folder made with that setting, by however many processes; the last of each case. */
export function readRecord(folder: string, setting: string): CaseRecord[] {
  const records = new Map<string, CaseRecord>();
  for (const name of recordsIn(folder)) {
    for (const one of parseRecord(Deno.readTextFileSync(join(folder, name)), setting)) records.set(one.id, one);
  }
  return [...records.values()];
}

/** Names of a folder's records, or the path in it of one that is in a folder of its own; none if it is not there. */
export function recordsIn(folder: string): string[] {
  try {
    const records = Array.from(Deno.readDirSync(folder), ({ name }) => name).filter(isRecord).sort();
    return records.length > 0 ? records : recordsInside(folder);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
}

function parseRecord(text: string, setting: string): CaseRecord[] {
  const [first, ...lines] = text.split("\n");
  return first === setting ? lines.flatMap(parseLine) : [];
}

/** One case, or none in the empty last line, or one that was being written when the machine stopped. */
export function parseLine(line: string): CaseRecord[] {
  try {
    const one = CASE_RECORD.safeParse(JSON.parse(line));
    return one.success ? [one.data] : [];
  } catch {
    return [];
  }
}

/** True if a case's files are there as noted, and made of the files that it has now. */
export function isCurrent(
  folder: string,
  { id, inputs, files }: CaseRecord,
  now: ReadonlyMap<string, InputStates>,
): boolean {
  if (JSON.stringify(now.get(id)) !== JSON.stringify(inputs)) return false;
  return files.every(([name, bytes]) => {
    try {
      return Deno.statSync(join(folder, name)).size === bytes;
    } catch {
      return false;
    }
  });
}
