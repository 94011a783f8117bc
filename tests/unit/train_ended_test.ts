/** The ends of trainings: killed at the last moment, begun anew over an earlier one, and what the validation after them needs. */
import { UserError } from "../../core/base/errors.ts";
import { freeBytes } from "../../core/base/files.ts";
import { join } from "../../core/base/path.ts";
import { createSplits } from "../../core/train/splits.ts";
import { requireRoom } from "../../core/train/validation_needs.ts";
import { trainModel } from "../../core/train/train_model.ts";
import type { TrainRequest } from "../../core/train/train_request.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { namesIn } from "../golden/cli/run_command.ts";
import {
  CASES,
  checkpointContent,
  inFolder,
  listening,
  makePreprocessed,
  tinyPlans,
  trainRequest,
} from "./train_fixture.ts";

const FOLD = "nnUNetTrainer_test__nnUNetPlans__tiny/fold_0";
const GO_ON = { start: { kind: "continue" }, seed: undefined, changes: { name: "test" } } as const;

/** Trains with an engine that must not be asked for. */
function fails(request: TrainRequest, ...parts: string[]): Promise<void> {
  const openEngine = () => Promise.reject(new Error("the engine was opened"));
  return assertFails(() => trainModel({ ...request, openEngine }, listening()), UserError, ...parts);
}

Deno.test("killed after the last epoch's checkpoint_best and before checkpoint_final, --c writes the final one and the report", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    // Of one epoch, the best is the last.
    const changes = { epochs: 1, iterations: 2, name: "test" };
    await trainModel(trainRequest(folders, { changes, pictures: true }), listening());
    const fold = join(folders.results, FOLD);
    const [final, report] = [join(fold, "checkpoint_final.pth"), join(fold, "training_report.html")];
    const expected = await checkpointContent(final);
    for (const name of ["checkpoint_final.pth", "training_report.html", "progress.png"]) {
      await Deno.remove(join(fold, name));
    }
    await Deno.remove(join(fold, "validation"), { recursive: true });
    await fails(
      trainRequest(folders, { start: { kind: "validate" } }),
      "only checkpoint_best.pth",
      "the same command with --c",
      "--val_best",
    );
    const hooks = listening();
    await trainModel(trainRequest(folders, { ...GO_ON, pictures: true }), hooks);
    assert(hooks.infos.includes("the epoch is finished"), hooks.infos.join("\n"));
    assertEquals(await checkpointContent(final), expected);
    assert((await Deno.readTextFile(report)).includes('<span class="state finished">'));
    assert((await namesIn(fold)).includes("progress.png"));
    assertEquals((await namesIn(join(fold, "validation"))).includes("summary.json"), true);
  }));

Deno.test("killed before checkpoint_latest was removed, --c removes it, and needs no second training", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    await trainModel(trainRequest(folders), listening());
    const fold = join(folders.results, FOLD);
    const before = await Deno.readFile(join(fold, "checkpoint_final.pth"));
    await Deno.copyFile(join(fold, "checkpoint_best.pth"), join(fold, "checkpoint_latest.pth"));
    await trainModel(trainRequest(folders, GO_ON), listening());
    assertEquals((await namesIn(fold)).filter((name) => name.endsWith(".pth")), [
      "checkpoint_best.pth",
      "checkpoint_final.pth",
    ]);
    assertEquals(await Deno.readFile(join(fold, "checkpoint_final.pth")), before);
  }));

Deno.test("--c goes on with the training that was begun last, not with the final checkpoint of the one it replaces", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const fold = join(folders.results, FOLD);
    await trainModel(trainRequest(folders, { seed: 12 }), listening());
    const expected = await checkpointContent(join(fold, "checkpoint_final.pth"));
    await trainModel(trainRequest(folders, { seed: 11 }), listening());
    const controller = new AbortController();
    const onEpoch = () => controller.abort();
    const stopping = listening({ onEpoch, signal: controller.signal });
    await trainModel(trainRequest(folders, { seed: 12 }), stopping).catch(() => {});
    const hooks = listening();
    await trainModel(trainRequest(folders, GO_ON), hooks);
    assert(hooks.warnings.some((text) => text.includes("checkpoint_final.pth in")), hooks.warnings.join("\n"));
    assertEquals(await checkpointContent(join(fold, "checkpoint_final.pth")), expected);
  }));

Deno.test("--c tells a training from the one it replaces by when it began, where both have the same seed", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const fold = join(folders.results, FOLD);
    await trainModel(trainRequest(folders), listening());
    const expected = await checkpointContent(join(fold, "checkpoint_final.pth"));
    const stopAfter = async (hook: "onEpoch" | "onStep", start: TrainRequest["start"]) => {
      const controller = new AbortController();
      const stopping = listening({ [hook]: () => controller.abort(), signal: controller.signal });
      await trainModel(trainRequest(folders, { start }), stopping).catch(() => {});
      return stopping;
    };
    // In its first epoch, then after it.
    await stopAfter("onStep", { kind: "new" });
    const second = await stopAfter("onEpoch", { kind: "continue" });
    assert(
      second.infos.some((line) => /^continuing from .*latest.pth: epoch 1, step /.test(line)),
      `${second.infos}`,
    );
    const third = listening();
    await trainModel(trainRequest(folders, GO_ON), third);
    assert(third.infos.some((line) => /^continuing from .*: epoch 2/.test(line)), `${third.infos}`);
    assertEquals(third.warnings.filter((line) => line.includes("earlier training")), [
      `checkpoint_final.pth in ${fold} are of an earlier training, which this one replaces`,
    ]);
    assertEquals(await checkpointContent(join(fold, "checkpoint_final.pth")), expected);
  }));

Deno.test("--val --val_best with only a final checkpoint says so", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    await trainModel(trainRequest(folders), listening());
    await Deno.remove(join(folders.results, FOLD, "checkpoint_best.pth"));
    const request = trainRequest(folders, { start: { kind: "validate" }, useBest: true });
    await fails(request, "only checkpoint_final.pth", "leave --val_best out");
  }));

Deno.test("the true segmentations of all validation cases are looked for before the first epoch", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const truth = join(folders.preprocessed, "gt_segmentations");
    const [{ val }] = createSplits(CASES, folders.preprocessed);
    const file = join(truth, `${val[0]}.nii.gz`);
    const bytes = await Deno.readFile(file);
    await Deno.writeFile(file, bytes.subarray(0, 20));
    await fails(trainRequest(folders), `case ${val[0]}`, file);
    await Deno.remove(file);
    const parts = [
      `1 of ${val.length} validation cases`,
      `${val[0]}.nii.gz`,
      "nnunet preprocess -d Dataset001_Spheres",
    ];
    await fails(trainRequest(folders), ...parts);
    assertEquals(await namesIn(folders.results), []);
  }));

Deno.test("probabilities that find no room are refused before the first epoch; where they may find it, that is a warning", () =>
  inFolder(async (folder) => {
    const free = freeBytes(folder) ?? 0;
    // Of three classes, in a folder that is made later.
    const room = (...voxels: number[]) => requireRoom(join(folder, "a", "fold_0"), 3, voxels);
    await assertFails(() => room(1000, free / 12), UserError, "are free", "leave --npz out");
    assert(room(...new Array<number>(8).fill(free / 48))?.includes("8 validation cases") === true);
    assertEquals(room(1000, 2000), undefined);
  }));

Deno.test("a next stage whose cases are not preprocessed is named before the training, which needs none of it", () =>
  inFolder(async (folder) => {
    const plans = tinyPlans() as { configurations: Record<string, Record<string, unknown>> };
    plans.configurations.tiny.next_stage = "second";
    plans.configurations.second = { inherits_from: "tiny", previous_stage: "tiny", data_identifier: "second_data" };
    const folders = await makePreprocessed(folder, { plans });
    const hooks = listening();
    await trainModel(trainRequest(folders, { changes: { epochs: 1, iterations: 1, name: "test" } }), hooks);
    assert(
      hooks.warnings.some((text) => text.includes("2 of 2 validation cases") && text.includes("-c second")),
      hooks.warnings.join("\n"),
    );
  }));
