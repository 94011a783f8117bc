/**
 * Installing trained models from a zip into nnUNet_results. The whole zip is checked first (model_zip.ts), then compared with what is
 * there, then unpacked into a hidden folder beside, every checksum verified, and only then moved to its names.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { UserError } from "../base/errors.ts";
import { filePieces } from "../base/file_pieces.ts";
import { ensureFolder, freeBytes, removeIfThere, writeAll, writeAtomically, writeError } from "../base/files.ts";
import { takeLock } from "../base/folder_lock.ts";
import { type JobKind, runJobs } from "../base/job_threads.ts";
import { basename, dirname, join } from "../base/path.ts";
import { readFolder } from "../base/read_folder.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import type { ZipFile } from "../formats/archive/zip.ts";
import { type Checksum, readChecksums, writeChecksums } from "./checksums.ts";
import { checkModelZip, isModel, type ModelZip, type ZippedFile } from "./model_zip.ts";
import { INSTALLING, openModelZip, unpackEntry, type UnpackJob } from "./unpack_entry.ts";

export interface InstallRequest {
  readonly zip: string;
  /** nnUNet_results; made if it is not there. */
  readonly results: string;
  /** True: files that are there and differ are replaced. */
  readonly force: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (doneBytes: number, ofBytes: number) => void;
}

export interface Installed {
  /** "DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION" */
  readonly models: readonly string[];
  /** Files that were written; 0 if all were there already. */
  readonly files: number;
  readonly bytes: number;
  readonly warnings: readonly string[];
}

const LOCK = ".nnunet-install.lock";
const HIDDEN = ".nnunet-install.partial";
const SHOWN_FILES = 20;

/**
 * Installs all that is in a zip, or nothing of it.
 * @throws UserError if the zip is damaged, holds what can't be installed, or files that are there differ; Interrupted
 */
export async function installZip(request: InstallRequest): Promise<Installed> {
  const { results, force, signal } = request;
  using zip = openModelZip(request.zip);
  const contents = checkModelZip(zip, INSTALLING);
  await ensureFolder(results, INSTALLING);
  using _lock = takeLock(join(results, LOCK), {
    doing: INSTALLING,
    problem: "another run is installing into this folder at this moment",
    remedy: "wait until it ends, or stop it",
  });
  const { fresh, same, different } = await compare(contents, results, signal);
  if (different.length > 0 && !force) refuseDifferent(zip.path, different);
  const wanted = [...fresh, ...different];
  requireSpace(results, zip.path, wanted);
  const checksums = new Map(same);
  const hidden = join(results, HIDDEN);
  await removeIfThere(hidden, INSTALLING, { recursive: true });
  try {
    await unpack(zip, wanted, hidden, checksums, request);
    await moveAll(contents, wanted, hidden, results);
    for (const path of contents.folders) await ensureFolder(join(results, ...path), INSTALLING);
  } finally {
    await removeIfThere(hidden, INSTALLING, { recursive: true });
  }
  await record(contents, checksums, results, basename(zip.path));
  const bytes = wanted.reduce((sum, { entry }) => sum + entry.size, 0);
  return { models: contents.models, files: wanted.length, bytes, warnings: await oddities(contents, results) };
}

/** By the file's path below the results folder. */
type ChecksumsByPath = Map<string, Checksum>;

interface Comparison {
  readonly fresh: readonly ZippedFile[];
  readonly different: readonly ZippedFile[];
  readonly same: ChecksumsByPath;
}

async function compare(
  { files, folders }: ModelZip,
  results: string,
  signal: AbortSignal | undefined,
): Promise<Comparison> {
  await requireFolders([...folders, ...files.map(({ path }) => path.slice(0, -1))], results);
  const fresh: ZippedFile[] = [];
  const different: ZippedFile[] = [];
  const same: ChecksumsByPath = new Map();
  for (const file of files) {
    const target = join(results, ...file.path);
    const info = await statOrNull(target, INSTALLING);
    if (!info) {
      fresh.push(file);
      continue;
    }
    if (!info.isFile) {
      const problem = "a folder has the name of a file that is to be installed";
      throw new UserError({ doing: INSTALLING, file: target, problem, remedy: "move it away" });
    }
    const sha256 = info.size === file.entry.size ? await sha256IfSame(target, file.entry.crc32, signal) : null;
    if (sha256 === null) different.push(file);
    else same.set(file.path.join("/"), { bytes: info.size, sha256 });
  }
  return { fresh, different, same };
}

/** @throws UserError if something else has the name of one of the folders, or of one above */
async function requireFolders(paths: readonly (readonly string[])[], results: string): Promise<void> {
  const above = paths.flatMap((path) => path.map((_, i) => path.slice(0, i + 1).join("/")));
  for (const path of new Set(above)) {
    const target = join(results, ...path.split("/"));
    const info = await statOrNull(target, INSTALLING);
    if (!info || info.isDirectory) continue;
    const problem = "a file has the name of a folder that is to be installed";
    throw new UserError({ doing: INSTALLING, file: target, problem, remedy: "move it away" });
  }
}

async function sha256IfSame(file: string, checksum: number, signal: AbortSignal | undefined): Promise<string | null> {
  const hash = createHash("sha256");
  let found = 0;
  for await (const piece of filePieces(file, INSTALLING, signal)) {
    found = crc32(piece, found);
    hash.update(piece);
  }
  return found === checksum ? hash.digest("hex") : null;
}

function refuseDifferent(zip: string, different: readonly ZippedFile[]): never {
  const names = different.slice(0, SHOWN_FILES).map(({ path }) => path.join("/"));
  const more = different.length > names.length ? ` and ${different.length - names.length} more` : "";
  throw new UserError({
    doing: INSTALLING,
    file: zip,
    problem: `these files are there already and differ from those in the zip: ${names.join(", ")}${more}`,
    remedy: "--force replaces them; or move the model's folder away first",
  });
}

function requireSpace(results: string, zip: string, files: readonly ZippedFile[]): void {
  const needed = files.reduce((sum, { entry }) => sum + entry.size, 0);
  const free = freeBytes(results);
  if (free === null || needed <= free) return;
  const [needs, has] = [needed, free].map((bytes) => bytes.toLocaleString("en-US"));
  throw new UserError({
    doing: INSTALLING,
    file: zip,
    problem: `it unpacks to ${needs} bytes, and ${has} are free on the disk of ${results}`,
    remedy: "free some space, or set nnUNet_results to a folder on another disk",
  });
}

/** Bytes that are unpacked before threads would have started. */
const FEW_BYTES = 64 * 2 ** 20;
/** More read and write no faster on most disks. */
const MOST_THREADS = 8;
/** Pieces of a file on their way, packed and unpacked. */
const BYTES_PER_FILE = 8 * 2 ** 20;
const PROGRESS_EVERY = 250;

async function unpack(
  zip: ZipFile,
  files: readonly ZippedFile[],
  hidden: string,
  checksums: ChecksumsByPath,
  { signal, onProgress }: InstallRequest,
): Promise<void> {
  const total = files.reduce((sum, { entry }) => sum + entry.size, 0);
  const pathOf = new Map<UnpackJob, string>();
  // The largest first, as the last one has no other beside it.
  for (const { path, entry } of files.toSorted((a, b) => b.entry.size - a.entry.size)) {
    const target = join(hidden, ...path);
    await ensureFolder(dirname(target), INSTALLING);
    // Made here, so that none appears when a thread is ended and the folder removed.
    try {
      (await Deno.open(target, { write: true, createNew: true })).close();
    } catch (error) {
      throw writeError(error, target, INSTALLING, total);
    }
    pathOf.set({ entry, target, total }, path.join("/"));
  }
  const jobs = [...pathOf.keys()];
  const unpacking: JobKind<string, UnpackJob, Checksum> = {
    does: "unpacks files",
    interrupted: `stopped while ${INSTALLING}; nothing was installed`,
    startWorker: () => new Worker(new URL("./unpack_worker.ts", import.meta.url), { type: "module" }),
    setting: zip.path,
    runHere: (job) => unpackEntry(zip, job, signal),
    bytesOf: () => BYTES_PER_FILE,
  };
  const threads = total <= FEW_BYTES ? 1 : Math.min(navigator.hardwareConcurrency, MOST_THREADS);
  using progress = progressOf(jobs, (done) => onProgress?.(done, total));
  await runJobs(unpacking, jobs, { threads, memory: threads * BYTES_PER_FILE, signal }, (checksum, job) => {
    checksums.set(pathOf.get(job) ?? "", checksum);
    progress.finished(job);
  });
}

/** Tells how many bytes are written: at every file's end, and from time to time. */
function progressOf(
  jobs: readonly UnpackJob[],
  onBytes: (bytes: number) => void,
): Disposable & { readonly finished: (job: UnpackJob) => void } {
  const unfinished = new Set(jobs);
  let [finished, told] = [0, 0];
  const tell = (bytes: number) => {
    if (bytes > told) onBytes(told = bytes);
  };
  const timer = setInterval(() => {
    tell([...unfinished].reduce((sum, { target }) => sum + Deno.statSync(target).size, finished));
  }, PROGRESS_EVERY);
  return {
    finished: (job) => {
      unfinished.delete(job);
      tell(finished += job.entry.size);
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/**
 * Gives the files their names: models that are new as whole folders, others file by file. From here on nothing is asked that could be
 * refused.
 */
async function moveAll(
  { models }: ModelZip,
  files: readonly ZippedFile[],
  hidden: string,
  results: string,
): Promise<void> {
  const moved = new Set<string>();
  for (const model of models) {
    const target = join(results, ...model.split("/"));
    if (await statOrNull(target, INSTALLING)) continue;
    await ensureFolder(dirname(target), INSTALLING);
    try {
      await Deno.rename(join(hidden, ...model.split("/")), target);
      moved.add(model);
    } catch (error) {
      // The dataset's folder may be a link to another disk: then file by file.
      if (!isOtherDisk(error)) throw writeError(error, target, INSTALLING);
    }
  }
  for (const { path } of files) {
    if (moved.has(path.slice(0, 2).join("/"))) continue;
    const target = join(results, ...path);
    await ensureFolder(dirname(target), INSTALLING);
    await moveFile(join(hidden, ...path), target);
  }
}

async function moveFile(from: string, to: string): Promise<void> {
  try {
    await Deno.rename(from, to);
  } catch (error) {
    if (!isOtherDisk(error)) throw writeError(error, to, INSTALLING);
    const copy = async (file: Deno.FsFile) => {
      for await (const piece of filePieces(from, INSTALLING)) await writeAll(file, piece);
    };
    await writeAtomically(to, copy, { doing: INSTALLING });
  }
}

function isOtherDisk(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === "EXDEV";
}

async function record({ models }: ModelZip, all: ChecksumsByPath, results: string, zip: string): Promise<void> {
  for (const model of models) {
    const start = `${model}/`;
    const files = [...all].flatMap(([path, checksum]) =>
      path.startsWith(start) ? [[path.slice(start.length), checksum] as const] : []
    );
    const folder = join(results, ...model.split("/"));
    const known = await readChecksums(folder).catch(() => null);
    const isKnown = files.every(([file, { bytes, sha256 }]) => {
      const earlier = known?.get(file);
      return earlier?.bytes === bytes && earlier.sha256 === sha256;
    });
    if (!isKnown) await writeChecksums(folder, zip, new Map(files));
  }
}

/** What was left out of the zip, what a model lacks, and what is in its folder that is of another model. */
async function oddities({ leftOut, models, files }: ModelZip, results: string): Promise<string[]> {
  const warnings: string[] = [];
  if (leftOut.length > 0) {
    warnings.push(`not installed, as it belongs to no dataset: ${leftOut.slice(0, SHOWN_FILES).join(", ")}`);
  }
  const inZip = new Set(files.filter(({ path }) => isModel(path)).map(({ path }) => path.join("/")));
  for (const model of models) {
    const folder = join(results, ...model.split("/"));
    for (const name of ["plans.json", "dataset.json"]) {
      if (await statOrNull(join(folder, name), INSTALLING)) continue;
      warnings.push(`${model}: neither the zip nor the folder has ${name}, without which nothing can be predicted`);
    }
    const others: string[] = [];
    for (const { name, isDirectory } of await readFolder(folder, INSTALLING) ?? []) {
      if (!isDirectory || !name.startsWith("fold_")) continue;
      const checkpoints = (await readFolder(join(folder, name), INSTALLING) ?? []).filter((file) =>
        file.name.endsWith(".pth")
      );
      for (const file of checkpoints) {
        if (!inZip.has(`${model}/${name}/${file.name}`)) others.push(`${name}/${file.name}`);
      }
    }
    if (others.length > 0) {
      warnings.push(`${model}: was there before and is not in the zip: ${others.sort().join(", ")}`);
    }
  }
  return warnings;
}
