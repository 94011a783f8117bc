/**
 * The state folder: jobs/ID/job.json is a job's record, jobs/ID/images what was received, jobs/ID/result what came of it. A job that is
 * being received has a hidden folder, which gets its name when it is whole. Whatever ends the service, the next one finds all that was
 * accepted.
 */
import { z } from "zod";
import { UserError } from "../../core/base/errors.ts";
import { ensureFolder, freeBytes, removeIfThere, writeAtomically, writeError } from "../../core/base/files.ts";
import { takeLock } from "../../core/base/folder_lock.ts";
import { readJsonFile } from "../../core/base/json.ts";
import { join } from "../../core/base/path.ts";
import { readFolder } from "../../core/base/read_folder.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { givenUp, type Job, JOB_ID, JOB_RECORD, type JobRecord } from "./job.ts";

const FORMAT = { format: "nnunet serve", version: 1 } as const;
const MARK = "serve.json";
const LOCK = ".serve.lock";
const RECEIVING = ".receiving-";
const DOING = "opening the state folder";
/** Read and write for the service's user alone: images are patients'. */
const PRIVATE = 0o700;

export interface JobStore extends Disposable {
  readonly folder: string;
  /** In the order they were accepted. */
  readonly jobs: ReadonlyMap<string, Job>;
  /** Bytes of all jobs. */
  bytes(): number;
  /** Bytes that all jobs together may take. */
  readonly limit: number;
  /** Bytes that may still come, by the limit and the disk: what is being received counts as it comes. */
  room(): number;
  folderOf(id: string): string;
  /** A hidden folder for a job that is being received; removed on disposal unless it was accepted. */
  receive(): Promise<Receiving>;
  /** Writes the record. @throws UserError */
  save(job: Job): Promise<void>;
  /** Counts a job's bytes anew. */
  weigh(job: Job): Promise<void>;
  /** Removes what was received, which a finished job does not need. */
  dropImages(job: Job): Promise<void>;
  remove(id: string): Promise<void>;
}

export interface Receiving extends AsyncDisposable {
  readonly id: string;
  /** For the images. */
  readonly images: string;
  /** Counts bytes that have come. */
  count(bytes: number): void;
  /** Makes it a job. @throws UserError */
  accept(record: Omit<JobRecord, "version" | "id" | "order" | "state" | "attempts" | "accepted">): Promise<Job>;
}

/**
 * @param limit Bytes that all jobs together may take
 * @throws UserError if another service has the folder, or it is another version's or something else's
 */
export async function openJobStore(path: string, limit: number): Promise<JobStore> {
  await ensureFolder(path, DOING);
  const folder = await Deno.realPath(path);
  await requireOurs(folder);
  const lock = takeLock(join(folder, LOCK), {
    doing: DOING,
    problem: "another service has it",
    remedy: "stop that one, or give another folder with --state",
  });
  try {
    await writeAtomically(join(folder, MARK), JSON.stringify(FORMAT), { doing: DOING });
    const jobs = await loadJobs(join(folder, "jobs"));
    return storeOf(folder, jobs, lock, limit);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

async function requireOurs(folder: string): Promise<void> {
  const mark = join(folder, MARK);
  const remedy = "give another folder with --state";
  if (await statOrNull(mark, DOING) === null) {
    const names = (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).filter((name) => name !== LOCK);
    // Of a service that was killed as it began.
    const others = names.filter((name) => !name.startsWith(`.${MARK}`));
    if (others.length === 0) {
      if (Deno.build.os !== "windows") await Deno.chmod(folder, PRIVATE).catch(() => {});
      return;
    }
    const problem = `it is no state folder of a service, and not empty: there is ${others.sort()[0]}`;
    throw new UserError({ doing: DOING, file: folder, problem, remedy });
  }
  const { value } = await readJsonFile(mark, DOING);
  const found = z.object({ format: z.literal(FORMAT.format), version: z.unknown() }).safeParse(value);
  if (found.success && found.data.version === FORMAT.version) return;
  const problem = found.success
    ? `it is a state folder of version ${JSON.stringify(found.data.version)}, and this program's is ${FORMAT.version}`
    : "it does not say that it is a service's";
  throw new UserError({ doing: DOING, file: mark, problem, remedy: `${remedy}, or the program that made this one` });
}

async function loadJobs(folder: string): Promise<Map<string, Job>> {
  await ensureFolder(folder, DOING);
  const jobs: Job[] = [];
  for (const { name } of await readFolder(folder, DOING) ?? []) {
    const path = join(folder, name);
    if (name.startsWith(RECEIVING)) await removeIfThere(path, DOING, { recursive: true });
    if (JOB_ID.test(name)) jobs.push({ record: await readRecord(path, name), bytes: await bytesBelow(path) });
  }
  jobs.sort((a, b) => a.record.order - b.record.order);
  return new Map(jobs.map((job) => [job.record.id, job]));
}

/** The record of a job's folder; of one whose record is damaged, that it has failed. */
async function readRecord(folder: string, id: string): Promise<JobRecord> {
  try {
    const { value } = await readJsonFile(join(folder, "job.json"), "reading a job's record");
    const record = JOB_RECORD.parse(value);
    if (record.id === id) return record;
  } catch (error) {
    if (!(error instanceof UserError || error instanceof z.ZodError)) throw error;
  }
  const now = new Date().toISOString();
  return {
    version: 1,
    id,
    order: 0,
    model: "",
    options: { disable_tta: false, step_size: 0.5, save_probabilities: false },
    case: "unknown",
    files: [],
    received: false,
    state: "failed",
    attempts: 0,
    accepted: now,
    finished: now,
    error: givenUp("reading the job's record", "it is damaged", "send the images again"),
  };
}

function storeOf(folder: string, jobs: Map<string, Job>, lock: Disposable, limit: number): JobStore {
  const all = join(folder, "jobs");
  let order = Math.max(0, ...[...jobs.values()].map(({ record }) => record.order));
  const folderOf = (id: string) => join(all, id);
  const bytes = () => jobs.values().reduce((sum, job) => sum + job.bytes, 0);
  const free = freeAsTold(() => freeBytes(folder) ?? Infinity);
  /** Of what is being received. */
  let coming = 0;

  async function save({ record }: Job): Promise<void> {
    await writeRecord(folderOf(record.id), record);
  }

  async function weigh(job: Job): Promise<void> {
    job.bytes = await bytesBelow(folderOf(job.record.id));
  }

  return {
    folder,
    jobs,
    bytes,
    limit,
    room: () => Math.min(limit - bytes() - coming, free.left()),
    folderOf,
    save,
    weigh,
    async receive() {
      const id = crypto.randomUUID().replaceAll("-", "");
      const hidden = join(all, `${RECEIVING}${id}`);
      const images = join(hidden, "images");
      try {
        await Deno.mkdir(images, { recursive: true, mode: PRIVATE });
      } catch (error) {
        throw writeError(error, images, "receiving a job");
      }
      let own = 0;
      const uncount = () => {
        coming -= own;
        own = 0;
      };
      return {
        id,
        images,
        count(bytes) {
          own += bytes;
          coming += bytes;
          free.count(bytes);
        },
        async accept(asked) {
          const accepted = new Date().toISOString();
          const record = { version: 1, id, order: ++order, state: "queued", attempts: 0, accepted, ...asked } as const;
          await writeRecord(hidden, record);
          try {
            await Deno.rename(hidden, folderOf(id));
          } catch (error) {
            throw writeError(error, folderOf(id), "receiving a job");
          }
          const job: Job = { record, bytes: 0 };
          jobs.set(id, job);
          await weigh(job);
          uncount();
          return job;
        },
        async [Symbol.asyncDispose]() {
          // What can't be removed is the next service's: as an error it would hide why the job is refused.
          await Deno.remove(hidden, { recursive: true }).catch(() => {});
          uncount();
        },
      };
    },
    async dropImages(job) {
      await removeIfThere(join(folderOf(job.record.id), "images"), "removing a job's images", { recursive: true });
      await weigh(job);
    },
    async remove(id) {
      await removeIfThere(folderOf(id), "removing a job", { recursive: true });
      jobs.delete(id);
    },
    [Symbol.dispose]: () => lock[Symbol.dispose](),
  };
}

/** What a disk has free without asking it for each piece of a body: what has come since it was asked counts as written. */
export interface FreeAsTold {
  left(): number;
  count(bytes: number): void;
}

const ASKED_BYTES = 16 << 20;
const ASKED_MS = 1000;

/** @param ask The disk's bytes. @param clock Milliseconds */
export function freeAsTold(ask: () => number, clock: () => number = () => performance.now()): FreeAsTold {
  let told = 0;
  let come = 0;
  let asked = -Infinity;
  return {
    left() {
      // Where there is little, each byte counts.
      if (come >= ASKED_BYTES || told - come < ASKED_BYTES || clock() - asked >= ASKED_MS) {
        told = ask();
        come = 0;
        asked = clock();
      }
      return told - come;
    },
    count: (bytes) => void (come += bytes),
  };
}

async function writeRecord(folder: string, record: JobRecord): Promise<void> {
  const text = JSON.stringify(JOB_RECORD.parse(record));
  await writeAtomically(join(folder, "job.json"), text, { doing: "writing a job's record", sync: true });
}

async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0;
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const path = join(folder, name);
      bytes += isDirectory ? await bytesBelow(path) : (await Deno.lstat(path)).size;
    }
  } catch (error) {
    // A file of a job that is at work has got another name meanwhile.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return bytes;
}
