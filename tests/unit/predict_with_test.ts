/** What belongs to a prediction run whatever computes it: here, when it begins no further case. */
import { UserError } from "../../core/base/errors.ts";
import { openModel } from "../../core/predict/model/model_folder.ts";
import { predictWith } from "../../core/predict/run/predict_with.ts";
import type { CaseRecord } from "../../core/predict/run/request.ts";
import { assertEquals } from "../assert.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";

const FULL = new UserError({ doing: "writing the segmentation", problem: "the disk is full", endsRun: true });

/** Runs cases of which those in `unwritten` find the disk full. */
async function run(folder: string, count: number, unwritten: readonly number[]) {
  using model = await openModel("cli/demo/model", {
    folds: ["all"],
    checkpointName: "checkpoint_final.pth",
    assumePlansNetwork: false,
  });
  const cases = Array.from({ length: count }, (_, i) => ({ id: `c${i}`, files: [], output: `${folder}/c${i}.nii.gz` }));
  const begun: string[] = [];
  const { done, failed } = await predictWith({ model, cases, options: {} }, {}, async (source, { onEvent }) => {
    for (let one = await source.next(); one; one = await source.take()) {
      begun.push(one.id);
      if (unwritten.includes(begun.length - 1)) {
        onEvent?.({ kind: "failed", id: one.id, error: FULL.parts, message: FULL.message });
      } else onEvent?.({ kind: "done", record: { id: one.id } as CaseRecord });
    }
  });
  return { begun, done: done.map(({ id }) => id), failed };
}

Deno.test("with the second result in a row that the disk does not take no case is begun, and those that are left have failed", () =>
  inTempFolder(async (folder) => {
    const { begun, done, failed } = await run(folder, 6, [1, 2]);
    assertEquals([begun, done], [["c0", "c1", "c2"], ["c0"]]);
    assertEquals(failed.map(({ id }) => id), ["c1", "c2", "c3", "c4", "c5"]);
    const { message, error } = failed[4];
    assertEquals(message, `Writing the segmentation (case c5, ${folder}/c5.nii.gz): the disk is full.`);
    assertEquals(error.endsRun, true);
  }));

Deno.test("a result that is written after one that was not goes on with the run", () =>
  inTempFolder(async (folder) => {
    const { begun, failed } = await run(folder, 6, [1, 3, 5]);
    assertEquals(begun.length, 6);
    assertEquals(failed.map(({ id }) => id), ["c1", "c3", "c5"]);
  }));
