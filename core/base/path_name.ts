/**
 * Names that become one component of a path: datasets, plans, configurations, data folders, trainers, case ids, file endings. They come
 * from files and flags, and none of them may lead out of the folder it is looked up or written in.
 */
import { z } from "zod";
import { UserError, type UserErrorParts } from "./errors.ts";
import { show } from "./fields.ts";

/** Bytes of UTF-8 that every file system takes for a name. */
const MOST_BYTES = 255;
/** Windows opens devices of these names, whatever ending follows. */
const DEVICES = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)/i;

/**
 * Why `name` can't be the name of a file or folder, as "expected ..."; undefined if it can. What only Windows refuses (device names,
 * `<>:"|?*`, a dot or blank at the end) is refused there alone: elsewhere datasets with such names work, and Python's nnU-Net takes them.
 */
export function pathNameProblem(name: string, windows = Deno.build.os === "windows"): string | undefined {
  if (name === "") return "expected a name, not an empty text";
  if (name === "." || name === "..") return 'expected the name of a file or folder, not "." or ".."';
  if (/[/\\]/.test(name)) return 'expected one name, not a path: "/" and "\\" can\'t be part of it';
  // deno-lint-ignore no-control-regex -- these are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(name)) return "expected a name without control characters";
  if (new TextEncoder().encode(name).length > MOST_BYTES) return `expected a name of at most ${MOST_BYTES} bytes`;
  if (!windows) return undefined;
  if (/[<>:"|?*]/.test(name)) return 'expected a name without <>:"|?*, which Windows does not take';
  if (/[. ]$/.test(name)) return "expected a name that does not end in a dot or blank, which Windows cuts off";
  if (DEVICES.test(name)) return "expected another name: Windows keeps it for a device";
  return undefined;
}

/**
 * `name`, if it can be one component of a path.
 * @param what What it names: "the plans' name"
 * @throws UserError if it can't
 */
export function requirePathName(name: string, what: string, error: Omit<UserErrorParts, "problem">): string {
  const problem = pathNameProblem(name);
  if (problem === undefined) return name;
  throw new UserError({ ...error, problem: `${what} becomes part of a path: ${problem}, found ${show(name)}` });
}

/** A field that becomes one component of a path. */
export const PATH_NAME = z.string().superRefine((name, context) => {
  const message = pathNameProblem(name);
  if (message !== undefined) context.addIssue({ code: "custom", message });
});

const SHOWN_BEGINNING = 20;
const SHOWN_LETTERS = 80;

/** A name or path from a file, for a message: a long one without its middle, as paths begin alike. */
export function shortName(name: string): string {
  const letters = [...name];
  if (letters.length <= SHOWN_LETTERS) return name;
  const end = letters.length - (SHOWN_LETTERS - SHOWN_BEGINNING - 3);
  return `${letters.slice(0, SHOWN_BEGINNING).join("")}...${letters.slice(end).join("")}`;
}
