/** Checking what a JSON file holds, field by field, with errors that name file and field. */
import { z } from "zod";
import { UserError } from "./errors.ts";

/** Where a value comes from, for errors. */
export interface FieldContext {
  readonly doing: string;
  readonly file: string;
  /** Path of the value inside the file: ["configurations", "2d"]. */
  readonly path: readonly PropertyKey[];
  /** What to do about a wrong field, where the error does not know better. */
  readonly remedy?: string;
}

/** The {@link UserError} about one field: "configurations.2d.patch_size: ...". */
export function fieldError(
  context: FieldContext,
  path: readonly PropertyKey[],
  problem: string,
  remedy?: string,
): UserError {
  const field = describePath([...context.path, ...path]);
  return new UserError({
    doing: context.doing,
    file: context.file,
    problem: field ? `${field}: ${problem}` : problem,
    remedy: remedy ?? context.remedy ?? "correct the file, or copy it again",
  });
}

/**
 * `value` as the schema describes it.
 * @throws UserError naming the file, the first field that does not fit, what is there and what is required.
 */
export function checkFields<T>(schema: z.ZodType<T>, value: unknown, context: FieldContext): T {
  refuseProto(value, context, []);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = deepest(result.error.issues[0]);
  throw fieldError(context, issue.path, problemOf(issue, value));
}

/** All that is wrong with a value, field by field in one line: of requests that other programs make. */
export function problemsOf({ issues }: z.ZodError, value: unknown): string {
  return issues.map(deepest).map((issue) => {
    const field = describePath(issue.path);
    return field ? `${field}: ${problemOf(issue, value)}` : problemOf(issue, value);
  }).join("; ");
}

/** What is there instead of what has to be. */
function problemOf(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === "unrecognized_keys") return `there is no field ${issue.keys.map(show).join(", ")}`;
  const there = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | null)?.[key], value);
  const message = requirement(issue);
  return there === undefined ? `is missing (${message})` : `${message}, found ${show(there)}`;
}

/** zod passes over keys of this name, so that what they hold would be used unchecked by who takes the value itself. */
function refuseProto(value: unknown, context: FieldContext, path: readonly PropertyKey[]): void {
  if (typeof value !== "object" || value === null) return;
  if (Object.hasOwn(value, "__proto__")) {
    throw fieldError(context, [...path, "__proto__"], "is no name that can be used");
  }
  for (const [key, item] of Object.entries(value)) {
    if (typeof item === "object" && item !== null) refuseProto(item, context, [...path, key]);
  }
}

/** `value`, if it is an object {...}. @throws UserError if it is anything else */
export function requireObject(value: unknown, context: FieldContext): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw fieldError(context, [], `expected an object {...}, found ${show(value)}`);
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  record: "an object {...}",
  object: "an object {...}",
  array: "a list [...]",
  number: "a number",
  int: "an integer",
  string: "a text",
  boolean: "true or false",
};

/** What a field has to be, in plain words. */
function requirement(issue: z.core.$ZodIssue): string {
  const name = issue.code === "invalid_type" ? TYPE_NAMES[issue.expected] : undefined;
  const standard = issue.message.startsWith("Invalid input");
  if (name && standard) return `expected ${name}`;
  const isRange = issue.code === "too_small" || issue.code === "too_big";
  if (isRange && /^Too (small|big): /.test(issue.message)) return range(issue);
  if (issue.code === "invalid_value" && /^Invalid (input|option): /.test(issue.message)) {
    return `expected ${issue.values.map((one) => show(one)).join(" or ")}`;
  }
  if (issue.message === "Invalid input") return "expected something else";
  return issue.message.replace(/^Invalid input: /, "").replace(/, received .*$/, "");
}

function range(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  const [limit, bound] = issue.code === "too_small" ? [issue.minimum, "least"] : [issue.maximum, "most"];
  const count = limit.toLocaleString("en-US", { maximumSignificantDigits: 17 });
  const number = limit < 1e-6 || limit > 1e21 ? String(limit) : count;
  const items = issue.origin === "array" ? "items" : issue.origin === "string" ? "letters" : undefined;
  const between = issue.inclusive ? `at ${bound} ` : issue.code === "too_small" ? "above " : "below ";
  const amount = `${issue.exact ? "exactly " : between}${number}`;
  if (items) return `expected ${amount} ${limit === 1 ? items.slice(0, -1) : items}`;
  return `expected ${issue.origin === "int" ? "an integer" : "a number"} ${issue.inclusive ? "of " : ""}${amount}`;
}

/** Where a number stands that JSON has no form for, between letters that no text has. */
const NO_JSON = /"\ue000(NaN|-?Infinity)\ue000"/g;

/** A value as short text for an error. */
export function show(value: unknown): string {
  const text = JSON.stringify(value, (_, part) => {
    // What parseJsonExactly keeps of large integers has no JSON form.
    if (typeof part === "bigint") return Number(part);
    return typeof part === "number" && !Number.isFinite(part) ? `\ue000${part}\ue000` : part;
  })?.replace(NO_JSON, "$1") ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Of a union's alternatives the one that got furthest into the value. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union" || !issue.errors.some((errors) => errors.length)) return issue;
  const nested = issue.errors.flat().map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
  const furthest = nested.reduce((a, b) => (b.path.length > a.path.length ? b : a));
  return furthest.path.length > issue.path.length ? deepest(furthest) : issue;
}

function describePath(path: readonly PropertyKey[]): string {
  return path.map((key, index) => {
    return typeof key === "number" ? `[${key}]` : `${index ? "." : ""}${String(key)}`;
  }).join("");
}
