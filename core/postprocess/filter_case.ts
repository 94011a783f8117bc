/** Filters one segmentation and writes it; plain data in and out, so that it runs in any thread. */
import { allocationError } from "../base/allocation.ts";
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { freeArray } from "../base/free_array.ts";
import { collectUnderLimit, type MemoryAllowance } from "../base/memory_allowance.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { writeLabels } from "../formats/image/write_image.ts";
import type { LargestComponentFilter } from "./component_graph.ts";
import { filterLabels } from "./filter_labels.ts";
import { readSegmentation } from "./read_segmentation.ts";

export interface FilterJob {
  readonly kind: "filter";
  readonly caseId: string;
  readonly reader: ReaderName;
  readonly input: string;
  readonly output: string;
  readonly filters: readonly LargestComponentFilter[];
  readonly memory?: MemoryAllowance;
}

export type FilterOutcome =
  /** Voxels that have become another label. */
  | { readonly changed: number }
  /** Why the case failed: the file can't be read, is no segmentation, or the output can't be written. */
  | { readonly error: UserErrorParts };

const DOING = "postprocessing the segmentation";

/** What is wrong with a case is its result; only a defect of the program is thrown. */
export async function filterCase(job: FilterJob): Promise<FilterOutcome> {
  try {
    return { changed: await filterFile(job) };
  } catch (thrown) {
    const error = allocationError(thrown, { doing: DOING, file: job.input });
    if (error instanceof UserError) return { error: error.withCase(job.caseId).parts };
    throw error;
  }
}

async function filterFile({ caseId, reader, input, output, filters, memory }: FilterJob): Promise<number> {
  using stack = new DisposableStack();
  stack.defer(() => collectUnderLimit(memory));
  const { data, geometry } = await readSegmentation({ caseId, reader, file: input, doing: DOING, memory });
  stack.defer(() => freeArray(data));
  const changed = filterLabels(data, geometry.shape, filters);
  await writeLabels(reader, output, { data, shape: geometry.shape }, geometry);
  return changed;
}
