/** Trainings of a tiny network with the trainers that change the network, the loss or the optimizer, on the CPU engine. */
import { Interrupted } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { trainModel } from "../../core/train/train_model.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { checkpointContent, inFolder, listening, makePreprocessed, trainRequest } from "./train_fixture.ts";

for (const trainerName of ["nnUNetTrainerBN"]) {
  Deno.test(`${trainerName} trains and validates; stopped and continued it comes to the same bits`, () =>
    inFolder(async (folder) => {
      const folders = await makePreprocessed(folder);
      const whole = { ...folders, results: join(folder, "whole") };
      const { summary } = await trainModel(trainRequest(whole, { trainerName }), listening());
      assertEquals(summary.cases.length, 2);

      const controller = new AbortController();
      let steps = 0;
      const onStep = () => {
        if (++steps === 5) controller.abort();
      };
      const stopping = listening({ onStep, signal: controller.signal });
      await assertFails(() => trainModel(trainRequest(folders, { trainerName }), stopping), Interrupted, "--c");
      const continuing = listening();
      await trainModel(trainRequest(folders, { trainerName, start: { kind: "continue" } }), continuing);
      assert(continuing.infos.some((text) => text.startsWith("continuing from")), continuing.infos.join("\n"));
      const [expected, actual] = [whole, folders].map(({ results }) =>
        join(results, `${trainerName}_test__nnUNetPlans__tiny`, "fold_0", "checkpoint_final.pth")
      );
      assertEquals(await checkpointContent(actual), await checkpointContent(expected));
    }));
}
