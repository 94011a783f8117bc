/** Outputs that are inputs are refused, by whatever path they are named. */
import { UserError } from "../../core/base/errors.ts";
import { refuseInside, refuseOverwriting } from "../../core/base/overwriting.ts";
import { join } from "../../core/base/path.ts";
import { convertV1Dataset } from "../../core/dataset/convert_v1.ts";
import { movePlans } from "../../core/plan/move_plans.ts";
import { planDataset } from "../../core/plan/plan_dataset.ts";
import { PLANNERS } from "../../core/plan/planners.ts";
import { extractFingerprint } from "../../core/preprocess/fingerprint.ts";
import { assertEquals, assertFails } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";
import { makeRawDataset } from "./raw_dataset_fixture.ts";

const ERROR = { doing: "testing", remedy: "name another" };

function refuse(input: string, output: string): void {
  refuseOverwriting([{ path: input, what: "an input" }], [{ path: output, what: "the output" }], ERROR);
}

/** in/x, and links to both: linked -> in, in/also -> in/x; a second name of the file, hard. */
async function inLinkedFolder(test: (folder: string) => Promise<void>): Promise<void> {
  await inTempFolder(async (folder) => {
    await Deno.mkdir(join(folder, "in"));
    await Deno.mkdir(join(folder, "out"));
    await Deno.writeTextFile(join(folder, "in/x"), "x");
    await Deno.symlink(join(folder, "in"), join(folder, "linked"));
    await Deno.symlink(folder, join(folder, "out/up"));
    await Deno.symlink(join(folder, "in/x"), join(folder, "out/soft"));
    await Deno.link(join(folder, "in/x"), join(folder, "out/hard"));
    await test(folder);
  });
}

Deno.test("a file under another name is the same: a linked folder, a folder above it, soft and hard links, dots", () =>
  inLinkedFolder(async (folder) => {
    const input = join(folder, "in/x");
    for (
      const name of ["in/x", "linked/x", "out/up/in/x", "out/up/linked/x", "out/soft", "out/hard", "out/../in/./x"]
    ) {
      const path = `${folder}/${name}`;
      await assertFails(() => refuse(input, path), UserError, "the output would overwrite an input", path);
      await assertFails(() => refuse(path, input), UserError, "the output would overwrite an input");
    }
    for (const name of ["out/x", "in/y", "linked/y", "x", "nowhere/in/x"]) refuse(input, join(folder, name));
  }));

Deno.test("a folder under another name is the same; one above, below or beside it is another", () =>
  inLinkedFolder(async (folder) => {
    for (const name of ["in", "in/", "linked", "out/up/in", "out/up/linked/"]) {
      await assertFails(() => refuse(join(folder, "in"), `${folder}/${name}`), UserError, "the output is an input");
      await assertFails(() => refuse(`${folder}/${name}`, join(folder, "in")), UserError, "the output is an input");
    }
    for (const name of ["", "out", "in/results", "inn"]) refuse(join(folder, "in"), join(folder, name));
  }));

Deno.test("an input that is a link is not replaced, and neither is what it leads to", () =>
  inLinkedFolder(async (folder) => {
    const link = join(folder, "out/soft");
    await assertFails(() => refuse(link, link), UserError, "would overwrite");
    await assertFails(() => refuse(link, join(folder, "in/x")), UserError, "would overwrite");
  }));

Deno.test("nothing is copied into itself, whatever links lead there", () =>
  inLinkedFolder(async (folder) => {
    for (const name of ["in", "in/a/b", "linked/a", "out/up/in/a"]) {
      await assertFails(
        () => refuseInside(join(folder, "in"), join(folder, name), ERROR),
        UserError,
        "it would lie in",
      );
    }
    for (const name of ["inn", "out/a", ""]) refuseInside(join(folder, "in"), join(folder, name), ERROR);
  }));

Deno.test("commands on datasets refuse roots that lead to one folder, plans onto themselves, and a copy into its source", () =>
  inTempFolder(async (folder) => {
    const raw = join(folder, "raw");
    await makeRawDataset(join(raw, "Dataset001_X"));
    await Deno.symlink(raw, join(folder, "preprocessed"));
    const dataset = join(raw, "Dataset001_X");
    const other = join(folder, "preprocessed/Dataset001_X");
    const before = await namesIn(dataset);
    const same = "is the raw dataset's folder";
    await assertFails(
      () => planDataset(dataset, other, { planner: PLANNERS[0] }),
      UserError,
      same,
      "nnUNet_preprocessed",
    );
    const options = { clean: true, verify: true, allowGeometryMismatch: false, threads: 1 };
    await assertFails(() => extractFingerprint(dataset, other, options), UserError, same);

    await Deno.writeTextFile(join(dataset, "nnUNetPlans.json"), "{}");
    const move = { raw, preprocessed: raw, source: "Dataset001_X", target: "Dataset001_X", sourcePlans: "nnUNetPlans" };
    await assertFails(() => movePlans(move), UserError, "would overwrite the plans that are to be copied");
    await Deno.symlink(dataset, join(raw, "Dataset002_Y"));
    await assertFails(() => movePlans({ ...move, target: "Dataset002_Y" }), UserError, "would overwrite the plans");

    const nested = join(dataset, "imagesTr/raw");
    await assertFails(
      () => convertV1Dataset(dataset, "Dataset003_Z", { raw: nested }),
      UserError,
      "imagesTr, which is copied",
    );
    assertEquals(await namesIn(dataset), [...before, "nnUNetPlans.json"].sort());
    assertEquals((await namesIn(join(dataset, "imagesTr"))).includes("raw"), false);
  }));
