/**
 * The check of a raw dataset: what is found, as one list. Here what can be said without opening an image: dataset.json, names and
 * files. Source: nnunetv2/experiment_planning/verify_dataset_integrity.py, and the mistakes people make.
 */
import { lacksMemory } from "../base/allocation.ts";
import { plural } from "../base/plural.ts";
import { UserError } from "../base/errors.ts";
import { show } from "../base/fields.ts";
import { keysOf } from "../base/json.ts";
import { basename, join } from "../base/path.ts";
import { supportedEndings } from "../formats/image/readers.ts";
import { parseDatasetJson } from "./read_dataset_json.ts";
import { isFolder } from "./dataset_names.ts";
import { caseIdOf, compareNames, filesEndingIn, type RawDataset } from "./raw_dataset.ts";

/** One thing that is wrong, or may be. */
export interface Finding {
  readonly severity: "error" | "warning";
  /** What kind it is, for programs: "labels", "geometry", ... */
  readonly kind: string;
  readonly caseId?: string;
  readonly file?: string;
  /** What is there. */
  readonly found: string;
  /** What is needed. */
  readonly needed: string;
}

/** The kind of what is not wrong with the dataset: the case, or its reader, could not be checked. */
export const LACKS_MEMORY = "memory";

/** A finding as a line. */
export function describeFinding({ severity, caseId, file, found, needed }: Finding): string {
  const where = [caseId && `case ${caseId}`, file].filter(Boolean).join(", ");
  return `${severity}: ${where ? `${where}: ` : ""}${found}; needed: ${needed}`;
}

/** The finding for an error while reading a case's files. */
export function findingOfError(error: UserError, caseId: string, file: string): Finding {
  const { problem, remedy } = error.parts;
  return {
    severity: "error",
    kind: lacksMemory(error) ? LACKS_MEMORY : "unreadable",
    caseId,
    file: error.parts.file ?? file,
    found: problem,
    needed: remedy ?? "a file that can be read",
  };
}

/** Everything wrong with dataset.json and the dataset's files; no image is opened. */
export async function checkDatasetFiles(dataset: RawDataset): Promise<Finding[]> {
  const unnumbered = await checkChannelNames(dataset);
  const json = checkJson(dataset, unnumbered.length === 0);
  const ending = checkEnding(dataset);
  // With a wrong ending cut off, names say nothing.
  if (ending.length > 0) return [...json, ...ending];
  return [...json, ...unnumbered, ...checkNames(dataset), ...await checkPresence(dataset)];
}

/** @param counted False: how many cases there are is not known. */
function checkJson({ json, jsonFile, jsonText, cases }: RawDataset, counted: boolean): Finding[] {
  const findings: Finding[] = [];
  const add = (found: string, needed: string, kind = "dataset.json") =>
    findings.push({ severity: "error", kind, file: jsonFile, found, needed });
  for (const key of ["channel_names", "labels", "numTraining"]) {
    if (json[key] !== undefined) continue;
    if (key === "channel_names" && json.modality !== undefined) {
      add("there is `modality`, as in nnU-Net v1, and no channel_names", "rename `modality` to `channel_names`");
    } else if (key === "numTraining") {
      add(
        "numTraining is missing",
        `"numTraining": ${cases.length}, the number of cases that are there`,
        "numTraining",
      );
    } else add(`${key} is missing`, key === "labels" ? '{"background": 0, "NAME": 1, ...}' : '{"0": "NAME", ...}');
  }
  const { numTraining, channel_names: names } = json;
  if (Array.isArray(names)) {
    const right = names.map((name, channel) => `"${channel}": ${JSON.stringify(name)}`).join(", ");
    add("channel_names is a list", `{number: name}: "channel_names": {${right}}`);
  }
  if (counted && numTraining !== undefined && numTraining !== cases.length) {
    const found = `numTraining is ${show(numTraining)}, and there ${
      cases.length === 1 ? "is 1 case" : `are ${cases.length} cases`
    }`;
    add(found, `"numTraining": ${cases.length} (or the cases that are missing)`, "numTraining");
  }
  findings.push(...checkLabelTable(json.labels, jsonFile));
  for (const id of duplicateMembers(jsonText, "dataset")) {
    add(`the key \`dataset\` has the case ${id} more than once`, "one entry for each case", "duplicate");
  }
  if (json.labels !== undefined && !findings.some(({ kind }) => kind === "labels")) {
    try {
      parseDatasetJson(
        Array.isArray(names) || (names === undefined && json.modality === undefined)
          ? { ...json, channel_names: { "0": "" } }
          : json,
        jsonFile,
      );
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      add(error.parts.problem, error.parts.remedy ?? "a dataset.json as nnU-Net describes it");
    }
  }
  return findings;
}

/** Every problem of `labels`, not only the first as when it is read for use. */
function checkLabelTable(labels: unknown, file: string): Finding[] {
  if (typeof labels !== "object" || labels === null) return [];
  const findings: Finding[] = [];
  const add = (found: string, needed: string) =>
    findings.push({ severity: "error", kind: "labels", file, found, needed });
  const table = labels as Readonly<Record<string, unknown>>;
  const names = keysOf(table);
  if (names.length > 0 && names.every((name) => /^\d+$/.test(name) && typeof table[name] === "string")) {
    const right = names.map((number) => `${JSON.stringify(table[number])}: ${Number(number)}`).join(", ");
    add("labels are written {number: name}, as in nnU-Net v1", `{name: number}: "labels": {${right}}`);
    return findings;
  }
  const listed = (value: unknown) => (Array.isArray(value) ? value : [value]);
  for (const name of names) {
    const value = table[name];
    if (listed(value).length > 0 && listed(value).every(isLabel)) continue;
    add(`label ${name} is ${show(value)}`, "an integer from 0 on, or a list of such integers (a region)");
  }
  const allNumbers = findings.length === 0;
  if (table.background === undefined) add("the label background is missing", '"background": 0');
  else if (!isLabel(table.background) || Number(table.background) !== 0) {
    add(`the label background is ${show(table.background)}`, '"background": 0');
  }
  const numbers = (wanted: (name: string) => boolean) =>
    [...new Set(names.filter(wanted).flatMap((name) => listed(table[name])).filter(isLabel))]
      .map(Number).sort((a, b) => a - b);
  const all = numbers((name) => name !== "ignore");
  const used = table.background === undefined && all[0] !== 0 ? [0, ...all] : all;
  const gap = used.findIndex((label, index) => label !== index);
  if (gap >= 0 && allNumbers) {
    const found = `the labels ${used.join(", ")} are not consecutive: ${gap} is missing`;
    add(found, `labels 0 to ${used.length - 1} without gaps (change the segmentations too)`);
  }
  const largest = used.length ? used[used.length - 1] : 0;
  const { ignore } = table;
  if (ignore !== undefined && ignore !== largest + 1) {
    const found = `the ignore label is ${show(ignore)}, the largest other label ${largest}`;
    add(found, `the ignore label is the highest: "ignore": ${largest + 1}`);
  }
  return findings;
}

/** An integer from 0 on, or one as text, which is the same to Python. */
function isLabel(value: unknown): boolean {
  return typeof value === "string" ? /^\s*\+?\d+\s*$/.test(value) : Number.isInteger(value) && Number(value) >= 0;
}

/** Images of cases that have none with a channel number. */
async function checkChannelNames({ cases, folder, fileEnding, listed }: RawDataset): Promise<Finding[]> {
  const without = new Set(cases.filter(({ images }) => !listed && images.length === 0).map(({ id }) => id));
  if (without.size === 0) return [];
  const file = join(folder, "imagesTr");
  const names = (await filesEndingIn(file, fileEnding)).filter((name) => without.has(caseIdOf(name, fileEnding)));
  const found = names.length === 1
    ? `${names[0]} has no channel number`
    : `${plural(names.length, "file")} ${names.length === 1 ? "has" : "have"} no channel number: ${
      names.slice(0, 5).join(", ")
    }${names.length > 5 ? ", ..." : ""}`;
  const stem = names[0].slice(0, -fileEnding.length);
  const needed = `${stem}_0000${fileEnding} for the first channel, ${stem}_0001${fileEnding} for the second`;
  return [{ severity: "error", kind: "names", file, found, needed }];
}

function checkEnding({ fileEnding, jsonFile }: RawDataset): Finding[] {
  if (supportedEndings().includes(fileEnding.toLowerCase())) return [];
  const dotted = `.${fileEnding}`;
  return [{
    severity: "error",
    kind: "ending",
    file: jsonFile,
    found: `file_ending is "${fileEnding}"`,
    needed: supportedEndings().includes(dotted) ? `"${dotted}"` : `one of ${supportedEndings().join(", ")}`,
  }];
}

function checkNames({ cases, fileEnding, listed }: RawDataset): Finding[] {
  const findings: Finding[] = [];
  const users = new Map<string, string>();
  const lower = new Map<string, string>();
  for (const { id, images, label } of cases) {
    if (!listed && images.length > 0) findings.push(...checkChannelNumbers(id, images, fileEnding));
    for (const file of [...images, label]) {
      const other = users.get(file);
      if (other !== undefined) {
        // Two raters of one image, or one image as two channels: to be meant, and worth a word.
        const found = other === id ? "it is listed twice for this case" : `it is a file of case ${other} too`;
        const needed = "files of its own, unless it is meant";
        findings.push({ severity: "warning", kind: "duplicate", caseId: id, file, found, needed });
      }
      users.set(file, id);
    }
    const same = lower.get(id.toLowerCase());
    if (same !== undefined) {
      const found = `its id differs from that of case ${same} only in capital letters`;
      const needed = "ids that stay different on disks that do not tell capitals apart";
      findings.push({ severity: "warning", kind: "duplicate", caseId: id, found, needed });
    }
    lower.set(id.toLowerCase(), id);
  }
  return findings;
}

function checkChannelNumbers(id: string, images: readonly string[], ending: string): Finding[] {
  const numbers = images.map((file) => Number(basename(file).slice(id.length + 1, -ending.length)));
  if (numbers.every((number, index) => number === index)) return [];
  const found = `its channels are ${numbers.map((number) => String(number).padStart(4, "0")).join(", ")}`;
  const needed = "channels 0000, 0001, ... without gaps";
  return [{ severity: "error", kind: "channels", caseId: id, file: images[0], found, needed }];
}

async function checkPresence({ cases, folder, fileEnding, listed }: RawDataset): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (listed) {
    for (const { id, images, label } of cases) {
      for (const file of [...images, label]) {
        if (!(await isFile(file))) findings.push(missing(id, file, "a file there, or another name in dataset.json"));
      }
    }
    return findings;
  }
  const labelFolder = join(folder, "labelsTr");
  const labels = new Set(await filesEndingIn(labelFolder, fileEnding));
  if (labels.size === 0) {
    const found = await isFolder(labelFolder) ? `no file in it ends in ${fileEnding}` : "there is no such folder";
    return [{
      severity: "error",
      kind: "no labels",
      file: labelFolder,
      found,
      needed: `the segmentations, CASE${fileEnding}`,
    }];
  }
  // Those of files without a channel number are said already, and whose the segmentations are is not known.
  const named = cases.every(({ images }) => images.length > 0);
  for (const { id, images, label } of cases) {
    if (images.length === 0) continue;
    if (!labels.delete(basename(label))) findings.push(missing(id, label, "a segmentation for every training case"));
  }
  for (const name of named ? [...labels].sort(compareNames) : []) {
    if (name.startsWith(".")) continue;
    findings.push({
      severity: "warning",
      kind: "missing",
      file: join(folder, "labelsTr", name),
      found: "there is no image of this name in imagesTr",
      needed: `imagesTr/${name.slice(0, -fileEnding.length)}_0000${fileEnding}, or no such segmentation`,
    });
  }
  return findings;
}

function missing(caseId: string, file: string, needed: string): Finding {
  return { severity: "error", kind: "missing", caseId, file, found: "there is no such file", needed };
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}

/** Keys that the object at top-level key `member` of a JSON text has more than once; parsing keeps only the last. */
export function duplicateMembers(text: string, member: string): string[] {
  const path: string[] = [];
  const seen = new Set<string>();
  const twice = new Set<string>();
  let key = "";
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"\s*:?|[{}[\]]/gs)) {
    if (token === "{" || token === "[") path.push(key);
    else if (token === "}" || token === "]") path.pop();
    else if (token.endsWith(":")) {
      key = JSON.parse(token.slice(0, -1));
      if (path.length !== 2 || path[1] !== member) continue;
      if (seen.has(key)) twice.add(key);
      seen.add(key);
    }
  }
  return [...twice];
}
