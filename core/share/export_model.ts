/**
 * Packing trained models into a zip that Python's nnU-Net and installZip take. Everything is looked up before the first byte is written.
 * Source: nnunetv2/model_sharing/model_export.py. Other than there, `strict: false` works, what find_best_configuration chose is packed
 * whether or not there are ensembles, and with postprocessings what they are applied with (plans.json, dataset.json).
 */
import { writeAll, writeAtomically } from "../base/files.ts";
import { filePieces } from "../base/file_pieces.ts";
import { refuseOverwriting } from "../base/overwriting.ts";
import { join } from "../base/path.ts";
import { type WrittenEntry, zipDirectory } from "../formats/archive/zip_directory.ts";
import { dosTime, writeZipEntry } from "../formats/archive/zip_entry.ts";
import { DOING, type ExportSelection, planExport } from "./export_plan.ts";

export interface ExportRequest extends ExportSelection {
  /** The zip file. */
  readonly output: string;
  readonly signal?: AbortSignal;
  /** Lines as upstream prints them. */
  readonly say: (line: string) => void;
  readonly warn: (message: string) => void;
  readonly onProgress?: (doneBytes: number, ofBytes: number) => void;
}

export interface Exported {
  readonly models: readonly string[];
  readonly files: number;
  /** Unpacked. */
  readonly bytes: number;
}

/** Python's default. */
const LEVEL = 6;
const REGULAR_FILE = 0o100644;

/**
 * Writes `request.output`.
 * @throws UserError if something is missing (strict), or nothing is there; Interrupted
 */
export async function exportModel(request: ExportRequest): Promise<Exported> {
  const { results, output, signal } = request;
  const { steps, models, warnings } = await planExport(request);
  for (const warning of warnings) request.warn(warning);
  const files = steps.flatMap((step) => "file" in step ? [step.file] : []);
  refuseOverwriting(
    files.map((file) => ({ path: join(results, file), what: "a file that is to be exported" })),
    [{ path: output, what: "the zip file" }],
    { doing: DOING, remedy: "name another file with -o" },
  );
  let total = 0;
  for (const file of files) total += (await Deno.stat(join(results, file))).size;
  let bytes = 0;
  const onPiece = (length: number) => {
    bytes += length;
    // A file that grows meanwhile is packed as long as it then is.
    request.onProgress?.(Math.min(bytes, total), total);
  };
  const write = async (out: Deno.FsFile) => {
    const entries: WrittenEntry[] = [];
    let offset = 0;
    for (const step of steps) {
      if ("line" in step) request.say(step.line);
      else {
        const entry = await packFile(out, offset, step.file, request, onPiece);
        entries.push(entry);
        offset = entry.end;
      }
    }
    await writeAll(out, zipDirectory(entries, offset));
  };
  await writeAtomically(output, write, { doing: DOING, signal, removesLeftovers: true, bytes: total });
  request.say("Done");
  return { models, files: files.length, bytes };
}

async function packFile(
  out: Deno.FsFile,
  offset: number,
  file: string,
  { results, signal }: ExportRequest,
  onPiece: (length: number) => void,
): Promise<WrittenEntry> {
  const path = join(results, ...file.split("/"));
  const { mtime } = await Deno.stat(path);
  const pieces = async function* () {
    for await (const piece of filePieces(path, DOING, signal)) {
      yield piece;
      onPiece(piece.length);
    }
  };
  return await writeZipEntry(out, offset, {
    name: file,
    modified: mtime ? dosTime(mtime) : undefined,
    mode: REGULAR_FILE,
    level: LEVEL,
    runsOnly: file.endsWith(".pth"),
    source: pieces(),
  });
}
