/** `--log json` of every long command, as a program reads it: cli/LOG_EVENTS.md names what it may find. */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { inFolder, makePreprocessed } from "../unit/train_fixture.ts";
import { makeCascadePlans, makeRecipeDataset, recipeEnvironment } from "./cli/recipe_dataset.ts";
import {
  type CommandOptions,
  type CommandResult,
  copyFolder,
  GOLDEN,
  inTempFolder,
  interruptCommand,
  runCommand,
} from "./cli/run_command.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const RAW = fromFileUrl(new URL("./planning/raw", import.meta.url));
const EVALUATED = fromFileUrl(new URL("./evaluate/", import.meta.url));

type LogEvent = Readonly<Record<string, unknown>>;

/** The events of a result's stdout. All lines must be events of the document, the first `start`, the last `done` with the exit code. */
async function eventsOf({ stdout, code }: CommandResult): Promise<LogEvent[]> {
  const document = await Deno.readTextFile(join(ROOT, "cli/LOG_EVENTS.md"));
  const events: LogEvent[] = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  for (const { time, event, ...fields } of events) {
    assertEquals(new Date(String(time)).toISOString(), time);
    const row = document.split("\n").find((line) => line.startsWith(`| \`${event}\` `));
    assert(row, `${event} is not in the document`);
    for (const name of Object.keys(fields)) assert(row.includes(`\`${name}\``), `${event}: ${name} is not in ${row}`);
  }
  assertEquals(events[0].event, "start");
  assertEquals([events.at(-1)?.event, events.at(-1)?.code], ["done", code]);
  return events;
}

const named = (events: readonly LogEvent[], name: string) => events.filter(({ event }) => event === name);

function run(line: string, options: CommandOptions = {}): Promise<CommandResult> {
  return runCommand([...line.split(" "), "--log", "json"], options);
}

Deno.test("a prediction tells its cases, the one that fails with its file and remedy, and the exit code", async () => {
  await inTempFolder(async (folder) => {
    const images = join(folder, "images");
    await copyFolder(join(GOLDEN, "images/regions_ignore"), images);
    const bad = join(images, "bad_0000.nii.gz");
    const bytes = await Deno.readFile(join(images, "test_000_0000.nii.gz"));
    await Deno.writeFile(bad, bytes.subarray(0, bytes.length / 2));
    await Deno.copyFile(join(images, "test_000_0001.nii.gz"), join(images, "bad_0001.nii.gz"));
    // Refused before the run: it lacks a channel.
    await Deno.copyFile(join(images, "test_000_0000.nii.gz"), join(images, "lone_0000.nii.gz"));
    const model = join(GOLDEN, "models/regions_ignore");
    const result = await run(
      `predict_from_modelfolder -i ${images} -o ${folder}/out -m ${model} -f 0 -device cpu --disable_tta`,
    );
    assertEquals(result.code, 1);
    const events = await eventsOf(result);
    assertEquals(named(events, "start")[0].command, "predict_from_modelfolder");
    assertEquals(named(events, "cases")[0].cases, 3);
    const done = named(events, "case_done");
    assertEquals(done.map((one) => one.case), ["test_000", "test_001"]);
    for (const { output } of done) assert((await Deno.stat(String(output))).isFile);
    const [lone, failed] = named(events, "case_failed");
    assertEquals(lone.case, "lone");
    assertEquals([failed.case, failed.file], ["bad", bad]);
    assert(typeof failed.remedy === "string" && typeof failed.problem === "string");
    assert(result.stderr.includes(`error: ${failed.message}`), result.stderr);
    for (const id of ["test_000", "test_001"]) {
      const last = named(events, "progress").filter((one) => one.case === id).at(-1);
      assert(last && last.done === last.of, id);
    }
  });
});

Deno.test("an error that ends a command is an event with its parts; a wrong command line is said on stderr alone", async () => {
  await inTempFolder(async (folder) => {
    const result = await run(`predict_from_modelfolder -i ${folder} -o ${folder}/out -m ${folder}/none`);
    assertEquals(result.code, 1);
    const [error] = named(await eventsOf(result), "error");
    assert(String(error.message).includes(`${folder}/none`) && error.doing && error.problem, JSON.stringify(error));
    assertEquals(result.stderr, `error: ${error.message}\n`);
    const wrong = await run("predict_from_modelfolder -i a -o b -m c -step_size 2");
    assertEquals([wrong.code, wrong.stdout], [2, ""]);
  });
});

Deno.test("fingerprints, plans and preprocessing tell their cases as they are done", async () => {
  await inTempFolder(async (folder) => {
    const env = { nnUNet_raw: join(folder, "raw"), nnUNet_preprocessed: join(folder, "preprocessed") };
    await copyFolder(RAW, env.nnUNet_raw);
    for (
      const [line, counted] of [
        ["extract_fingerprint -d 801", ["Dataset801_Aniso: cases read"]],
        ["plan_experiment -d 801", []],
        ["preprocess -d 801 -c 2d -np 1", ["Dataset801_Aniso: cases preprocessed"]],
        ["plan_and_preprocess -d 801 -c 2d -np 1 --clean --redo", [
          "Dataset801_Aniso: cases read",
          "Dataset801_Aniso: cases preprocessed",
        ]],
      ] as const
    ) {
      const result = await run(line, { env });
      assertEquals(result.code, 0, result.stderr);
      const events = await eventsOf(result);
      const whole = named(events, "progress").filter(({ done, of }) => done === of);
      assertEquals(whole.map(({ what }) => what), [...counted], line);
      assert(named(events, "message").length > 0, line);
      const warnings = result.stderr.split("\n").filter((text) => text.startsWith("warning: "));
      assertEquals(named(events, "warning").length, warnings.length, line);
    }
  });
});

Deno.test("a training tells its epochs with their numbers, and that it was stopped", async () => {
  await inFolder(async (folder) => {
    const { preprocessed, results } = await makePreprocessed(folder);
    const env = { nnUNet_preprocessed: join(preprocessed, ".."), nnUNet_results: join(results, "..") };
    const line = "train 1 tiny 0 --iterations 2 --name x --seed 5 -device cpu --threads 1";
    const events = await eventsOf(await run(`${line} --epochs 2`, { env }));
    const epochs = named(events, "epoch");
    assertEquals(epochs.map(({ epoch, epochs }) => [epoch, epochs]), [[1, 2], [2, 2]]);
    for (const { trainLoss } of epochs) assert(typeof trainLoss === "number");
    if (Deno.build.os === "windows") return;
    const long = [...line.split(" "), "--epochs", "3000", "--log", "json"];
    const stopped = await interruptCommand(long, '"epoch":2', "SIGTERM", { env });
    assertEquals(stopped.code, 1);
    assert(/stopped in epoch/.test(String(named(await eventsOf(stopped), "error")[0].message)));
  });
});

Deno.test("an evaluation tells the scores of summary.json, NaN as null, and a Dice below the minimum", async () => {
  await inTempFolder(async (folder) => {
    const of = (name: string) => `${EVALUATED}${name}/references ${EVALUATED}${name}/predictions -o ${folder}/s.json`;
    const low = await run(`evaluate_simple ${of("pictures")} -l 0 1 2 --min-dice 1`);
    assertEquals(low.code, 1);
    const summary = JSON.parse((await Deno.readTextFile(join(folder, "s.json"))).replaceAll("NaN", "null"));
    const events = await eventsOf(low);
    const scores = named(events, "score").map(({ label, dice, iou }) => [label, dice, iou]);
    const means = Object.entries<{ Dice: number; IoU: number }>({
      ...summary.mean,
      foreground: summary.foreground_mean,
    });
    assertEquals(scores, means.map(([label, { Dice, IoU }]) => [label, Dice, IoU]));
    assert(String(named(events, "error")[0].message).includes("below the 1 of --min-dice"));
    const files = ["-djfile", `${EVALUATED}labels/dataset.json`, "-pfile", `${EVALUATED}labels/plans.json`].join(" ");
    const labels = await eventsOf(await run(`evaluate_folder ${of("labels")} ${files}`));
    assertEquals(named(labels, "score").at(-1)?.dice, null);
  });
});

Deno.test("an export and an installation tell what went into the zip and came out of it", async () => {
  await inTempFolder(async (folder) => {
    const results = join(folder, "results");
    const model = "Dataset900_Hip/nnUNetTrainer__nnUNetPlans__2d";
    await copyFolder(join(GOLDEN, "models/slices_2d"), join(results, model));
    const zip = join(folder, "out.zip");
    const exported = await run(`export_model_to_zip -d 900 -c 2d -f 0 -o ${zip} --not_strict`, {
      env: { nnUNet_results: results },
    });
    assertEquals(exported.code, 0, exported.stderr);
    const [packed] = named(await eventsOf(exported), "exported");
    const elsewhere = join(folder, "elsewhere");
    const installed = await eventsOf(
      await run(`install_pretrained_model_from_zip ${zip}`, { env: { nnUNet_results: elsewhere } }),
    );
    const [unpacked] = named(installed, "installed");
    assertEquals([packed.models, packed.files, packed.bytes], [[model], 3, unpacked.bytes]);
    assertEquals([unpacked.models, unpacked.files, unpacked.results], [[model], 3, elsewhere]);
    const whole = named(installed, "progress").filter(({ done, of }) => done === of);
    assertEquals(whole.map(({ what }) => what), ["MiB unpacked"]);
  });
});

Deno.test("converters tell the files they are done with; each step of the demo has its own start and done", async () => {
  await inTempFolder(async (folder) => {
    const env = { nnUNet_raw: join(folder, "raw") };
    const tasks = fromFileUrl(new URL("./planning/tasks", import.meta.url));
    for (
      const [line, what] of [
        [`convert_MSD_dataset -i ${tasks}/Task07_Mini -overwrite_id 105`, "files converted"],
        [`convert_old_nnUNet_dataset ${tasks}/Task555_Old Dataset205_Old`, "files copied"],
      ]
    ) {
      const result = await run(line, { env });
      assertEquals(result.code, 0, result.stderr);
      const events = await eventsOf(result);
      const last = named(events, "progress").at(-1);
      assert(last && last.what === what && last.done === last.of && Number(last.of) > 0, result.stdout);
      assert(String(named(events, "message").at(-1)?.text).startsWith("converted: "), result.stdout);
    }
    const demo = await run(`demo --predict-only -o ${folder}/demo`);
    assertEquals(demo.code, 0, demo.stderr);
    const events = await eventsOf(demo);
    assertEquals(named(events, "start").map(({ command }) => command), ["demo", "predict_from_modelfolder"]);
    assertEquals(named(events, "done").map(({ code }) => code), [0, 0]);
    assert(String(named(events, "message").at(-1)?.text).includes("overlay.png"), demo.stdout);
  });
});

Deno.test("a whole recipe tells its stages, the epochs of each fold and how the folds ended", () =>
  inTempFolder(async (folder) => {
    await makeRecipeDataset(folder);
    await makeCascadePlans(folder);
    const line = "run 7 -p tinyPlans -c 3d_fullres -f 1 --epochs 2 --iterations 2 --name t -device cpu --threads 1";
    const result = await run(line, { env: recipeEnvironment(folder) });
    assertEquals(result.code, 0, result.stderr);
    const events = await eventsOf(result);
    const [stages] = named(events, "stages");
    const states = (stages.stages as { stage: string; state: string }[]).map(({ stage, state }) => [stage, state]);
    assertEquals(states, [
      ["check and fingerprint", "left"],
      ["plans", "done"],
      ["data of 3d_fullres", "left"],
      ["3d_fullres, fold 1", "left"],
      ["choice, postprocessing", "left"],
    ]);
    const told = ({ configuration, fold }: LogEvent) => `${configuration} ${fold}`;
    assertEquals(named(events, "epoch").map(told), ["3d_fullres 1", "3d_fullres 1"]);
    const folds = named(events, "fold");
    assertEquals(folds.map(({ state }) => state), ["begun", "done"]);
    assertEquals(typeof folds[1].dice, "number");
    assertEquals(named(events, "best")[0].models, ["nnUNetTrainer_t__tinyPlans__3d_fullres"]);
  }));
