/** The commands preprocess and plan_and_preprocess as a user runs them, on the datasets of tests/golden/preprocess_dataset. */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { openNpzCase } from "../../core/formats/preprocessed/npy_case_reader.ts";
import { openPreprocessedCase } from "../../core/preprocess/training_case_reader.ts";
import { assert, assertEquals } from "../assert.ts";
import { namesIn, runCommand } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./preprocess_dataset", import.meta.url));
const EXPECTED = join(GOLDEN, "expected", "Dataset813_Pictures");

async function workplace() {
  const folder = await Deno.makeTempDir();
  const preprocessed = join(folder, "Dataset813_Pictures");
  return {
    folder,
    preprocessed,
    env: { nnUNet_raw: join(GOLDEN, "raw"), nnUNet_preprocessed: folder },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

Deno.test("plan_and_preprocess makes fingerprint, plans and data under upstream's name and flags, and reports", async () => {
  await using place = await workplace();
  const report = join(place.folder, "report.json");
  const flags =
    "-d 813 -fpe DatasetFingerprintExtractor -npfp 2 -np 2 --verify_dataset_integrity --clean -c 2d 3d_fullres";
  const first = await runCommand(["nnUNetv2_plan_and_preprocess", ...flags.split(" "), "--report", report], place);
  assertEquals(first.code, 0, first.stderr);
  assert(
    first.stdout.includes("INFO: Configuration 3d_fullres not found in plans file nnUNetPlans.json"),
    first.stdout,
  );
  const plans = async (file: string) => JSON.parse(await Deno.readTextFile(file));
  assertEquals(
    (await plans(join(place.preprocessed, "nnUNetPlans.json"))).configurations,
    (await plans(join(EXPECTED, "nnUNetPlans.json"))).configurations,
  );
  using found = await openPreprocessedCase(join(place.preprocessed, "nnUNetPlans_2d"), "p1");
  using expected = await openNpzCase(join(EXPECTED, "nnUNetPlans_2d", "p1"));
  assertEquals(await found.readBox([0, 0, 0], found.grid), await expected.readBox([0, 0, 0], expected.grid));
  const { check, preprocessing } = JSON.parse(await Deno.readTextFile(report));
  assertEquals([check[0].errors, preprocessing[0].configurations[0].state], [0, "written"]);

  const again = await runCommand(["preprocess", "-d", "813", "-c", "2d"], place);
  assertEquals(again.code, 0, again.stderr);
  assert(again.stdout.includes("2 cases were made before"), again.stdout);
});

Deno.test("--no_pp stops after planning", async () => {
  await using place = await workplace();
  const { code, stderr } = await runCommand(["plan_and_preprocess", "-d", "813", "--no_pp"], place);
  assertEquals(code, 0, stderr);
  const names = (await Array.fromAsync(Deno.readDir(place.preprocessed))).map(({ name }) => name);
  assert(names.includes("nnUNetPlans.json") && !names.includes("nnUNetPlans_2d"), names.join(" "));
});

Deno.test("what preprocess cannot start with is said with what to do", async () => {
  await using place = await workplace();
  await Deno.mkdir(place.preprocessed);
  const fails = async (args: readonly string[], ...parts: string[]) => {
    const { code, stderr } = await runCommand(["preprocess", "-d", "813", ...args], place);
    assertEquals(code, 1, stderr);
    for (const part of parts) assert(stderr.includes(part), stderr);
  };
  await fails([], "nnUNetPlans.json", "Run plan_experiment first");
  await Deno.copyFile(join(EXPECTED, "nnUNetPlans.json"), join(place.preprocessed, "nnUNetPlans.json"));
  await fails(["-plans_name", "nnUnetPlans"], "did you mean nnUNetPlans?");
  await fails(["-c", "3d_fulres"], "none of those asked for (-c 3d_fulres). Give some of 2d");
});

Deno.test("plans that were moved here are enough: preprocess copies dataset.json from the raw dataset", async () => {
  await using place = await workplace();
  await Deno.mkdir(place.preprocessed);
  await Deno.copyFile(join(EXPECTED, "nnUNetPlans.json"), join(place.preprocessed, "nnUNetPlans.json"));
  const { code, stdout, stderr } = await runCommand(["preprocess", "-d", "813", "-c", "2d"], place);
  assertEquals(code, 0, stderr);
  assert(stdout.includes("dataset.json is not there yet: copied from"), stdout);
  const [copy, raw] = [place.preprocessed, join(GOLDEN, "raw/Dataset813_Pictures")];
  assertEquals(await Deno.readFile(join(copy, "dataset.json")), await Deno.readFile(join(raw, "dataset.json")));
});

Deno.test("flags that Python's command passes over are passed over under its name, and refused otherwise", async () => {
  await using place = await workplace();
  const flags = ["-d", "813", "--plan_name", "x"];
  const refused = await runCommand(["preprocess", ...flags], place);
  assertEquals(refused.code, 2, refused.stderr);
  const ignored = await runCommand(["nnUNetv2_preprocess", ...flags], place);
  assertEquals(ignored.code, 1);
  for (const part of ["unrecognized arguments: --plan_name x", "did you mean -plans_name?", "Run plan_experiment"]) {
    assert(ignored.stderr.includes(part), ignored.stderr);
  }
  const strict = await runCommand(["nnUNetv2_plan_and_preprocess", ...flags], place);
  assertEquals(strict.code, 2, strict.stderr);
});

Deno.test("a case that can't be read is named, the exit code is 1, and the old data stay", async () => {
  await using place = await workplace();
  const raw = join(place.folder, "raw");
  const dataset = join(raw, "Dataset813_Pictures");
  for (const folder of ["imagesTr", "labelsTr"]) {
    await Deno.mkdir(join(dataset, folder), { recursive: true });
    for await (const { name } of Deno.readDir(join(GOLDEN, "raw/Dataset813_Pictures", folder))) {
      await Deno.copyFile(join(GOLDEN, "raw/Dataset813_Pictures", folder, name), join(dataset, folder, name));
    }
  }
  await Deno.copyFile(join(GOLDEN, "raw/Dataset813_Pictures/dataset.json"), join(dataset, "dataset.json"));
  const env = { ...place.env, nnUNet_raw: raw };
  assertEquals((await runCommand(["plan_and_preprocess", "-d", "813"], { env })).code, 0);
  const broken = join(dataset, "imagesTr", "p0_0000.png");
  await Deno.truncate(broken, 300);
  const { code, stderr } = await runCommand(["preprocess", "-d", "813"], { env });
  assertEquals(code, 1);
  assert(stderr.includes("case p0") && stderr.includes(broken) && stderr.includes("no folder was replaced"), stderr);
  using old = await openPreprocessedCase(join(place.preprocessed, "nnUNetPlans_2d"), "p0");
  assertEquals(old.channels, 3);
});

Deno.test({
  name:
    "where files can't be written whole, each command says which and how many bytes it needs, and goes on from there later",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using place = await workplace();
    const dataset = join(place.folder, "Dataset811_Thick");
    const refused = async (command: string, flags: readonly string[], fileLimit: number, ...parts: string[]) => {
      const { code, stderr } = await runCommand([command, "-d", "811", ...flags], { ...place, fileLimit });
      assertEquals(code, 1, stderr);
      for (const part of [...parts, "are to be written", "Give an output folder"]) {
        assert(stderr.includes(part), stderr);
      }
    };
    const done = async (command: string, ...flags: string[]) => {
      const { code, stdout, stderr } = await runCommand([command, "-d", "811", ...flags], place);
      assertEquals(code, 0, stderr);
      return stdout;
    };
    await refused("extract_fingerprint", [], 512, "Preparing to write the fingerprint");
    assertEquals(await namesIn(dataset), []);
    await done("extract_fingerprint");
    await refused("plan_experiment", [], 4096, "Writing the plans", "nnUNetPlans.json");
    assertEquals((await namesIn(dataset)).filter((name) => name.startsWith("nnUNetPlans")), []);
    await done("plan_experiment");
    // Enough for c0 and not for c1: nothing is said of c2, which would fare no better.
    const flags = ["-c", "2d", "-np", "1"];
    const said = ["Writing the preprocessed case (case c1, ", "the 2 cases that are left take up to", "are kept"];
    await refused("preprocess", flags, 24 * 512, ...said);
    assertEquals(await namesIn(join(dataset, ".nnUNetPlans_2d.partial")), ["c0.bricks", "preprocessed.jsonl"]);
    assert(!(await namesIn(dataset)).includes("nnUNetPlans_2d"));
    const stdout = await done("preprocess", ...flags);
    assert(stdout.includes("3 cases in") && stdout.includes("(1 of them by an earlier run)"), stdout);
    assertEquals((await namesIn(dataset)).filter((name) => name.startsWith(".")), []);
  },
});
