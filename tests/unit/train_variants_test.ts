/** Trainings of a tiny network with the trainers that change the network, the loss or the optimizer, on the CPU engine. */
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { trainModel } from "../../core/train/train_model.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import {
  checkpointContent,
  DATASET_JSON,
  inFolder,
  listening,
  makePreprocessed,
  trainRequest,
} from "./train_fixture.ts";

const TRAINERS = [
  "nnUNetTrainerBN",
  "nnUNetTrainerTopk10LossLS01",
  "nnUNetTrainerDiceTopK10Loss",
  "nnUNetTrainerAdam",
  "nnUNetTrainerVanillaAdam3en4",
];

for (const trainerName of TRAINERS) {
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

Deno.test("a loss that is not defined for regions is refused for a dataset that has them", () =>
  inFolder(async (folder) => {
    const labels = { background: 0, whole: [1, 2], core: 2 };
    const folders = await makePreprocessed(folder, {
      datasetJson: { ...DATASET_JSON, labels, regions_class_order: [1, 2] },
    });
    for (const trainerName of ["nnUNetTrainerTopk10Loss", "nnUNetTrainerDiceTopK10Loss"]) {
      const request = trainRequest(folders, { trainerName });
      await assertFails(() => trainModel(request, listening()), UserError, "regions", `the loss of ${trainerName}`);
    }
  }));

Deno.test("a training of one optimizer is not continued with another", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const changes = { epochs: 2, iterations: 1, name: "test" };
    const foldOf = (trainerName: string) => join(folders.results, `${trainerName}_test__nnUNetPlans__tiny`, "fold_0");
    await trainModel(trainRequest(folders, { changes }), listening());
    const trainers = [["nnUNetTrainerVanillaAdam", "Adam without"], [
      "nnUNetTrainerAdam",
      "Adam with amsgrad",
    ]] as const;
    for (const [trainerName, optimizer] of trainers) {
      const fold = foldOf(trainerName);
      await Deno.mkdir(fold, { recursive: true });
      await Deno.copyFile(join(foldOf("nnUNetTrainer"), "checkpoint_final.pth"), join(fold, "checkpoint_final.pth"));
      const request = trainRequest(folders, { trainerName, changes, start: { kind: "continue" } });
      await assertFails(() => trainModel(request, listening()), UserError, `its optimizer is not ${optimizer}`);
    }
  }));
