/** Errors as plain data, so that they can cross between threads and are the same classes again on the other side. */
import { Interrupted, UserError, type UserErrorParts } from "./errors.ts";

/** An error that can cross to another thread. */
export type PlainError =
  | { readonly kind: "user"; readonly parts: UserErrorParts }
  | { readonly kind: "interrupted"; readonly message: string }
  | { readonly kind: "defect"; readonly name: string; readonly message: string; readonly stack?: string };

export function toPlainError(error: unknown): PlainError {
  if (error instanceof UserError) return { kind: "user", parts: error.parts };
  if (error instanceof Interrupted) return { kind: "interrupted", message: error.message };
  if (error instanceof Error) return { kind: "defect", name: error.name, message: error.message, stack: error.stack };
  return { kind: "defect", name: "Error", message: String(error) };
}

export function fromPlainError(plain: PlainError): Error {
  if (plain.kind === "user") return new UserError(plain.parts);
  if (plain.kind === "interrupted") return new Interrupted(plain.message);
  const error = new Error(plain.message);
  error.name = plain.name;
  if (plain.stack !== undefined) error.stack = plain.stack;
  return error;
}
