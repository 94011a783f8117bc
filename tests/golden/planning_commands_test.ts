/** The dataset commands as a user calls them: folders from the environment, lists of findings, reports, exit codes. */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { decodePng } from "../decode_png.ts";
import { assert, assertEquals } from "../assert.ts";
import { LABEL, makeRawDataset, niftiBytes } from "../unit/raw_dataset_fixture.ts";
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./planning/", import.meta.url));

function environment(folder: string): Record<string, string> {
  return { nnUNet_raw: join(folder, "raw"), nnUNet_preprocessed: join(folder, "preprocessed") };
}

Deno.test("from raw data to plans: extract_fingerprint, plan_experiment, move_plans_between_datasets", async () => {
  await inTempFolder(async (folder) => {
    const env = environment(folder);
    await copyFolder(join(GOLDEN, "raw"), join(folder, "raw"));
    const extracted = await runCommand(["nnUNetv2_extract_fingerprint", "-d", "801", "803", "-np", "2"], { env });
    assertEquals([extracted.code, extracted.stdout.match(/checked; fingerprint made in/g)?.length], [0, 2]);
    // The case without foreground is worth a word.
    assert(extracted.stderr.includes("case_2.nii.gz: the segmentation holds only background (0)"), extracted.stderr);
    const again = await runCommand(["extract_fingerprint", "-d", "Dataset801_Aniso"], { env });
    assert(again.stdout.includes("unchanged since its check; fingerprint there already, kept"), again.stdout);

    const planned = await runCommand(["plan_experiment", "-d", "801", "803", "--explain"], { env });
    assertEquals(planned.code, 0, planned.stderr);
    for (const text of ["CTNormalization", "axis 0 is the coarsest", "batch: ", "3d_fullres"]) {
      assert(planned.stdout.includes(text), `${text} is not in ${planned.stdout}`);
    }
    const moved = await runCommand(
      ["move_plans_between_datasets", "-s", "801", "-t", "803", "-sp", "nnUNetPlans", "-tp", "moved"],
      { env },
    );
    assertEquals(moved.code, 0, moved.stderr);
    const names = await namesIn(join(folder, "preprocessed", "Dataset803_Pictures"));
    assertEquals(names, [
      "dataset.json",
      "dataset_fingerprint.json",
      "dataset_integrity.json",
      "moved.json",
      "nnUNetPlans.json",
      "splits_final.json",
    ]);
  });
});

Deno.test("where memory is too little for the check, that is said, and nothing of errors in the dataset", async () => {
  await inTempFolder(async (folder) => {
    const raw = join(folder, "raw", "Dataset001_Tiny");
    await makeRawDataset(raw);
    const line = ["extract_fingerprint", "-d", "1", "--max-memory", "16M"];
    const { code, stderr } = await runCommand(line, { env: environment(folder) });
    assertEquals(code, 1, stderr);
    const [first, last] = [
      "Memory is what is lacking to check Dataset001_Tiny",
      "was written; give the run more memory.",
    ];
    for (const text of [first, "(--max-memory)", last]) assert(stderr.includes(text), stderr);
    for (const text of ["The check of", "correct the errors"]) assert(!stderr.includes(text), stderr);
  });
});

Deno.test("what is wrong with a dataset is listed, reported as JSON and drawn, and the exit code is 1", async () => {
  await inTempFolder(async (folder) => {
    const raw = join(folder, "raw", "Dataset001_Tiny");
    await makeRawDataset(raw);
    await Deno.writeFile(join(raw, "labelsTr", "b.nii.gz"), niftiBytes({ ...LABEL, origin: [3, 0, 0] }));
    await Deno.writeFile(join(raw, "labelsTr", "c.nii.gz"), niftiBytes({ ...LABEL, valueAt: (x) => x }));
    const report = join(folder, "report.json");
    const env = environment(folder);
    const { code, stdout, stderr } = await runCommand(["extract_fingerprint", "-d", "1", "--report", report], { env });
    assertEquals([code, stdout], [1, ""]);
    assert(stderr.includes("The check of Dataset001_Tiny found 2 errors:"), stderr);
    assert(stderr.includes("labels that dataset.json does not have: 3, 4, 5, 6, 7"), stderr);
    const [entry] = JSON.parse(await Deno.readTextFile(report));
    assertEquals([entry.dataset, entry.cases, entry.errors, entry.fingerprint], ["Dataset001_Tiny", 3, 2, "refused"]);
    assertEquals(entry.findings.map((one: { kind: string; caseId: string }) => [one.kind, one.caseId]), [
      ["geometry", "b"],
      ["labels", "c"],
    ]);

    const preprocessed = join(folder, "preprocessed", "Dataset001_Tiny");
    assertEquals(await namesIn(preprocessed), ["geometry_mismatch_b.png"]);
    const path = join(preprocessed, "geometry_mismatch_b.png");
    assert(stderr.includes(path), stderr);
    const picture = decodePng(await Deno.readFile(path));
    // Coloured columns in the second panel are voxels 2 to 5; in the third they lie three voxels further.
    const panel = (picture.width - 12) / 3;
    const middle = Math.floor(picture.height * 0.45);
    const coloured = (which: number) =>
      Array.from({ length: 8 }, (_, x) => x).filter((x) => {
        const at = (middle * picture.width + which * (panel + 6) + Math.floor((x + 0.5) * panel / 8)) * 3;
        return picture.data[at] !== picture.data[at + 2];
      });
    assertEquals([0, 1, 2].map(coloured), [[], [2, 3, 4, 5], [5, 6, 7]]);

    await Deno.writeFile(join(raw, "labelsTr", "c.nii.gz"), niftiBytes(LABEL));
    const allowed = await runCommand(["extract_fingerprint", "-d", "1", "--allow_geometry_mismatch"], { env });
    assertEquals(allowed.code, 0, allowed.stderr);
    assert(allowed.stderr.includes("found 1 warning:"), allowed.stderr);
  });
});

Deno.test("unset variables, unknown datasets, planners and extractors are named with what to do", async () => {
  await inTempFolder(async (folder) => {
    await makeRawDataset(join(folder, "raw", "Dataset001_Tiny"));
    const env = environment(folder);
    const cases: [string[], Record<string, string>, number, string][] = [
      [["extract_fingerprint", "-d", "1"], {}, 1, "nnUNet_raw and nnUNet_preprocessed are not set"],
      [["extract_fingerprint"], env, 2, "the following arguments are required: -d"],
      [["extract_fingerprint", "-d", "2"], env, 1, "no folder whose name starts with Dataset002"],
      [["extract_fingerprint", "-d", "1", "-fpe", "Mine"], env, 2, 'there is no extractor "Mine"'],
      [["plan_experiment", "-d", "1"], env, 1, "there is no fingerprint of this dataset yet"],
      [["plan_experiment", "-d", "1", "-pl", "nnUNetPlannerResEncm"], env, 2, "did you mean nnUNetPlannerResEncM?"],
      [
        ["plan_experiment", "-d", "1", "-overwrite_target_spacing", "1", "2"],
        env,
        2,
        "2 values are given; 3 are needed",
      ],
      [["plan_experiment", "-d", "1", "-gpu_memory_target", "0"], env, 2, "a number above 0"],
      [["move_plans_between_datasets", "-s", "1", "-t", "1", "-sp", "x"], env, 1, "there are no such plans"],
      [["convert_MSD_dataset", "-i", folder], env, 1, "TaskNN_Name"],
      [["convert_old_nnUNet_dataset", folder, "Dataset9"], env, 2, "DatasetXXX_Name"],
    ];
    for (const [args, variables, code, text] of cases) {
      const result = await runCommand(args, { env: variables });
      assertEquals(result.code, code, result.stderr);
      assert(result.stderr.includes(text), `${args.join(" ")}: ${result.stderr}`);
      assert(!result.stderr.includes("defect"), result.stderr);
    }
  });
});
