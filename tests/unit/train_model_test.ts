/** Whole trainings of a tiny network on the CPU engine. */
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { machineMark } from "../../core/base/machine.ts";
import { dirname, join } from "../../core/base/path.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { readNpz } from "../../core/formats/archive/npz.ts";
import { openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { readPreviousStage } from "../../core/preprocess/predicted_previous_stage.ts";
import { prepareTraining } from "../../core/train/prepare_training.ts";
import { trainingOptions } from "../../core/train/setup.ts";
import { forecastTraining, requireMemory } from "../../core/train/training_memory.ts";
import { trainModel } from "../../core/train/train_model.ts";
import type { TrainRequest } from "../../core/train/train_request.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { checkpointContent, inFolder, listening, makePreprocessed, tinyPlans, trainRequest } from "./train_fixture.ts";

const MODEL = "nnUNetTrainer_test__nnUNetPlans__tiny";

Deno.test("a training writes what upstream's does: folders, log, checkpoints, validation with its summary", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const hooks = listening();
    const { summary } = await trainModel(trainRequest(folders, { pictures: true }), hooks);
    const model = join(folders.results, MODEL);
    const names = async (path: string) => (await Array.fromAsync(Deno.readDir(path), ({ name }) => name)).sort();
    assertEquals(await names(model), ["dataset.json", "dataset_fingerprint.json", "fold_0", "plans.json"]);
    const files = await names(join(model, "fold_0"));
    assertEquals(files.filter((name) => !name.startsWith("training_log_")), [
      "checkpoint_best.pth",
      "checkpoint_final.pth",
      "debug.json",
      "progress.png",
      "training_report.html",
      "validation",
    ]);
    const log = await Deno.readTextFile(join(model, "fold_0", files.find((name) => name.endsWith(".txt")) ?? ""));
    assertEquals([...log.matchAll(/^\d{4}-\d\d-\d\d [\d:.]+: Epoch time: [\d.]+ s $/gm)].length, 2);
    assert(log.includes(": Pseudo dice ["), log);
    // As on the terminal, from 1 on.
    assertEquals([...log.matchAll(/: Epoch (\d+) $/gm)].map(([, epoch]) => epoch), ["1", "2"]);
    assertEquals(summary.cases.length, 2);
    assertEquals((await names(join(model, "fold_0", "validation"))).length, 3);
    const splits = JSON.parse(await Deno.readTextFile(join(folders.preprocessed, "splits_final.json")));
    assertEquals(splits.length, 5);
    assert(hooks.infos.some((text) => /^memory: [\d.]+ MiB/.test(text)), hooks.infos.join("\n"));
  }));

Deno.test("stopped in the middle of an epoch and continued, a training comes to the same bits as without a stop", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const whole = { ...folders, results: join(folder, "whole") };
    await trainModel(trainRequest(whole), listening());

    for (const stopAt of [2, 5]) {
      const results = { ...folders, results: join(folder, `stopped_${stopAt}`) };
      const controller = new AbortController();
      let steps = 0;
      const onStep = () => {
        if (++steps === stopAt) controller.abort();
      };
      const stopping = listening({ onStep, signal: controller.signal });
      await assertFails(() => trainModel(trainRequest(results), stopping), Interrupted, "--c goes on from there");
      const continuing = listening();
      // Other threads, the same bits.
      const request = trainRequest(results, { start: { kind: "continue" }, sampleThreads: 2 });
      await trainModel({ ...request, changes: { name: "test" }, seed: undefined }, continuing);
      assert(continuing.infos.some((text) => text.startsWith("continuing from")), continuing.infos.join("\n"));
      for (const name of ["checkpoint_final.pth", "checkpoint_best.pth"]) {
        const [expected, actual] = [whole, results].map((one) => join(one.results, MODEL, "fold_0", name));
        assertEquals(await checkpointContent(actual), await checkpointContent(expected));
      }
    }
  }));

Deno.test("killed, a training goes on from the checkpoint it has to the same bits, and clears away what was half-written", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const whole = { ...folders, results: join(folder, "whole") };
    await trainModel(trainRequest(whole), listening());
    const controller = new AbortController();
    let steps = 0;
    // The first step of the second epoch.
    const onStep = () => {
      if (++steps === 5) controller.abort();
    };
    const stopping = listening({ onStep, signal: controller.signal });
    await assertFails(() => trainModel(trainRequest(folders), stopping), Interrupted, "epoch 2");
    // As if nothing had been written when it ended.
    const fold = join(folders.results, MODEL, "fold_0");
    const leftover = join(fold, `.checkpoint_latest.pth.${machineMark()}-1-0a1b2c3d.tmp`);
    await Deno.rename(join(fold, "checkpoint_latest.pth"), leftover);
    await trainModel(trainRequest(folders, { start: { kind: "continue" } }), listening());
    const [expected, actual] = [whole, folders].map(({ results }) =>
      join(results, MODEL, "fold_0", "checkpoint_final.pth")
    );
    assertEquals(await checkpointContent(actual), await checkpointContent(expected));
    assertEquals(await Deno.stat(leftover).then(() => true, () => false), false);
  }));

Deno.test("without deep supervision only the last head learns; the others keep their values and have no momentum", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const request = trainRequest(folders, {
      trainerName: "nnUNetTrainerNoDeepSupervision",
      changes: { epochs: 1, iterations: 2, name: "x" },
    });
    await trainModel(request, listening());
    const model = join(folders.results, "nnUNetTrainerNoDeepSupervision_x__nnUNetPlans__tiny");
    using checkpoint = await openCheckpoint(join(model, "fold_0", "checkpoint_final.pth"));
    const optimizer = checkpoint.members.get("optimizer_state") as Map<string, Map<unknown, unknown>>;
    const [group] = optimizer.get("param_groups") as unknown as Map<string, unknown>[];
    const all = group.get("params") as number[];
    const missing = all.filter((index) => !optimizer.get("state")?.has(index));
    // Weight and bias of seg_layers.0; seg_layers.1 come last.
    assertEquals(missing, [all.length - 4, all.length - 3]);
  }));

Deno.test("fine-tuning takes all weights but those of the heads", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    await trainModel(trainRequest(folders), listening());
    const file = join(folders.results, MODEL, "fold_0", "checkpoint_final.pth");
    const changes = { epochs: 1, iterations: 1, learningRate: 1e-12, name: "tuned" };
    await trainModel(
      trainRequest(folders, { changes, start: { kind: "pretrained", file, strict: false }, seed: 12 }),
      listening(),
    );
    using before = await openCheckpoint(file);
    using after = await openCheckpoint(
      join(folders.results, "nnUNetTrainer_tuned__nnUNetPlans__tiny", "fold_0", "checkpoint_final.pth"),
    );
    for (const [name, tensor] of after.weights) {
      const [old, now] = [before.weights.get(name)?.read() ?? [], tensor.read()];
      const difference = Math.max(...Array.from(now, (value, i) => Math.abs(value - old[i])));
      if (/^decoder\.seg_layers\..*bias$/.test(name)) continue; // may be 0 in both
      const isHead = name.startsWith("decoder.seg_layers.");
      assert(isHead ? difference > 1e-3 : difference < 1e-6, `${name}: ${difference}`);
    }
  }));

Deno.test("fine-tuning of a network that differs says in the log what was taken and what starts anew; --strict refuses", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    await trainModel(trainRequest(folders), listening());
    const file = join(folders.results, MODEL, "fold_0", "checkpoint_final.pth");
    const plans = tinyPlans() as {
      configurations: { tiny: { architecture: { arch_kwargs: Record<string, unknown> } } };
    };
    plans.configurations.tiny.architecture.arch_kwargs.n_conv_per_stage = [1, 2, 1];
    const other = await makePreprocessed(join(folder, "other"), { plans });
    const changes = { epochs: 1, iterations: 1, name: "tuned" };
    const request = (strict: boolean) => trainRequest(other, { changes, start: { kind: "pretrained", file, strict } });
    const newLayer =
      "encoder.stages.1.0.convs.1: it is not in the file: another architecture, or a patch of other size";
    await assertFails(() => trainModel(request(true), listening()), UserError, "1 of the network's 8 layers", newLayer);
    const hooks = listening();
    await trainModel(request(false), hooks);
    const [warning] = hooks.warnings;
    assert(warning.includes(`7 of 8 layers are taken; 1 does not fit and starts anew`), warning);
    assert(warning.includes(newLayer), warning);
    const fold = join(other.results, "nnUNetTrainer_tuned__nnUNetPlans__tiny", "fold_0");
    const names = await Array.fromAsync(Deno.readDir(fold), ({ name }) => name);
    const log = await Deno.readTextFile(join(fold, names.find((name) => name.startsWith("training_log_")) ?? ""));
    assert(log.includes(newLayer), log);
    assert(/layers taken from .*: encoder\.stages\.0\.0\.convs\.0, encoder\.stages\.1\.0\.convs\.0, /.test(log), log);
  }));

Deno.test("weights to start from that this training would write over are refused, under any name of the folder", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    await trainModel(trainRequest(folders), listening());
    const fold = join(folders.results, MODEL, "fold_0");
    await Deno.symlink(fold, join(folder, "link"));
    const before = await Deno.readFile(join(fold, "checkpoint_final.pth"));
    for (const file of [join(fold, "checkpoint_final.pth"), join(folder, "link", "checkpoint_best.pth")]) {
      const request = trainRequest(folders, { start: { kind: "pretrained", file, strict: false } });
      await assertFails(
        () => trainModel(request, listening()),
        UserError,
        "would overwrite the weights it is to start from",
        "--name",
      );
    }
    assertEquals(await Deno.readFile(join(fold, "checkpoint_final.pth")), before);
  }));

Deno.test("--c: other settings are refused and listed; without a checkpoint a new training starts, with a loud line", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const start = { kind: "continue" } as const;
    const first = listening();
    await trainModel(trainRequest(folders, { start }), first);
    assert(first.warnings.some((text) => text.includes("NO CHECKPOINT TO CONTINUE FROM")), first.warnings.join("\n"));
    const other = trainRequest(folders, {
      start,
      changes: { epochs: 5, iterations: 3, learningRate: 0.1, name: "test" },
      seed: 3,
    });
    await assertFails(
      () => trainModel(other, listening()),
      UserError,
      "--epochs 5, it was started with 2",
      "--lr 0.1, it was started with 0.01",
      "--seed 3, it was started with 11",
      "checkpoint_final.pth",
    );
    const anew = listening();
    await trainModel(trainRequest(folders), anew);
    assert(anew.warnings.some((text) => text.includes("checkpoint_final.pth and checkpoint_best.pth of an earlier")));
    // Finished: only validated again.
    const again = listening();
    await trainModel(trainRequest(folders, { start }), again);
    assert(again.infos.includes("all 2 epochs are finished"), again.infos.join("\n"));
  }));

Deno.test("--c with finished epochs but no readable checkpoint is refused, naming the file and what there is instead", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    await trainModel(trainRequest(folders), listening());
    const fold = join(folders.results, MODEL, "fold_0");
    const again = trainRequest(folders, { start: { kind: "continue" } });
    await Deno.truncate(join(fold, "checkpoint_final.pth"), 1000);
    await assertFails(
      () => trainModel(again, listening()),
      UserError,
      join(fold, "checkpoint_final.pth"),
      "To go on from checkpoint_best.pth",
    );
    await Deno.remove(join(fold, "checkpoint_final.pth"));
    await Deno.remove(join(fold, "checkpoint_best.pth"));
    await assertFails(() => trainModel(again, listening()), UserError, "2 epochs were finished", "training_log_");
  }));

Deno.test("a checkpoint of another network is refused, listing what differs", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    await trainModel(trainRequest(folders), listening());
    const plans = tinyPlans() as {
      configurations: { tiny: { architecture: { arch_kwargs: Record<string, unknown> } } };
    };
    plans.configurations.tiny.architecture.arch_kwargs.features_per_stage = [4, 8, 16];
    await Deno.writeTextFile(join(folders.preprocessed, "nnUNetPlans.json"), JSON.stringify(plans));
    await assertFails(
      () => trainModel(trainRequest(folders, { start: { kind: "continue" } }), listening()),
      UserError,
      "encoder.stages.2.0.convs.0.conv.weight is 8x8x3x3x3, the plans say 16x8x3x3x3",
    );
  }));

Deno.test("validation alone takes a finished training, or its best checkpoint", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const validate = trainRequest(folders, { start: { kind: "validate" }, saveProbabilities: true });
    for (const useBest of [false, true]) {
      await assertFails(() => trainModel({ ...validate, useBest }, listening()), UserError, "Train this fold first");
    }
    const trained = await trainModel(trainRequest(folders), listening());
    const validated = await trainModel(validate, listening());
    assertEquals(validated.summary.foregroundMean, trained.summary.foregroundMean);
    for (const { predictionFile } of validated.summary.cases) {
      assert((await Deno.stat(predictionFile.replace(".nii.gz", ".npz"))).isFile);
    }
    await trainModel({ ...validate, useBest: true }, listening());
  }));

Deno.test("Python's cases give the same training as bricks; those packed as npz are unpacked", () =>
  inFolder(async (folder) => {
    const changes = { epochs: 1, iterations: 2, name: "test" };
    const contents: Record<string, unknown>[] = [];
    for (const format of ["bricks", "npz", "b2nd"] as const) {
      const folders = await makePreprocessed(join(folder, format), { format });
      await trainModel(trainRequest(folders, { changes }), listening());
      contents.push(await checkpointContent(join(folders.results, MODEL, "fold_0", "checkpoint_final.pth")));
      const unpacked = join(folders.preprocessed, "nnUNetPlans_tiny", "a.npy");
      assertEquals(await Deno.stat(unpacked).then(() => true, () => false), format === "npz");
    }
    assertEquals(contents[1], contents[0]);
    assertEquals(contents[2], contents[0]);
  }));

Deno.test("where packed cases cannot be unpacked, reading them packed is offered", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder, { format: "npz" });
    await Deno.mkdir(join(folders.preprocessed, "nnUNetPlans_tiny", "a.npy", "in the way"), { recursive: true });
    const request = trainRequest(folders, { changes: { epochs: 1, iterations: 1, name: "test" } });
    const parts = ["case a", "a.npy", "a folder has that name", "--use_compressed"];
    await assertFails(() => trainModel(request, listening()), UserError, ...parts);
  }));

Deno.test("a batch that memory does not hold is refused before the first step, with one that fits", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const changes = { epochs: 1, iterations: 1, batchSize: 12, name: "test" };
    const refused = "a batch of 12 patches of 8 x 12 x 8";
    const request = trainRequest(folders, { maxMemory: 2 ** 20, changes });
    await assertFails(() => trainModel(request, listening()), UserError, refused, "1 MiB may be used");
    const { setup } = await prepareTraining(request);
    await using engine = await createCpuEngine({ threads: 1 });
    const options = trainingOptions(setup, "f32");
    const forecast = forecastTraining(engine, setup, options, { threads: 0, ahead: 12, engines: 1 });
    requireMemory(engine, setup, options, forecast, forecast.total);
    const less = () => requireMemory(engine, setup, options, forecast, forecast.total - 2 ** 16);
    await assertFails(less, UserError, refused, "a batch of", "would fit");
  }));

Deno.test("a validation is not shared among engines that would read another model, or no weights, from the fold's folder", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const validators: TrainRequest["validators"] = {
      open: () => Promise.reject(new Error("the others were opened")),
      nextStages: () => [],
    };
    const changes = { epochs: 1, iterations: 1, name: "test" };
    const request = trainRequest(folders, { changes, validators });
    const unwritten = listening();
    const { summary } = await trainModel({ ...request, checkpointing: false }, unwritten);
    assert(unwritten.infos.some((line) => line.includes("--disable_checkpointing writes none")), `${unwritten.infos}`);
    await assertFails(() => trainModel(request, listening()), Error, "the others were opened");

    const plans = join(folders.results, "nnUNetTrainer_test__nnUNetPlans__tiny", "plans.json");
    await Deno.writeTextFile(plans, (await Deno.readTextFile(plans)).replace('"batch_size": 2', '"batch_size": 3'));
    const other = listening();
    const validated = await trainModel({ ...request, start: { kind: "validate" } }, other);
    assert(other.infos.some((line) => line.includes(`the others read ${plans}`)), `${other.infos}`);
    assertEquals(validated.summary, summary);
  }));

Deno.test("trainings beside each other share what may be taken, beside the program itself", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const changes = { epochs: 1, iterations: 1, name: "test" };
    const alone = await trainModel(trainRequest(folders, { changes }), listening());
    const beside = (of: number) =>
      trainRequest(folders, { changes, maxMemory: 500 * 2 ** 20, lane: { runtimeBytes: 100 * 2 ** 20, of } });
    // Saving a checkpoint alone is forecast to take 96 MiB.
    await assertFails(
      () => trainModel(beside(5), listening()),
      UserError,
      "180 MiB may be used, as 5 trainings beside each other share --max-memory",
      "fewer GPUs",
    );
    const { summary } = await trainModel(beside(3), listening());
    assertEquals(summary, alone.summary);
  }));

Deno.test("a training that diverges stops, says which cases it was on, and keeps the last good checkpoint", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const changes = { epochs: 2, iterations: 40, learningRate: 1e30, name: "test" };
    await assertFails(
      () => trainModel(trainRequest(folders, { changes }), listening()),
      UserError,
      "20 steps in a row were not finite (cases: ",
      "the last good checkpoint is kept",
    );
  }));

Deno.test("a cascade's second stage trains on what the first one predicted on its grid, and needs it", () =>
  inFolder(async (folder) => {
    const plans = tinyPlans() as { configurations: Record<string, Record<string, unknown>> };
    plans.configurations.tiny.next_stage = "second";
    plans.configurations.second = { inherits_from: "tiny", previous_stage: "tiny" };
    const folders = await makePreprocessed(folder, { plans });
    const changes = { epochs: 1, iterations: 2, name: "test" };
    const request = trainRequest(folders, { changes });
    const second = { ...request, task: { ...request.task, configurationName: "second", fold: "all" as const } };
    await assertFails(
      () => trainModel(second, listening()),
      UserError,
      "second takes the predictions of tiny",
      "of 6 cases are missing: a, b",
    );
    await trainModel({ ...request, task: { ...request.task, fold: "all" } }, listening());
    const predicted = join(folders.results, MODEL, "predicted_next_stage", "second", "a.npz");
    assertEquals((await readNpz(predicted)).get("seg")?.shape, [11, 15, 12]);
    const { summary } = await trainModel(second, listening());
    assertEquals(summary.cases.length, 6);
    const python = await makePreprocessed(join(folder, "python"), { plans, format: "b2nd" });
    const blosc = trainRequest(python, { changes });
    await trainModel({ ...blosc, task: { ...blosc.task, fold: "all" } }, listening());
    const there = join(python.results, MODEL, "predicted_next_stage", "second");
    assertEquals(Array.from(Deno.readDirSync(there)).filter(({ name }) => !name.endsWith(".b2nd")), []);
    const grid: Vec3 = [11, 15, 12];
    const labels = await readPreviousStage(there, "a", grid);
    assertEquals(labels, await readPreviousStage(dirname(predicted), "a", grid));
    const again = await trainModel({ ...blosc, task: { ...second.task, ...python } }, listening());
    assertEquals(again.summary.foregroundMean, summary.foregroundMean);
    const model = join(folders.results, "nnUNetTrainer_test__nnUNetPlans__second");
    using checkpoint = await openCheckpoint(join(model, "fold_all", "checkpoint_final.pth"));
    assertEquals(checkpoint.weights.get("encoder.stages.0.0.convs.0.conv.weight")?.shape, [4, 3, 3, 3, 3]);
  }));

Deno.test("early stopping ends the training when the moving average gets no better", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const epochs: number[] = [];
    const emas: number[] = [];
    const hooks = listening({
      onEpoch({ epoch, record }) {
        epochs.push(epoch);
        emas.push(record.emaDice);
      },
    });
    const changes = { epochs: 200, iterations: 1, earlyStopping: 2, learningRate: 1e-9, name: "test" };
    await trainModel(trainRequest(folders, { changes }), hooks);
    assert(epochs.length < 200, "all epochs were trained");
    const best = emas.indexOf(Math.max(...emas));
    assertEquals(best, epochs.length - 3);
    assert((await Deno.stat(join(folders.results, MODEL, "fold_0", "checkpoint_final.pth"))).isFile);
  }));
