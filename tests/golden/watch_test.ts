/** A watched folder: each case is predicted once, when it is whole, as predict does; what fails says why; nothing is lost. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { GOLDEN, inTempFolder, interruptCommand, namesIn, runCommand } from "./cli/run_command.ts";
import { putCascade } from "./cli/served.ts";
import { startWatcher } from "./cli/watched.ts";
import { asOther, OTHER, packedSeries, UID, unpackSeries } from "./dicom/cases.ts";

const [CT, REGIONS] = ["iso_ct_two_folds", "regions_ignore"];
const model = (name: string) => join(GOLDEN, "models", name);
const image = (name: string, id: string, channel = 0) => join(GOLDEN, "images", name, `${id}_000${channel}.nii.gz`);
const HOW = ["-f", "0", "--disable_tta", "-device", "cpu", "--threads", "1"];
const RUN_FILES = ["dataset.json", "plans.json", "predict_from_raw_data_args.json", "predict_shared_run.json"];
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** The folders of a test, and the beginning of a watcher's command line. */
async function folders(folder: string, name: string) {
  const [input, output, done, failed] = ["in", "out", "in/done", "in/failed"].map((one) => join(folder, one));
  await Deno.mkdir(input);
  const args = (...more: string[]) => [input, output, "-m", model(name), ...HOW, "--poll", "0.1", ...more];
  return { input, output, done, failed, args, moving: ["--done", done, "--failed", failed] };
}

/** What predict makes of images that are named as in the folder. */
async function predicted(folder: string, name: string, images: string, ...flags: string[]): Promise<string> {
  const output = join(folder, `predicted ${flags.join(" ")}`);
  const { code, stderr } = await runCommand([
    ...["predict_from_modelfolder", "-i", images, "-o", output, "-m", model(name)],
    ...HOW,
    ...flags,
  ]);
  assertEquals(code, 0, stderr);
  return output;
}

async function sameFiles(output: string, expected: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    assertEquals(await Deno.readFile(join(output, name)), await Deno.readFile(join(expected, name)), name);
  }
}

Deno.test("a case that arrives file by file is taken when its last channel is there, and its result is predict's to the byte", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, done, args, moving } = await folders(folder, REGIONS);
    await using watcher = startWatcher(args(...moving, "--settle", "0.3", "--save_probabilities"));
    await watcher.until("watching");
    await Deno.copyFile(image(REGIONS, "test_000", 1), join(input, "a_0001.nii.gz"));
    const { fields } = await watcher.until("case_waits", "a");
    assert(String(fields.lacks).startsWith("a_0000.nii.gz ("), String(fields.lacks));
    await Deno.copyFile(image(REGIONS, "test_000", 0), join(input, "a_0000.nii.gz"));
    assertEquals((await watcher.until("case_moved", "a")).fields.to, done);
    assertEquals(await watcher.stop(), true);
    assertEquals(await namesIn(done), ["a_0000.nii.gz", "a_0001.nii.gz"]);
    assertEquals(await namesIn(input), ["done", "failed"]);
    assertEquals(await namesIn(output), ["a.nii.gz", "a.npz", "a.pkl", ...RUN_FILES]);
    const expected = await predicted(folder, REGIONS, done, "--save_probabilities");
    await sameFiles(output, expected, ["a.nii.gz", "a.npz", "a.pkl", "dataset.json", "plans.json"]);
  });
});

Deno.test("a half-written gzip that grows is not taken before it is whole", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, args, moving } = await folders(folder, CT);
    await using watcher = startWatcher(args(...moving, "--settle", "2.5"));
    await watcher.until("watching");
    const bytes = await Deno.readFile(image(CT, "test_000"));
    {
      using file = await Deno.open(join(input, "a_0000.nii.gz"), { write: true, create: true });
      for (let part = 0; part < 8; part++) {
        const piece = bytes.subarray(bytes.length * part / 8, bytes.length * (part + 1) / 8);
        for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
        await pause(350);
      }
    }
    await watcher.until("case_moved", "a");
    await watcher.stop();
    assertEquals(watcher.said.filter(({ event }) => event === "case_failed"), []);
    assertEquals(await namesIn(output), ["a.nii.gz", ...RUN_FILES]);
    await sameFiles(output, await predicted(folder, CT, join(input, "done")), ["a.nii.gz"]);
  });
});

Deno.test("a case that fails goes aside with its reason as a text, the others are done, and --once says that one failed", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, done, failed, args, moving } = await folders(folder, CT);
    const whole = await Deno.readFile(image(CT, "test_000"));
    await Deno.writeFile(join(input, "a_0000.nii.gz"), whole.subarray(0, whole.length / 2));
    await Deno.writeFile(join(input, "b_0000.nii.gz"), whole);
    await Deno.writeFile(join(input, "c_0001.nii.gz"), whole);
    await Deno.writeFile(join(input, "notes.txt"), whole);
    // Of an earlier case of the same name.
    await Deno.mkdir(done);
    await Deno.writeTextFile(join(done, "b_0000.nii.gz"), "an earlier one");
    const watcher = startWatcher(args(...moving, "--settle", "0", "--once"));
    assertEquals(await watcher.ended, false);
    assertEquals(await namesIn(output), ["b.nii.gz", ...RUN_FILES]);
    assertEquals(await namesIn(input), ["done", "failed", "notes.txt"]);
    assertEquals(await namesIn(failed), ["a.failed.txt", "a_0000.nii.gz", "c.failed.txt", "c_0001.nii.gz"]);
    assertEquals([await namesIn(done), await namesIn(join(done, "b.2"))], [["b.2", "b_0000.nii.gz"], [
      "b_0000.nii.gz",
    ]]);
    const text = await Deno.readTextFile(join(failed, "a.failed.txt"));
    assert(text.includes("a_0000.nii.gz") && text.includes("gzip"), text);
    assert((await Deno.readTextFile(join(failed, "c.failed.txt"))).includes("surplus channel"));
  });
});

Deno.test("a cascade is watched with its first stage; each case has its report, statistics and meshes, as predict writes them", async () => {
  await inTempFolder(async (folder) => {
    const { first, second, images } = await putCascade(folder);
    const [lowres, expected] = ["lowres", "expected"].map((name) => join(folder, name));
    const wish = ["--mesh", "stl", "--statistics", join(expected, "all.json")];
    await Deno.mkdir(expected);
    for (
      const line of [["-m", first, "-o", lowres], [
        ...["-m", second, "-o", expected, "-prev_stage_predictions", lowres],
        ...wish,
      ]]
    ) {
      const { code, stderr } = await runCommand(["predict_from_modelfolder", "-i", images, ...line, ...HOW]);
      assertEquals(code, 0, stderr);
    }
    const { input, output, done, args, moving } = await folders(folder, "cascade");
    const ids = ["test_000", "test_001"];
    for (const id of ids) await Deno.copyFile(image("cascade", id), join(input, `${id}_0000.nii.gz`));
    await Deno.writeFile(
      join(input, "cut_0000.nii.gz"),
      (await Deno.readFile(image("cascade", ids[0]))).subarray(0, 900),
    );
    const line = args(
      ...moving,
      "--once",
      "--settle",
      "0.1",
      "--report",
      output,
      "--statistics",
      output,
      "--mesh",
      "stl",
    );
    line[line.indexOf("-m") + 1] = second;
    const { code, stderr } = await runCommand(["watch", ...line, "--first-stage", first]);
    assertEquals(code, 1, stderr);
    assert(stderr.includes("cut"), stderr);
    const texts = (id: string) => [`${id}.report.json`, `${id}.statistics.csv`, `${id}.statistics.json`];
    const made = ids.flatMap((id) => [`${id}.nii.gz`, ...texts(id), `${id}_meshes`]);
    assertEquals(await namesIn(output), [...made, "cut.report.json", ...RUN_FILES].sort());
    await sameFiles(output, expected, [
      ...ids.map((id) => `${id}.nii.gz`),
      ...(await namesIn(join(expected, "test_000_meshes"))).map((name) => `test_000_meshes/${name}`),
    ]);
    const json = async (path: string) => JSON.parse(await Deno.readTextFile(path));
    const all = await json(join(expected, "all.json"));
    for (const [i, id] of ids.entries()) {
      const { cases: [own] } = await json(join(output, `${id}.statistics.json`));
      assertEquals(own.classes, relocated(all.cases[i].classes, expected, output), id);
      const report = await json(join(output, `${id}.report.json`));
      assertEquals([report.outcome, report.cases.length, report.cases[0].id], ["done", 1, id]);
      assert(/^[0-9a-f]{64}$/.test(report.model.folds[0].sha256));
    }
    assertEquals((await json(join(output, "cut.report.json"))).failed[0].id, "cut");
    assertEquals(await namesIn(done), ids.map((id) => `${id}_0000.nii.gz`));
  });
});

Deno.test("a case that cannot be measured has failed once, keeps its segmentation, and is done when its reason is removed", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, args } = await folders(folder, CT);
    await Deno.copyFile(image(CT, "test_000"), join(input, "a_0000.nii.gz"));
    await Deno.mkdir(output);
    await Deno.writeTextFile(join(output, "a_meshes"), "a file in the meshes' place");
    const once = async () => {
      const watcher = startWatcher(args("--settle", "0", "--once", "--statistics", output, "--mesh", "stl"));
      const isDone = await watcher.ended;
      return [isDone, ...watcher.said.map(({ event }) => event).filter((event) => /^case_(done|failed)$/.test(event))];
    };
    assertEquals(await once(), [false, "case_failed"]);
    assertEquals(await namesIn(output), ["a.failed.txt", "a.nii.gz", "a_meshes", ...RUN_FILES]);
    assertEquals(await once(), [true]);
    await Deno.remove(join(output, "a.failed.txt"));
    await Deno.remove(join(output, "a_meshes"));
    assertEquals(await once(), [true, "case_done"]);
    const texts = ["a.statistics.csv", "a.statistics.json"];
    assertEquals(await namesIn(output), ["a.nii.gz", ...texts, "a_meshes", ...RUN_FILES]);
    assertEquals(await once(), [true]);
  });
});

Deno.test("a report or statistics that cannot be written are that case's failure, with its reason beside, and the others are done", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, done, failed, args, moving } = await folders(folder, CT);
    for (const id of ["a", "b"]) await Deno.copyFile(image(CT, "test_000"), join(input, `${id}_0000.nii.gz`));
    for (const flag of ["--report", "--statistics"]) {
      const texts = join(folder, flag.slice(2));
      const watcher = startWatcher(args(...moving, "--settle", "0", "--once", flag, texts), ({ event }) => {
        if (event !== "watching" && event !== "case_failed") return;
        Deno.removeSync(texts);
        if (event === "watching") Deno.writeTextFileSync(texts, "a file in the folder's place");
        else Deno.mkdirSync(texts);
      });
      assertEquals(await watcher.ended, false);
      const ends = watcher.said.filter(({ event }) => /^case_(done|failed)$/.test(event));
      assertEquals(ends.map(({ event, fields }) => `${fields.case} ${event}`).sort(), ["a case_failed", "b case_done"]);
      assertEquals(await namesIn(output), ["a.nii.gz", "b.nii.gz", ...RUN_FILES]);
      assertEquals((await namesIn(texts)).every((name) => name.startsWith("b.")), true);
      assertEquals([await namesIn(done), await namesIn(failed)], [["b_0000.nii.gz"], [
        "a.failed.txt",
        "a_0000.nii.gz",
      ]]);
      const why = await Deno.readTextFile(join(failed, "a.failed.txt"));
      assert(why.includes(texts) && why.includes("file"), why);
      // And it is done when it comes again.
      await Deno.remove(join(failed, "a.failed.txt"));
      await Deno.rename(join(failed, "a_0000.nii.gz"), join(input, "a_0000.nii.gz"));
      assertEquals(await startWatcher(args(...moving, "--settle", "0", "--once", flag, texts)).ended, true);
      assertEquals((await namesIn(texts)).some((name) => name.startsWith("a.")), true);
      for (const id of ["a", "b"]) {
        await Deno.rename(join(done, `${id}_0000.nii.gz`), join(input, `${id}_0000.nii.gz`));
      }
    }
  });
});

Deno.test("where it cannot be written why a case failed whose images are moved by then, that is told, and no other try promised", async () => {
  await inTempFolder(async (folder) => {
    const { input, failed, args, moving } = await folders(folder, CT);
    const whole = await Deno.readFile(image(CT, "test_000"));
    await Deno.mkdir(join(failed, "a.failed.txt"), { recursive: true });
    await Deno.writeFile(join(input, "a_0000.nii.gz"), whole.subarray(0, whole.length / 2));
    await using watcher = startWatcher(args(...moving, "--settle", "0"));
    const { fields } = await watcher.until("warning");
    await watcher.stop();
    const message = String(fields.message);
    assertEquals([message.includes("a.failed.txt"), message.includes("tried again")], [true, false], message);
    assertEquals(await namesIn(failed), ["a.failed.txt", "a_0000.nii.gz"]);
  });
});

Deno.test("a text of a failure that cannot be read keeps that case alone from being done; --once counts it as failed", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, args } = await folders(folder, CT);
    await Deno.mkdir(join(output, "a.failed.txt"), { recursive: true });
    for (const id of ["a", "b"]) await Deno.copyFile(image(CT, "test_000"), join(input, `${id}_0000.nii.gz`));
    {
      await using watcher = startWatcher(args("--settle", "0"));
      const { fields } = await watcher.until("warning");
      const message = String(fields.message);
      assert(message.includes("a.failed.txt") && message.endsWith("It is tried again in 60 s."), message);
      await watcher.until("case_done", "b");
      assertEquals(await watcher.stop(), true);
    }
    await Deno.copyFile(image(CT, "test_000"), join(input, "c_0000.nii.gz"));
    const once = startWatcher(args("--settle", "0", "--once"));
    assertEquals(await once.ended, false);
    const ends = once.said.filter(({ event }) => event === "case_done" || event === "case_failed");
    assertEquals(ends.map(({ event, fields }) => `${fields.case} ${event}`).sort(), ["a case_failed", "c case_done"]);
    assertEquals(await namesIn(output), ["a.failed.txt", "b.nii.gz", "c.nii.gz", ...RUN_FILES]);
  });
});

Deno.test("images that cannot be looked at when their case is predicted do not end the watch", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, args } = await folders(folder, CT);
    const path = join(input, "a_0000.nii.gz");
    await Deno.copyFile(image(CT, "test_000"), path);
    let isFirst = true;
    await using watcher = startWatcher(args("--settle", "0"), ({ event }) => {
      if (event !== "case" || !isFirst) return;
      isFirst = false;
      Deno.removeSync(path);
      Deno.symlinkSync(path, path); // a link in a circle
    });
    const { fields } = await watcher.until("warning");
    assert(String(fields.message).endsWith("It is tried again in 60 s."), String(fields.message));
    await Deno.remove(path);
    await Deno.copyFile(image(CT, "test_000"), join(input, "b_0000.nii.gz"));
    await watcher.until("case_done", "b");
    assertEquals(await watcher.stop(), true);
    assert((await namesIn(output)).includes("b.nii.gz"));
  });
});

Deno.test("a case whose images cannot be moved when it is done is done once, and again only when they change or its result is gone", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, done, args } = await folders(folder, CT);
    const path = join(input, "a_0000.nii.gz");
    await Deno.copyFile(image(CT, "test_000"), path);
    await using watcher = startWatcher(args("--done", done, "--settle", "0"), ({ event }) => {
      if (event !== "watching") return;
      Deno.removeSync(done);
      Deno.writeTextFileSync(done, "a file in the folder's place");
    });
    const count = (name: string) => watcher.said.filter(({ event }) => event === name).length;
    const reach = async (name: string, wanted: number) => {
      while (count(name) < wanted) await Promise.race([pause(50), watcher.ended]);
    };
    await reach("warning", 1);
    const { fields } = await watcher.until("warning");
    const message = String(fields.message);
    assert(message.includes(done) && message.includes("a is done; its images stay where they are"), message);
    await Deno.copyFile(image(CT, "test_000"), join(input, "b_0000.nii.gz"));
    await reach("case_done", 2);
    await pause(500);
    assertEquals([count("case_done"), count("warning"), count("case_failed")], [2, 2, 0]);
    await Deno.copyFile(image(CT, "test_001"), path);
    await reach("case_done", 3);
    await Deno.remove(join(output, "b.nii.gz"));
    await reach("case_done", 4);
    assertEquals(await watcher.stop(), true);
    assertEquals(await namesIn(output), ["a.nii.gz", "b.nii.gz", ...RUN_FILES]);
  });
});

Deno.test("images that cannot be looked at keep no other case waiting, and --once counts theirs as failed", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, args } = await folders(folder, CT);
    const path = join(input, "a_0000.nii.gz");
    await Deno.symlink(path, path); // a link in a circle
    await Deno.copyFile(image(CT, "test_000"), join(input, "b_0000.nii.gz"));
    {
      await using watcher = startWatcher(args("--settle", "0"));
      await watcher.until("case_done", "b");
      await pause(300);
      assertEquals(await watcher.stop(), true);
      const warnings = watcher.said.filter(({ event }) => event === "warning").map(({ fields }) => `${fields.message}`);
      assertEquals([warnings.length, warnings[0].includes("(case a, ")], [1, true], warnings.join("\n"));
    }
    await Deno.copyFile(image(CT, "test_000"), join(input, "c_0000.nii.gz"));
    const once = startWatcher(args("--settle", "0.2", "--once"));
    assertEquals(await once.ended, false);
    const ends = once.said.filter(({ event }) => event === "case_done" || event === "case_failed");
    assertEquals(ends.map(({ event, fields }) => `${fields.case} ${event}`).sort(), ["a case_failed", "c case_done"]);
    assertEquals(await namesIn(output), ["b.nii.gz", "c.nii.gz", ...RUN_FILES]);
  });
});

Deno.test("a case whose images cannot be moved when it has failed has failed once, with its reason beside the results", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, failed, args } = await folders(folder, CT);
    const whole = await Deno.readFile(image(CT, "test_000"));
    const path = join(input, "a_0000.nii.gz");
    await Deno.writeFile(path, whole.subarray(0, whole.length / 2));
    await using watcher = startWatcher(args("--failed", failed, "--settle", "0"), ({ event }) => {
      if (event !== "watching") return;
      Deno.removeSync(failed);
      Deno.writeTextFileSync(failed, "a file in the folder's place");
    });
    await watcher.until("case_aside", "a");
    await pause(500);
    const count = (name: string) => watcher.said.filter(({ event }) => event === name).length;
    assertEquals([count("case_failed"), count("warning")], [1, 1]);
    assertEquals(await namesIn(output), ["a.failed.txt", ...RUN_FILES]);
    await Deno.writeFile(path, whole);
    await watcher.until("case_done", "a");
    assertEquals(await watcher.stop(), true);
    assertEquals(await namesIn(output), ["a.nii.gz", ...RUN_FILES]);
  });
});

/** Classes of statistics with their meshes in another folder. */
function relocated(classes: unknown, from: string, to: string): unknown {
  return JSON.parse(JSON.stringify(classes).replaceAll(`${from}/`, `${to}/`));
}

Deno.test("without folders to move to, what is done and what has failed is left alone by the next watcher until it changes", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, args } = await folders(folder, CT);
    const whole = await Deno.readFile(image(CT, "test_000"));
    await Deno.writeFile(join(input, "a_0000.nii.gz"), whole.subarray(0, whole.length / 2));
    await Deno.writeFile(join(input, "b_0000.nii.gz"), whole);
    const once = async () => {
      const watcher = startWatcher(args("--settle", "0", "--once"));
      const isDone = await watcher.ended;
      const ends = watcher.said.filter(({ event }) => event === "case_done" || event === "case_failed");
      return [isDone, ...ends.map(({ event, fields }) => `${fields.case} ${event}`).sort()];
    };
    assertEquals(await once(), [false, "a case_failed", "b case_done"]);
    assertEquals(await namesIn(output), ["a.failed.txt", "b.nii.gz", ...RUN_FILES]);
    assertEquals(await once(), [true]);
    await Deno.writeFile(join(input, "a_0000.nii.gz"), whole);
    assertEquals(await once(), [true, "a case_done"]);
    assertEquals(await namesIn(output), ["a.nii.gz", "b.nii.gz", ...RUN_FILES]);
    assertEquals(await namesIn(input), ["a_0000.nii.gz", "b_0000.nii.gz"]);
  });
});

Deno.test({
  name:
    "of two watchers on one folder one is killed: each case is one's, all are done, and the next goes on with what was left",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const { input, output, done, args, moving } = await folders(folder, CT);
      const ids = [..."abcdefghij"];
      for (const id of ids) await Deno.copyFile(image(CT, "test_000"), join(input, `${id}_0000.nii.gz`));
      const line = ["watch", ...args(...moving, "--settle", "0", "--log", "json", "--once")];
      const [killed, other] = await Promise.all([
        interruptCommand(line, '"case_done"', "SIGKILL"),
        runCommand(line),
      ]);
      const next = await runCommand(line);
      assertEquals([killed.code === 0, other.code, next.code], [false, 0, 0], other.stderr + next.stderr);
      const moved = [killed, other, next].map(({ stdout }) =>
        [...stdout.matchAll(/"event":"case_moved","case":"(\w)"/g)].map(([, id]) => id)
      );
      const all = moved.flat();
      assertEquals(all.length, new Set(all).size, JSON.stringify(moved));
      // The case that the killed one was at the end of may have been moved before it could say so.
      assert(all.length >= ids.length - 1, JSON.stringify(moved));
      assertEquals(
        (await namesIn(output)).filter((name) => !name.endsWith(".tmp")),
        [
          ...ids.map((id) => `${id}.nii.gz`),
          ...RUN_FILES,
        ].sort(),
      );
      assertEquals(await namesIn(done), ids.map((id) => `${id}_0000.nii.gz`));
      assertEquals(await namesIn(input), ["done", "failed"]);
      const expected = await predicted(folder, CT, done);
      await sameFiles(output, expected, ids.map((id) => `${id}.nii.gz`));
    }),
});

Deno.test("two watchers that work beside each other never do the same case", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, args } = await folders(folder, CT);
    const ids = [..."abcdefghij"];
    for (const id of ids) await Deno.copyFile(image(CT, "test_000"), join(input, `${id}_0000.nii.gz`));
    await using one = startWatcher(args("--settle", "0"));
    await using other = startWatcher(args("--settle", "0"));
    const doneBy = (watcher: typeof one) =>
      watcher.said.flatMap(({ event, fields }) => event === "case_done" ? [fields.case] : []);
    while (doneBy(one).length + doneBy(other).length < ids.length) await pause(50);
    await pause(300);
    assertEquals([await one.stop(), await other.stop()], [true, true]);
    assertEquals([...doneBy(one), ...doneBy(other)].sort(), ids);
    assertEquals(await namesIn(output), [...ids.map((id) => `${id}.nii.gz`), ...RUN_FILES].sort());
  });
});

Deno.test("a folder of DICOM slices is a case when its slices no longer come, and gives what predict gives", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, done, args, moving } = await folders(folder, CT);
    const packed = (await packedSeries())["axial"];
    const upload = join(input, "study");
    await using watcher = startWatcher(args(...moving, "--settle", "1"));
    await watcher.until("watching");
    for (const [name, content] of Object.entries(packed)) {
      await unpackSeries({ [name]: content }, upload);
      await pause(100);
    }
    await watcher.until("case_moved", "study");
    await watcher.stop();
    assertEquals(await namesIn(output), [...RUN_FILES, "study.nii.gz"].sort());
    await sameFiles(output, await predicted(folder, CT, join(done, "study")), ["study.nii.gz"]);
  });
});

Deno.test("of a folder with several series --series takes one, and without it the case fails with their list", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, failed, args, moving } = await folders(folder, CT);
    const { axial, sagittal } = await packedSeries();
    await unpackSeries(axial, join(input, "study", "a"));
    await unpackSeries(asOther(sagittal), join(input, "study", "b"));
    const once = async (...more: string[]) =>
      await startWatcher(args(...moving, "--settle", "0", "--once", ...more)).ended;
    assertEquals(await once(), false);
    const why = await Deno.readTextFile(join(failed, "study.failed.txt"));
    for (const words of ["it holds 2 series", UID, OTHER]) assert(why.includes(words), why);
    await Deno.rename(join(failed, "study"), join(input, "study"));
    assertEquals(await once("--series", UID), true);
    assertEquals(await namesIn(output), [...RUN_FILES, "study.nii.gz"].sort());
    const expected = await predicted(folder, CT, join(folder, "in/done"), "--series", UID);
    await sameFiles(output, expected, ["study.nii.gz"]);
  });
});

Deno.test("a case that changes while it is predicted is taken again when it no longer does, and its first result is gone", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, args } = await folders(folder, CT);
    const path = join(input, "a_0000.nii.gz");
    await Deno.copyFile(image(CT, "test_000"), path);
    const whole = await Deno.readFile(image(CT, "test_001"));
    let tries = 0;
    let second = 0;
    await using watcher = startWatcher(args("--settle", "0", "--report", output), ({ event }) => {
      if (event === "case" && tries++ === 0) Deno.writeFileSync(path, whole);
      if (event === "warning") second = Date.now();
    });
    await watcher.until("case_done", "a");
    await watcher.stop();
    assertEquals(tries, 2);
    const { started } = JSON.parse(await Deno.readTextFile(join(output, "a.report.json")));
    assert(Date.parse(started) >= second, "the report is that of the first attempt");
    const [warning] = watcher.said.filter(({ event }) => event === "warning");
    assert(String(warning.fields.message).startsWith("a: it has changed"), JSON.stringify(warning));
    await sameFiles(output, await predicted(folder, CT, input), ["a.nii.gz"]);
  });
});

Deno.test({
  name: "a full disk is not the case's failure: its images stay, and it is done when there is room",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const { input, output, failed, args, moving } = await folders(folder, CT);
      await Deno.copyFile(image(CT, "test_000"), join(input, "a_0000.nii.gz"));
      const line = ["watch", ...args(...moving, "--settle", "0", "--once", "--save_probabilities")];
      // Room for plans.json, and not for probabilities.
      const full = await runCommand(line, { fileLimit: 10 * 512 });
      assertEquals([full.code, full.stderr.includes("riting")], [1, true], full.stderr);
      assert(full.stderr.includes("the file may not become so large there"), full.stderr);
      assertEquals([await namesIn(input), await namesIn(failed)], [["a_0000.nii.gz", "done", "failed"], []]);
      assertEquals(await namesIn(output), RUN_FILES, "nothing half-written");
      const next = await runCommand(line);
      assertEquals(next.code, 0, next.stderr);
      assertEquals(await namesIn(output), ["a.nii.gz", "a.npz", "a.pkl", ...RUN_FILES]);
    }),
});

Deno.test("what cannot work is refused before the first look: a broken model, folders that are each other, another model's results", async () => {
  await inTempFolder(async (folder) => {
    const { input, output, args } = await folders(folder, CT);
    const refused = async (problem: string, line: readonly string[]) => {
      await using watcher = startWatcher(line);
      await watcher.ended.then(() => assert(false, `it was taken: ${line.join(" ")}`), (error) => {
        assert(error instanceof UserError && error.message.includes(problem), String(error));
      });
      assertEquals(watcher.said.filter(({ event }) => event === "watching"), []);
    };
    const broken = join(folder, "broken");
    await Deno.mkdir(join(broken, "fold_0"), { recursive: true });
    for (const name of ["plans.json", "dataset.json"]) await Deno.copyFile(join(model(CT), name), join(broken, name));
    await Deno.writeTextFile(join(broken, "fold_0/checkpoint_final.pth"), "no checkpoint");
    await refused("checkpoint_final.pth", [input, output, "-m", broken, ...HOW]);
    await refused("--first-stage FOLDER", [input, output, "-m", model("cascade"), ...HOW]);
    await refused("it is 3d_fullres of", [input, output, "-m", model("cascade"), "--first-stage", model(CT), ...HOW]);
    await refused("3d_fullres is none", [input, output, "-m", model(CT), "--first-stage", model(CT), ...HOW]);
    await refused("the folder of the reports is the watched", [
      input,
      output,
      "-m",
      model(CT),
      ...HOW,
      "--report",
      input,
    ]);
    await refused("the watched folder", [input, input, "-m", model(CT), ...HOW]);
    await refused("the folder of the segmentations", args("--done", output));
    await refused("a folder is needed", [input, join(folder, "out.nii.gz"), "-m", model(CT), ...HOW]);
    await refused("there is no such folder", [join(folder, "nowhere"), output, "-m", model(CT), ...HOW]);
    await startWatcher(args("--once", "--settle", "0")).ended;
    await refused("another model", [input, output, "-m", model(REGIONS), ...HOW]);
  });
});
