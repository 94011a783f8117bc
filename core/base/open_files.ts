/** The limit of files that a process may have open: tried before threads are started, as the runtime ends without a word where it is met. */
import { UserError } from "./errors.ts";

/** Beside what threads take: images, outputs, scratch files, and the thread that reads and writes cases. */
const FILES = 20;
/** A thread's own: its queue of events, and copies of the standard streams. */
const FILES_A_THREAD = 8;
/** No machine has so many threads that more are needed at once. */
const MOST_FILES = 512;

/** True for what the system says where too many files are open. */
export function isOutOfFiles(error: unknown): boolean {
  const code = (error as { code?: string } | null)?.code;
  return code === "EMFILE" || code === "ENFILE" ||
    (error instanceof Error && /os error 2[34]\b|too many open files/i.test(error.message));
}

/** What is said of it. */
export const OUT_OF_FILES = {
  problem: "too many files are open at once",
  remedy: "raise the limit (ulimit -n 1024), or use fewer threads",
} as const;

/** @throws UserError unless as many files can be opened as `threads` threads take; it takes less than a millisecond */
export function requireOpenFiles(threads: number): void {
  const wanted = Math.min(MOST_FILES, FILES + FILES_A_THREAD * threads);
  const opened: Deno.FsFile[] = [];
  try {
    // A file that is there wherever the program runs.
    const file = Deno.execPath();
    while (opened.length < wanted) opened.push(Deno.openSync(file));
  } catch (error) {
    // What can't be tried is found out as it goes.
    if (!isOutOfFiles(error)) return;
    throw new UserError({
      doing: "starting",
      problem: `only ${opened.length} more files may be open at once, and ${wanted} are needed for ${threads} threads`,
      remedy: "raise the limit (ulimit -n 1024)",
    }, { cause: error });
  } finally {
    for (const file of opened) file.close();
  }
}
