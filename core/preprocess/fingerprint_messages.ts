/** What the fingerprint's threads and their caller say to each other. */
import { Interrupted, UserError, type UserErrorParts } from "../base/errors.ts";
import type { AnalysedCase, FingerprintJob } from "./fingerprint_case.ts";

/** To a thread: one job at a time. */
export type FingerprintRequest = FingerprintJob;

/** From a thread. */
export type FingerprintReply =
  | { readonly kind: "result"; readonly result: AnalysedCase }
  | { readonly kind: "user"; readonly parts: UserErrorParts }
  | { readonly kind: "interrupted"; readonly message: string }
  | { readonly kind: "defect"; readonly message: string; readonly stack?: string };

export function replyOfError(error: unknown): FingerprintReply {
  if (error instanceof UserError) return { kind: "user", parts: error.parts };
  if (error instanceof Interrupted) return { kind: "interrupted", message: error.message };
  if (error instanceof Error) return { kind: "defect", message: `${error.name}: ${error.message}`, stack: error.stack };
  return { kind: "defect", message: String(error) };
}

export function errorOfReply(reply: Exclude<FingerprintReply, { kind: "result" }>): Error {
  if (reply.kind === "user") return new UserError(reply.parts);
  if (reply.kind === "interrupted") return new Interrupted(reply.message);
  const error = new Error(reply.message);
  if (reply.stack !== undefined) error.stack = reply.stack;
  return error;
}
