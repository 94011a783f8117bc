/** Forms of the words that flags take. */
import type { BytesFlag, ChoiceFlag, Form, IntegerFlag, Switch } from "./flag.ts";

/** A name that becomes a part of a path: of a dataset, of plans, of a trainer, ... */
export const NAME: Form = {
  // deno-lint-ignore no-control-regex
  fits: /^(?!\.{1,2}$)[^/\\\u0000]+$/,
  needed: "a name, not a path,",
};

/** Of a dataset that is there: its folder's name, or a number as Python's int() takes it. */
export const DATASET: Form = {
  // deno-lint-ignore no-control-regex
  fits: /^(?:Dataset[^/\\\u0000]*|\s*\+?\d+(?:_\d+)*\s*)$/,
  needed: "a dataset's number, or its name DatasetXXX_...,",
};

export const FOLD: Form = { fits: /^(?:all|\s*\+?\d{1,6}\s*)$/, needed: "a number, 0 to 4, or `all`" };

/** A fold as models name it: {@link FOLD} lets "01" through for 1. */
export function foldName(word: string): string {
  return word === "all" ? word : String(Number(word));
}

/** Of a training, which may be one of an array's. */
export const FOLD_OR_ARRAY: Form = {
  fits: /^(?:all|array|\s*\+?\d{1,6}\s*)$/,
  needed: "a number, 0 to 4, `all` or `array`",
};

/** Of a dataset that is made. */
export const NEW_DATASET: Form = {
  fits: /^Dataset\d{3,}_[^/\\]+$/,
  needed: "a name DatasetXXX_Name, XXX being three digits,",
};

/** A part of a folder's name, in which two underscores are separators. */
export const SUFFIX: Form = {
  fits: /^(?!.*__)[A-Za-z0-9_.-]+$/,
  needed: "a suffix of letters, digits, dots, dashes and single underscores",
};

/** Of a DICOM series. */
export const SERIES_UID: Form = { fits: /^[0-9.]{1,64}$/, needed: "a UID of digits and dots" };

/** A file that is written as JSON: a name of images or weights is none for it. */
export const JSON_FILE: Form = { fits: /\.json$/i, needed: "a name that ends in .json" };

/** A file that is written as a table. */
export const CSV_FILE: Form = { fits: /\.csv$/i, needed: "a name that ends in .csv" };

/** A page that is written. */
export const HTML_FILE: Form = { fits: /\.html?$/i, needed: "a name that ends in .html" };

/** Threads or processes. */
export const THREADS = { min: 1, max: 1024 } as const;

/** Of threads that are all started, whatever there is to do: each takes memory of its own. */
export const STARTED_THREADS = { ...THREADS, perCore: 8 } as const;

/** Python's number of processes, here of threads that each work on a case; each command says what they do with it. */
export const CASE_THREADS = {
  kind: "integer",
  names: ["-np"],
  value: "N",
  range: THREADS,
  group: "Machine",
} as const satisfies Omit<IntegerFlag, "help">;

/** What a long command says on stdout. */
export const LOG = {
  kind: "choice",
  names: ["--log"],
  value: "FORM",
  choices: ["text", "json"],
  default: "text",
  beyond: true,
  group: "Output",
  help: "json: one event a line on stdout, for programs (cli/LOG_EVENTS.md); warnings and errors go to stderr as well.",
} as const satisfies ChoiceFlag;

/** Of 2.7 and later; an abbreviation that is another flag's in 2.5.1 means that one. */
export const NO_PROGRESS_BAR = {
  kind: "switch",
  names: ["--no_pbar"],
  beyond: true,
  group: "Output",
  help: "Of later nnU-Nets: no redrawn bar, only a line a minute.",
} as const satisfies Switch;

/** The memory that a command may take; each says what it does with it. */
export const MAX_MEMORY = {
  kind: "bytes",
  names: ["--max-memory", "--max_memory"],
  value: "SIZE",
  beyond: true,
  group: "Machine",
} as const satisfies Omit<BytesFlag, "help">;
