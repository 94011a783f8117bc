/** Memory that was asked for and not given: how the runtime says so, as an error for the user. */
import { UserError, type UserErrorParts } from "./errors.ts";

/** What V8 says of arrays, texts, tables, messages to threads and WebAssembly memories that it can't make. */
const REFUSALS =
  /allocation failed|could not allocate|out of memory|unable to grow|invalid (typed )?array (buffer )?length|invalid string length|(map|set) maximum size/i;

/** True for what is thrown where memory is not given, or a size is beyond what an array may have. */
export function isAllocationFailure(error: unknown): error is Error {
  const kinds = ["RangeError", "DataCloneError"];
  return error instanceof Error && kinds.includes(error.name) && REFUSALS.test(error.message);
}

/** True for an error that says that memory is what is lacking: of an allocation, or of a limit that is too low. */
export function lacksMemory(error: unknown): boolean {
  return isAllocationFailure(error) || (error instanceof UserError && isAllocationFailure(error.cause));
}

/** The {@link UserError} for an allocation that failed, or `error` itself where it is something else. */
export function allocationError(error: unknown, about: Pick<UserErrorParts, "doing" | "caseId" | "file">): unknown {
  return isAllocationFailure(error) ? new UserError(outOfMemory(about, error.message), { cause: error }) : error;
}

/** What is said of work that memory was not given for. @param detail What the runtime says of it */
export function outOfMemory(about: Pick<UserErrorParts, "doing" | "caseId" | "file">, detail: string): UserErrorParts {
  return {
    ...about,
    problem: `it does not fit into memory (${detail})`,
    remedy: "use fewer threads, close other programs, use a machine with more memory, or cut the image into parts",
  };
}
