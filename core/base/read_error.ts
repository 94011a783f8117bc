/** What the system says when a file can't be opened or read, as an error for the user. */
import { UserError } from "./errors.ts";
import { isOutOfFiles, OUT_OF_FILES } from "./open_files.ts";

/**
 * The {@link UserError} for a failed read, or `error` itself where it is none of the user's.
 * @param remedy What to do where the file is not there or is no file
 */
export function readError(error: unknown, file: string, doing: string, remedy = "check the name"): unknown {
  const user = (problem: string, what: string) =>
    new UserError({ doing, file, problem, remedy: what }, { cause: error });
  const code = (error as { code?: string } | null)?.code;
  if (error instanceof Deno.errors.NotFound) return user("there is no such file", remedy);
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
  if (code === "EIO") return user("the disk reports an error where it lies", "copy the file from a backup");
  return error;
}
