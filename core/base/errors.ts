/**
 * The errors a user can cause. They are caught where they arise, name what was being done, to which case and file,
 * what is wrong and what to do about it, and map to exit codes: {@link UserError} 1, {@link UsageError} 2.
 * Anything else that is thrown is a defect of the program.
 */

/** What a {@link UserError} says, part by part; `message` is composed of them. */
export interface UserErrorParts {
  /** What was being done, as a gerund phrase: "reading the image". */
  readonly doing: string;
  /** What is there and what is required: "the gzip stream ends after 1,024 of 29,624 bytes". */
  readonly problem: string;
  /** What to do: "copy the file again". */
  readonly remedy?: string;
  /** The case identifier, where one is known. */
  readonly caseId?: string;
  /** The file or folder it is about. */
  readonly file?: string;
  /** True: it would befall other cases as well (the disk they are written to is full, read-only, ...), so going on is in vain. */
  readonly endsRun?: true;
}

/** Something in the user's files, folders or machine that stops the work; exit code 1. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly parts: UserErrorParts;

  constructor(parts: UserErrorParts, options?: ErrorOptions) {
    super(describe(parts), options);
    this.parts = parts;
  }

  /** The same error with the case named, for callers that know it where the thrower did not. */
  withCase(caseId: string): UserError {
    return new UserError({ caseId, ...this.parts }, { cause: this.cause });
  }
}

/** A command line that cannot be taken; exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The work was stopped by ctrl-C or SIGTERM; nothing half-written is left. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** What anything that was thrown says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function describe(parts: UserErrorParts): string {
  const where = [parts.caseId && `case ${parts.caseId}`, parts.file].filter(Boolean).join(", ");
  const remedy = parts.remedy ? `${/[.!?]$/.test(parts.problem) ? "" : "."} ${capitalise(parts.remedy)}` : "";
  const end = /[.!?]$/.test(parts.remedy ?? parts.problem) ? "" : ".";
  return `${capitalise(parts.doing)}${where ? ` (${where})` : ""}: ${parts.problem}${remedy}${end}`;
}

function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
