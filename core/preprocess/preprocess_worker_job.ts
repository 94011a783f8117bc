/** One training case from its files to the folders of all configurations, in a thread of its own or the caller's. */
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { join } from "../base/path.ts";
import type { RawCase } from "../dataset/raw_dataset.ts";
import { BRICKS_ENDING, writeBricks } from "../formats/preprocessed/bricks.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { writeNpyCase, writeNpzCase } from "../formats/preprocessed/npy_case.ts";
import { readCase, readLabels } from "../formats/image/read_image.ts";
import type { ClassKey, TrainingData } from "../formats/preprocessed/training_data.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import { checkDeclaredLabels, type DeclaredLabels } from "./declared_labels.ts";
import type { NonFinitePolicy } from "./non_finite.ts";
import { checkSegmentationGrid, preprocessTrainingCase } from "./training_case.ts";

export const DATA_FORMATS = ["bricks", "npz", "npy"] as const;
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
  try {
    const warnings = new Set<string>();
    const { id, images, label } = job.case;
    const image = await readCase(setting.reader, images);
    const { labels, geometry } = await readLabels(setting.reader, label);
    for (const warning of checkDeclaredLabels(labels.data, label, setting.declared)) warnings.add(warning);
    for (
      const warning of checkSegmentationGrid(image.geometry, geometry, label, setting.allowGeometryMismatch)
    ) warnings.add(warning);
    for (const [i, index] of job.configurations.entries()) {
      const configuration = setting.configurations[index];
      const data = preprocessTrainingCase(id, image, labels, setting.plans, configuration, setting.keys, {
        nan: setting.nan,
        overwriteImage: i === job.configurations.length - 1,
      });
      data.warnings.forEach((warning) => warnings.add(warning));
      const stem = join(setting.folders[index], id);
      made.push({ configuration: index, files: await writeCase(stem, id, data, configuration, setting.format) });
      freeArrays(data.image, data.segmentation);
    }
    freeArrays(image.data, labels.data);
    return { kind: "made", made, warnings: [...warnings].map((text) => `case ${id}: ${text}`) };
  } catch (error) {
    if (error instanceof UserError) return { kind: "failed", made, parts: error.withCase(job.case.id).parts };
    if (error instanceof RangeError && /allocat|array length/i.test(error.message)) {
      return { kind: "failed", made, parts: outOfMemory(job.case.id, error.message) };
    }
    throw error;
  }
}

/** Gives the arrays' memory back at once: of large cases the collector would otherwise keep several for a while. */
function freeArrays(...arrays: readonly ArrayBufferView[]): void {
  for (const { buffer } of arrays) if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}

/** The error about a case that does not fit into memory. */
export function outOfMemory(caseId: string, detail: string): UserErrorParts {
  return {
    doing: "preprocessing the case",
    caseId,
    problem: `it does not fit into memory (${detail})`,
    remedy: "give fewer threads (-np 1), or use a machine with more memory",
  };
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
    const bytes = writeBricks(`${stem}${BRICKS_ENDING}`, data, configuration.dimensions);
    return [[`${id}${BRICKS_ENDING}`, bytes]];
  }
  await (format === "npz" ? writeNpzCase(stem, data) : writeNpyCase(stem, data));
  const names = caseFileNames(id, format);
  const sizes = await Promise.all(names.map((name) => Deno.stat(stem.slice(0, -id.length) + name)));
  return names.map((name, i) => [name, sizes[i].size]);
}
