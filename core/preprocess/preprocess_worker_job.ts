/** One training case from its files to the folders of all configurations, in a thread of its own or the caller's. */
import { allocationError } from "../base/allocation.ts";
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { freeArray } from "../base/free_array.ts";
import { collectUnderLimit, type MemoryAllowance } from "../base/memory_allowance.ts";
import { join } from "../base/path.ts";
import type { RawCase } from "../dataset/raw_dataset.ts";
import { B2ND_ENDING, b2ndKeys, writeB2ndCase } from "../formats/preprocessed/b2nd_case.ts";
import { BRICKS_ENDING, writeBricks } from "../formats/preprocessed/bricks.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { writeNpyCase, writeNpzCase } from "../formats/preprocessed/npy_case.ts";
import { type CaseHeaders, readCase, readLabels } from "../formats/image/read_image.ts";
import type { ClassKey, TrainingData } from "../formats/preprocessed/training_data.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import { checkDeclaredLabels, type DeclaredLabels } from "./declared_labels.ts";
import type { NonFinitePolicy } from "./non_finite.ts";
import { requireReading } from "./case_memory.ts";
import { checkSegmentationGrid, preprocessTrainingCase } from "./training_case.ts";

/** What is being done, in errors that know no better. */
export const PREPROCESSING = "preprocessing the case";

export const DATA_FORMATS = ["bricks", "npz", "npy", "b2nd"] as const;
export type DataFormat = (typeof DATA_FORMATS)[number];

/** What all cases have in common; sent to a thread once. */
export interface PreprocessSetting {
  readonly reader: ReaderName;
  readonly plans: Plans;
  readonly configurations: readonly Configuration[];
  /** Where each configuration's cases go. */
  readonly folders: readonly string[];
  readonly keys: readonly ClassKey[];
  readonly declared: DeclaredLabels;
  readonly format: DataFormat;
  readonly nan: NonFinitePolicy;
  readonly allowGeometryMismatch: boolean;
  /** The memory a case may take that is alone at work. */
  readonly memory?: MemoryAllowance;
}

export interface PreprocessJob {
  readonly case: RawCase;
  /** Indices of the configurations to make. */
  readonly configurations: readonly number[];
}

/** What was made of a case for one configuration. */
export interface MadeCase {
  readonly configuration: number;
  /** Names and bytes. */
  readonly files: readonly (readonly [name: string, bytes: number])[];
}

export type PreprocessReply =
  | { readonly kind: "made"; readonly made: readonly MadeCase[]; readonly warnings: readonly string[] }
  /** `made` before it failed. */
  | { readonly kind: "failed"; readonly made: readonly MadeCase[]; readonly parts: UserErrorParts };

/** Reads a case once and makes it for each configuration. What goes wrong with the case is in the reply; what is thrown is a defect. */
export async function runPreprocessJob(setting: PreprocessSetting, job: PreprocessJob): Promise<PreprocessReply> {
  const made: MadeCase[] = [];
  const read: ArrayBufferView[] = [];
  try {
    const warnings = new Set<string>();
    const keys = setting.format === "b2nd" ? b2ndKeys(setting.keys) : setting.keys;
    const { id, images, label } = job.case;
    const judge = (headers: CaseHeaders) => requireReading(headers, true, setting.memory);
    const image = await readCase(setting.reader, images, { judge });
    read.push(image.data);
    const { labels, geometry } = await readLabels(setting.reader, label, { judge });
    read.push(labels.data);
    for (const warning of checkDeclaredLabels(labels.data, label, setting.declared)) warnings.add(warning);
    for (
      const warning of checkSegmentationGrid(image.geometry, geometry, label, setting.allowGeometryMismatch)
    ) warnings.add(warning);
    for (const [i, index] of job.configurations.entries()) {
      const configuration = setting.configurations[index];
      const data = preprocessTrainingCase(id, image, labels, setting.plans, configuration, keys, {
        nan: setting.nan,
        overwriteImage: i === job.configurations.length - 1,
        files: images,
        ...(setting.memory && { memory: setting.memory }),
      });
      data.warnings.forEach((warning) => warnings.add(warning));
      const stem = join(setting.folders[index], id);
      made.push({ configuration: index, files: await writeCase(stem, id, data, configuration, setting.format) });
      freeArray(data.image);
      freeArray(data.segmentation);
    }
    return { kind: "made", made, warnings: [...warnings].map((text) => `case ${id}: ${text}`) };
  } catch (error) {
    const known = allocationError(error, { doing: PREPROCESSING, caseId: job.case.id });
    if (known instanceof UserError) return { kind: "failed", made, parts: known.withCase(job.case.id).parts };
    throw error;
  } finally {
    read.forEach(freeArray);
    collectUnderLimit(setting.memory);
  }
}

/** The names of a case's files. */
export function caseFileNames(id: string, format: DataFormat): readonly string[] {
  switch (format) {
    case "bricks":
      return [`${id}${BRICKS_ENDING}`];
    case "npz":
      return [`${id}.npz`, `${id}.pkl`];
    case "npy":
      return [`${id}.npy`, `${id}_seg.npy`, `${id}.pkl`];
    case "b2nd":
      return [`${id}${B2ND_ENDING}`, `${id}_seg${B2ND_ENDING}`, `${id}.pkl`];
  }
}

async function writeCase(
  stem: string,
  id: string,
  data: TrainingData,
  configuration: Configuration,
  format: DataFormat,
): Promise<MadeCase["files"]> {
  if (format === "bricks") {
    const bytes = await writeBricks(`${stem}${BRICKS_ENDING}`, data, configuration.dimensions);
    return [[`${id}${BRICKS_ENDING}`, bytes]];
  }
  if (format === "b2nd") await writeB2ndCase(stem, data, configuration);
  else await (format === "npz" ? writeNpzCase(stem, data) : writeNpyCase(stem, data));
  const names = caseFileNames(id, format);
  const sizes = await Promise.all(names.map((name) => Deno.stat(stem.slice(0, -id.length) + name)));
  return names.map((name, i) => [name, sizes[i].size]);
}
