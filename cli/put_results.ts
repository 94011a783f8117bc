/** What `predict --best` has made in its hidden folder is given its place, in the formats that were asked for. */
import { allocationError } from "../core/base/allocation.ts";
import { UserError } from "../core/base/errors.ts";
import { copyAtomically, writeError } from "../core/base/files.ts";
import { freeArray } from "../core/base/free_array.ts";
import { allowMemory, residentBytes } from "../core/base/memory_allowance.ts";
import { join } from "../core/base/path.ts";
import { filesEndingIn } from "../core/dataset/raw_dataset.ts";
import type { ReaderName } from "../core/formats/image/image.ts";
import { moveBesideLabels } from "../core/formats/image/beside_labels.ts";
import { readSegmentation } from "../core/postprocess/read_segmentation.ts";
import { type ObjectDetails, sourceOfCase, writeOutputs } from "../core/predict/run/case_outputs.ts";
import { refersToSource } from "../core/predict/run/output_formats.ts";
import { probabilityPaths } from "../core/predict/run/output_folder.ts";
import type { CaseToPredict } from "../core/predict/run/request.ts";

export interface ResultsToPut {
  /** Where segmentations are, and where their probabilities and the model's files are. */
  readonly result: string;
  readonly predicted: string;
  /** Where the model's files go; undefined: they are left out. */
  readonly folder?: string;
  readonly fileEnding: string;
  readonly reader: ReaderName;
  /** All cases, with the places of their results. */
  readonly cases: readonly CaseToPredict[];
  readonly details?: ObjectDetails;
  readonly saveProbabilities: boolean;
  readonly maxMemory?: number;
  readonly signal: AbortSignal;
}

const DOING = "writing the results";

/**
 * Gives the results their places; the segmentation of a case comes last.
 * @returns Of cases whose results can't be written in the formats that were asked for
 * @throws UserError if they can't be moved; Interrupted
 */
export async function putResults(of: ResultsToPut): Promise<readonly UserError[]> {
  const { result, predicted, folder, fileEnding, saveProbabilities } = of;
  const names = await filesEndingIn(result, fileEnding);
  if (folder !== undefined && names.length > 0) {
    for (const name of ["dataset.json", "plans.json"]) {
      await copyAtomically(join(predicted, name), join(folder, name), { doing: DOING });
    }
  }
  const cases = new Map(of.cases.map((one) => [`${one.id}${fileEnding}`, one]));
  const failures: UserError[] = [];
  for (const name of names) {
    const one = cases.get(name);
    if (!one) continue;
    if (saveProbabilities) {
      const [from, to] = [join(predicted, name), one.output].map((path) => probabilityPaths(path, fileEnding));
      await move(from.npz, to.npz);
      await move(from.pkl, to.pkl);
    }
    try {
      if (one.outputs) await convert(join(result, name), one, of);
      else {
        await moveBesideLabels(join(result, name), one.output, { doing: DOING });
        await move(join(result, name), one.output);
      }
    } catch (thrown) {
      const error = allocationError(thrown, { doing: DOING, caseId: one.id });
      if (!one.outputs || !(error instanceof UserError) || error.parts.endsRun) throw error;
      failures.push(error.withCase(one.id));
    }
  }
  return failures;
}

/** Writes a segmentation in other formats. */
async function convert(file: string, one: CaseToPredict, of: ResultsToPut): Promise<void> {
  const { reader, details, maxMemory, signal } = of;
  const { id, files, output, outputs = [] } = one;
  const needsSource = outputs.some(({ format }) => refersToSource(format));
  const source = needsSource ? await sourceOfCase(files) : undefined;
  const memory = allowMemory(maxMemory, residentBytes());
  const { data, geometry } = await readSegmentation({ caseId: id, reader, file, doing: DOING, memory });
  try {
    const labels = { data, shape: geometry.shape };
    await writeOutputs(outputs, output, { labels, geometry, source, details, signal });
  } finally {
    freeArray(data);
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await Deno.rename(from, to);
  } catch (error) {
    throw writeError(error, to, DOING);
  }
}
