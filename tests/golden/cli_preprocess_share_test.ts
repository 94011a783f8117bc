/** Several processes that preprocess one dataset: each case is made once, whoever is killed, and the last one gives the folder its name. */
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { openPreprocessedCase } from "../../core/preprocess/training_case_reader.ts";
import { assert, assertEquals } from "../assert.ts";

const GOLDEN = fromFileUrl(new URL("./preprocess_dataset", import.meta.url));
const NAME = "Dataset811_Thick";
const IDS = Array.from({ length: 24 }, (_, i) => `case${String(i).padStart(2, "0")}`);
const ALL = [...IDS.map((id) => `${id}.bricks`), "preprocessed.jsonl"].sort();

interface Place {
  readonly env: Readonly<Record<string, string>>;
  /** The dataset's folder of preprocessed data. */
  readonly preprocessed: string;
  readonly raw: string;
}

/** A dataset of one case under many names, planned. */
async function makePlace(folder: string): Promise<Place> {
  const raw = join(folder, "raw", NAME);
  const source = join(GOLDEN, "raw", NAME);
  for (const part of ["imagesTr", "labelsTr"]) await Deno.mkdir(join(raw, part), { recursive: true });
  const json = JSON.parse(await Deno.readTextFile(join(source, "dataset.json")));
  await Deno.writeTextFile(join(raw, "dataset.json"), JSON.stringify({ ...json, numTraining: IDS.length }));
  for (const part of ["imagesTr", "labelsTr"]) {
    for (const name of (await namesIn(join(source, part))).filter((name) => name.startsWith("c0"))) {
      for (const id of IDS) await Deno.copyFile(join(source, part, name), join(raw, part, name.replace("c0", id)));
    }
  }
  const env = { nnUNet_raw: join(folder, "raw"), nnUNet_preprocessed: join(folder, "preprocessed") };
  const planned = await runCommand(["plan_and_preprocess", "-d", "811", "--no_pp"], { env });
  assertEquals(planned.code, 0, planned.stderr);
  return { env, raw, preprocessed: join(folder, "preprocessed", NAME) };
}

const COMMAND = ["preprocess", "-d", "811", "-c", "2d", "3d_fullres", "-np", "1", "--verbose"];
const SHARING = [...COMMAND, "--share"];

/** How many cases runs say that they have made themselves, of a configuration's. */
function made(stdout: string, configuration = "2d"): number {
  const [, line] = new RegExp(`, ${configuration}: (.*)`).exec(stdout) ?? [];
  assert(line, stdout);
  const others = [...line.matchAll(/(\d+) of them/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  return line.includes("made before") ? 0 : Number(/^\d+/.exec(line)?.[0]) - others;
}

async function assertWhole({ preprocessed }: Place): Promise<void> {
  const names = await namesIn(preprocessed);
  assertEquals(names.filter((name) => name.startsWith(".")), []);
  for (const configuration of ["2d", "3d_fullres"]) {
    const folder = join(preprocessed, `nnUNetPlans_${configuration}`);
    assertEquals(await namesIn(folder), ALL);
    for (const id of IDS) (await openPreprocessedCase(folder, id))[Symbol.dispose]();
    const record = (await Deno.readTextFile(join(folder, "preprocessed.jsonl"))).trim().split("\n").slice(1);
    assertEquals(record.map((line) => JSON.parse(line).id).sort(), IDS);
  }
}

/** Starts runs, and kills them as soon as so many cases are made. */
async function killAt(cases: number, runs: number, place: Place): Promise<void> {
  const kill = new AbortController();
  const killed = Array.from({ length: runs }, () => runCommand(SHARING, { ...place, killSignal: kill.signal }));
  const work = join(place.preprocessed, ".nnUNetPlans_2d.partial");
  while ((await namesIn(work)).filter((name) => /^case.*\.bricks$/.test(name)).length < cases) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  kill.abort();
  for (const { code } of await Promise.all(killed)) assert(code !== 0);
}

Deno.test("three processes that share a dataset make each case once, and one folder of all", () =>
  inTempFolder(async (folder) => {
    const place = await makePlace(folder);
    const runs = await Promise.all([1, 2, 3].map(() => runCommand(SHARING, place)));
    for (const { code, stderr } of runs) assertEquals(code, 0, stderr);
    for (const configuration of ["2d", "3d_fullres"]) {
      const counts = runs.map(({ stdout }) => made(stdout, configuration));
      const earlier = runs.map(({ stdout }) => Number(/(\d+) of them by an earlier run/.exec(stdout)?.[1] ?? 0));
      assert(
        counts.reduce((sum, one) => sum + one) === IDS.length,
        `${counts} made, ${earlier} before\n${runs.map(({ stdout }) => stdout).join("\n")}`,
      );
    }
    await assertWhole(place);
    const again = await runCommand(SHARING, place);
    assertEquals([again.code, made(again.stdout)], [0, 0]);
  }));

Deno.test({
  name: "of two processes that share a dataset one is killed: the other makes what that had begun, and all is there",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const place = await makePlace(folder);
      const other = runCommand(SHARING, place);
      await killAt(2, 1, place);
      const { code, stdout, stderr } = await other;
      assertEquals(code, 0, stderr);
      assert(made(stdout) > 0, stdout);
      await assertWhole(place);
    }),
});

Deno.test({
  name: "after all that share a dataset are killed, one that does not share goes on from what they have done",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const place = await makePlace(folder);
      await killAt(4, 2, place);
      const after = await runCommand(COMMAND, place);
      assertEquals(after.code, 0, after.stderr);
      const kept = Number(/, 2d: .*\((\d+) of them by an earlier run\)/.exec(after.stdout)?.[1]);
      assert(kept >= 2 && kept < IDS.length, after.stdout);
      await assertWhole(place);
    }),
});

Deno.test("a case that can't be made fails in each process that shares, and no folder is replaced", () =>
  inTempFolder(async (folder) => {
    const place = await makePlace(folder);
    await Deno.truncate(join(place.raw, "labelsTr", `${IDS[5]}.nii.gz`), 100);
    const runs = await Promise.all([1, 2].map(() => runCommand(SHARING, place)));
    for (const { code, stderr } of runs) {
      assertEquals(code, 1);
      assert(stderr.includes(`case ${IDS[5]}`) && stderr.includes("no folder was replaced"), stderr);
    }
    assert(!(await namesIn(place.preprocessed)).some((name) => name.startsWith("nnUNetPlans_")));
    await Deno.copyFile(
      join(place.raw, "labelsTr", `${IDS[4]}.nii.gz`),
      join(place.raw, "labelsTr", `${IDS[5]}.nii.gz`),
    );
    const after = await runCommand(SHARING, place);
    assertEquals([after.code, made(after.stdout)], [0, 1], after.stderr);
    await assertWhole(place);
  }));

Deno.test("an element of an array shares by itself and says so; not with --redo, and not by Python's name", () =>
  inTempFolder(async (folder) => {
    const place = await makePlace(folder);
    // A sparse array: sharing needs no ranks.
    const slurm = { SLURM_ARRAY_TASK_COUNT: "4", SLURM_ARRAY_TASK_MIN: "0", SLURM_ARRAY_TASK_MAX: "9" };
    const elements = ["0", "3", "4", "9"].map((id) => ({ ...place.env, ...slurm, SLURM_ARRAY_TASK_ID: id }));
    const runs = await Promise.all(elements.map((env) => runCommand(COMMAND, { env })));
    for (const [i, { code, stdout, stderr }] of runs.entries()) {
      assertEquals(code, 0, stderr);
      const said = `SLURM's array, SLURM_ARRAY_TASK_ID=${elements[i].SLURM_ARRAY_TASK_ID}: the cases are shared with`;
      assert(stdout.includes(said), stdout);
    }
    assertEquals(runs.map(({ stdout }) => made(stdout)).reduce((sum, one) => sum + one), IDS.length);
    await assertWhole(place);
    const pod = { env: { ...place.env, JOB_COMPLETION_INDEX: "1" } };
    const again = await runCommand(COMMAND, pod);
    assert(
      again.stdout.includes("Kubernetes' indexed job, JOB_COMPLETION_INDEX=1: the cases are shared"),
      again.stdout,
    );
    const redone = await runCommand([...COMMAND, "--redo"], pod);
    assertEquals([redone.code, made(redone.stdout)], [0, IDS.length], redone.stderr);
    assert(redone.stdout.includes("with --redo the cases are not shared"), redone.stdout);
    const upstream = await runCommand(["nnUNetv2_preprocess", ...COMMAND.slice(1)], pod);
    assert(upstream.code === 0 && !upstream.stdout.includes("shared"), upstream.stdout);
    assertEquals((await runCommand([...SHARING, "--redo"], place)).code, 2);
  }));

Deno.test({
  name: "runs with other settings, or that do not share, are refused while others share, and change nothing",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const place = await makePlace(folder);
      const copy = join(folder, "copy");
      await copyFolder(place.preprocessed, copy);
      const { openSharedDataFolder } = await import("../../core/preprocess/shared_data_folder.ts");
      const options = { setting: "another", inputs: new Map([["a", []]]), redo: false };
      using _open = await openSharedDataFolder(place.preprocessed, "nnUNetPlans_2d", options, undefined);
      const other = await runCommand(SHARING, place);
      assertEquals(other.code, 1);
      assert(other.stderr.includes("by other plans or with other settings"), other.stderr);
      const alone = await runCommand(COMMAND, place);
      assertEquals(alone.code, 1);
      assert(alone.stderr.includes("another run is preprocessing these data"), alone.stderr);
      assertEquals(await namesIn(join(place.preprocessed, ".nnUNetPlans_2d.partial")), ["preprocessed.jsonl"]);
    }),
});
