/** What the system says when a file can't be opened or read, as an error for the user. */
import { UserError } from "./errors.ts";
import { isDiskError, lostDisk } from "./lost_disk.ts";
import { isOutOfFiles, OUT_OF_FILES } from "./open_files.ts";

/** What stands for bytes that are not UTF-8 in a name that the system gives; by that name the file cannot be opened. */
const NOT_UTF8 = "\ufffd";

/** What is said of a file that the system does not find. */
export function absentFile(file: string, remedy: string): { readonly problem: string; readonly remedy: string } {
  if (!file.includes(NOT_UTF8)) return { problem: "there is no such file", remedy };
  return {
    problem: `a name in its path is not UTF-8 (${NOT_UTF8} stands for what is not), and such a file cannot be opened`,
    remedy: "rename it",
  };
}

/**
 * The {@link UserError} for a failed read, or `error` itself where it is none of the user's.
 * @param remedy What to do where the file is not there or is no file
 */
export function readError(error: unknown, file: string, doing: string, remedy = "check the name"): unknown {
  const user = (problem: string, what: string) =>
    new UserError({ doing, file, problem, remedy: what }, { cause: error });
  const code = (error as { code?: string } | null)?.code;
  if (error instanceof Deno.errors.NotFound) {
    const absent = absentFile(file, remedy);
    return user(absent.problem, absent.remedy);
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return user("it may not be read", "make it readable for this user");
  }
  if (error instanceof Deno.errors.IsADirectory || code === "EISDIR") {
    return user("it is a folder, a file is needed", remedy);
  }
  if (error instanceof Deno.errors.NotADirectory) return user("a part of its path is a file, not a folder", remedy);
  if (error instanceof Deno.errors.FilesystemLoop || code === "ELOOP") {
    return user("its links lead in a circle", "remove the link, or make it anew");
  }
  if (code === "ENAMETOOLONG") return user("its name is too long for this disk", "give it a shorter name");
  if (isOutOfFiles(error)) return user(OUT_OF_FILES.problem, OUT_OF_FILES.remedy);
  if (isDiskError(error)) return user("the disk reports an error where it lies", "copy the file from a backup");
  const lost = lostDisk(error);
  if (lost) return user(lost.problem, lost.remedy);
  return error;
}
