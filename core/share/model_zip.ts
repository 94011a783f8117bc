/**
 * What a zip of trained models may hold. Everything that a name, a type or a size can do wrong is found here, from the list of contents
 * alone, before anything is written: the zip comes from wherever the user found it.
 */
import { UserError } from "../base/errors.ts";
import { pathNameProblem, shortName } from "../base/path_name.ts";
import type { ZipEntry, ZipFile } from "../formats/archive/zip.ts";
import { CHECKSUMS_FILE } from "./checksums.ts";

/** A file of a zip, and where it goes below nnUNet_results. */
export interface ZippedFile {
  /** DatasetXXX_Name, TRAINER__PLANS__CONFIGURATION, ... */
  readonly path: readonly string[];
  readonly entry: ZipEntry;
}

export interface ModelZip {
  readonly files: readonly ZippedFile[];
  /** Folders that are listed by themselves: some are empty. */
  readonly folders: readonly (readonly string[])[];
  /** Files that stand beside the datasets (a README), which are not installed; nor is what macOS adds. */
  readonly leftOut: readonly string[];
  /** "DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION", sorted. */
  readonly models: readonly string[];
  /** Of all files, unpacked. */
  readonly bytes: number;
}

/** Limits of what is installed; the largest models that are shared have some 10 GiB in some hundred files. */
const MOST_ENTRIES = 100_000;
const MOST_BYTES = 2 ** 40;
const MOST_FOLDERS_DEEP = 16;
/** Linux, macOS and Windows (with its long paths) take this much below another folder. */
const MOST_NAME_BYTES = 1024;
/** Larger files may unpack to this many times their packed bytes. Weights are noise; zlib reaches 1032 with zeros. */
const MOST_PACKING = 100;
const FREE_BYTES = 64 * 2 ** 20;
const SHOWN_PROBLEMS = 10;

const METHODS: Readonly<Record<number, string>> = {
  9: "Deflate64",
  12: "bzip2",
  14: "LZMA",
  93: "Zstandard",
  95: "XZ",
  98: "PPMd",
  99: "AES encryption",
};
/** Encrypted, strongly encrypted, with a masked list of contents. */
const ENCRYPTED = 0x0001 | 0x0040 | 0x2000;
const UNIX_TYPE = 0o170000;
const UNIX_TYPES: Readonly<Record<number, string>> = {
  0o120000: "a link",
  0o060000: "a device",
  0o020000: "a device",
  0o010000: "a pipe",
  0o140000: "a socket",
};
const WINDOWS_REPARSE_POINT = 0x400;

/** A name of the zip's, for a message. */
const quoted = (name: string) => JSON.stringify(shortName(name));

/** @throws UserError naming what can't be installed, up to ten of it */
export function checkModelZip(zip: ZipFile, doing: string): ModelZip {
  const refuse = (problem: string, remedy: string): never => {
    throw new UserError({ doing, file: zip.path, problem, remedy });
  };
  if (zip.entries.size > MOST_ENTRIES) {
    refuse(
      `it has ${count(zip.entries.size)} entries; ${count(MOST_ENTRIES)} are the most that is installed`,
      OTHER_ZIP,
    );
  }
  const problems: string[] = [];
  const clashOf = rememberPaths();
  const files: ZippedFile[] = [];
  const folders: (readonly string[])[] = [];
  const leftOut: string[] = [];
  let bytes = 0;
  for (const entry of zip.entries.values()) {
    const name = storedName(entry);
    const problem = name === null ? "its name is not UTF-8" : entryProblem(name, entry);
    if (problem !== undefined || name === null) {
      problems.push(`${quoted(entry.name)}: ${problem}`);
      continue;
    }
    const isFolder = name.endsWith("/");
    const path = (isFolder ? name.slice(0, -1) : name).split("/");
    if (isLeftOut(path, isFolder)) {
      if (path.length === 1) leftOut.push(name);
      continue;
    }
    const clash = clashOf(path, isFolder) ?? placeProblem(path, isFolder);
    if (clash !== undefined) problems.push(`${quoted(name)}: ${clash}`);
    else if (isFolder) folders.push(path);
    else files.push({ path, entry });
    bytes += entry.size;
  }
  if (problems.length > 0) {
    const more = problems.length > SHOWN_PROBLEMS ? `; and ${count(problems.length - SHOWN_PROBLEMS)} more` : "";
    const listed = problems.slice(0, SHOWN_PROBLEMS).join("; ");
    refuse(`nothing was installed, as this in it can't be: ${listed}${more}`, OTHER_ZIP);
  }
  if (!(bytes <= MOST_BYTES)) {
    refuse(`it would unpack to ${count(bytes)} bytes; ${count(MOST_BYTES)} are the most that is installed`, OTHER_ZIP);
  }
  const models = [...new Set(files.filter(({ path }) => isModel(path)).map(({ path }) => path.slice(0, 2).join("/")))];
  if (models.length === 0) refuse("no model is in it (DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION/...)", OTHER_ZIP);
  return { files, folders, leftOut, models: models.sort(), bytes };
}

const OTHER_ZIP =
  "use a zip that export_model_to_zip (Python's or this one) has made, or one of its layout, packed by " +
  "deflate";

/** A model's own file, below DATASET/TRAINER__PLANS__CONFIGURATION. */
export function isModel(path: readonly string[]): boolean {
  return path.length > 2 && MODEL.test(path[1]);
}

const DATASET = /^Dataset\d{3,}_./;
const MODEL = /^(?:(?!__).)+__(?:(?!__).)+__(?:(?!__).)+$/;

/** Null if the bytes are no UTF-8: what they then mean is anybody's guess. */
function storedName({ nameBytes }: ZipEntry): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(nameBytes);
  } catch {
    return null;
  }
}

/** What is wrong with an entry by itself. */
function entryProblem(name: string, entry: ZipEntry): string | undefined {
  const { size, packedSize, method, flags, attributes, nameBytes } = entry;
  const isFolder = name.endsWith("/");
  const type = (attributes >>> 16) & UNIX_TYPE;
  if (flags & ENCRYPTED) return "it is encrypted";
  if (method !== 0 && method !== 8) {
    const known = METHODS[method];
    return `it is packed by ${
      known ? `${known} (method ${method})` : `method ${method}`
    }; stored and deflate can be read`;
  }
  if (type in UNIX_TYPES) return `it is ${UNIX_TYPES[type]}, not a file`;
  if (attributes & WINDOWS_REPARSE_POINT) return "it is a link, not a file";
  if (isFolder && size > 0) return "it is a folder by its name, and has bytes";
  if (!isFolder && type === 0o040000) return "it is a folder by its type, and a file by its name";
  if (nameBytes.length > MOST_NAME_BYTES) return `its name has more than ${count(MOST_NAME_BYTES)} bytes`;
  if (name.startsWith("/")) return "its path leads out of the results folder: it is absolute";
  if (/^[A-Za-z]:/.test(name)) return "its path leads out of the results folder: it begins with a drive";
  const parts = (isFolder ? name.slice(0, -1) : name).split("/");
  if (parts.includes("..")) return 'its path leads out of the results folder: ".." is in it';
  if (parts.length > MOST_FOLDERS_DEEP) return `it lies more than ${MOST_FOLDERS_DEEP} folders deep`;
  for (const part of parts) {
    const problem = pathNameProblem(part);
    if (problem !== undefined) return problem;
  }
  if (size > FREE_BYTES && size > packedSize * MOST_PACKING) {
    return `its ${count(packedSize)} bytes would unpack to ${
      count(size)
    }; more than ${MOST_PACKING} times as many are ` +
      "not unpacked";
  }
  return undefined;
}

/** What archivers add, what stands beside the datasets, and the record of an installation elsewhere. */
function isLeftOut(path: readonly string[], isFolder: boolean): boolean {
  return path[0] === "__MACOSX" || path.at(-1) === ".DS_Store" || (path.length === 1 && !isFolder) ||
    (path.length === 3 && path[2] === CHECKSUMS_FILE);
}

/** What is wrong with the place of an entry. */
function placeProblem([dataset, folder, ...rest]: readonly string[], isFolder: boolean): string | undefined {
  if (/^Task\d{3}_/.test(dataset) || dataset === "nnUNet") {
    return "it is of nnU-Net v1, whose models only nnU-Net v1 runs";
  }
  if (MODEL.test(dataset)) {
    return "no dataset's folder is above the model; unpack it into nnUNet_results/DatasetXXX_Name by hand";
  }
  if (!DATASET.test(dataset)) return "it lies in no dataset's folder (DatasetXXX_Name)";
  if (folder === undefined || (rest.length === 0 && !isFolder)) return undefined;
  if (folder === "ensembles" || MODEL.test(folder)) return undefined;
  return "it lies in no model's folder (DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION)";
}

/**
 * Takes paths one by one, and says what a path clashes with of those before: no two may be the same to any disk. Windows and macOS know
 * no upper case, macOS no two forms of one letter.
 */
function rememberPaths(): (path: readonly string[], isFolder: boolean) => string | undefined {
  const known = new Map<string, { readonly spelled: string; readonly isFolder: boolean; readonly isListed: boolean }>();
  return (path, isFolder) => {
    for (let length = 1; length <= path.length; length++) {
      const spelled = path.slice(0, length).join("/");
      const key = spelled.normalize("NFC").toUpperCase().toLowerCase().normalize("NFC");
      const isItself = length === path.length;
      const before = known.get(key);
      if (before && before.spelled !== spelled) {
        return `some disks take it for ${quoted(before.spelled)}, which is in it too`;
      }
      if (before && before.isFolder !== (isFolder || !isItself)) {
        return `${quoted(spelled)} is a file and a folder in it`;
      }
      if (before?.isListed && isItself) return "it is there twice";
      known.set(key, { spelled, isFolder: isFolder || !isItself, isListed: isItself || before?.isListed === true });
    }
    return undefined;
  };
}

function count(number: number): string {
  return number.toLocaleString("en-US");
}
