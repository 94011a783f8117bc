/** The packed program: bundled into a folder of its own, it predicts there without the checkout. */
import { join } from "../../core/base/path.ts";
import { bundle } from "../../cli/bundle.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertSameSegmentation } from "./cli/compare_labels.ts";
import { GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

Deno.test("the bundled program and its threads predict from another folder, without configuration or package cache", async () => {
  await inTempFolder(async (folder) => {
    const script = await bundle(join(folder, "program"));
    assertEquals(await namesIn(join(folder, "program")), [
      "case_worker.ts",
      "engine_worker.ts",
      "evaluate_worker.ts",
      "fingerprint_worker.ts",
      "main.js",
      "preprocess_worker.ts",
      "report_worker.ts",
      "resvg.wasm",
      "sample_worker.ts",
    ]);
    const name = "iso_ct_two_folds";
    const output = join(folder, "out");
    const line = ["-i", join(GOLDEN, "images", name), "-o", output, "-m", join(GOLDEN, "models", name), "-f", "0", "1"];
    const { code, stdout, stderr } = await runCommand(["predict_from_modelfolder", ...line], {
      script,
      flags: ["--no-config", "--no-remote", "--no-npm", "--no-lock"],
    });
    assertEquals(code, 0, stderr);
    assert(stdout.includes("2 cases in"), stdout);
    for (const file of ["test_000.nii.gz", "test_001.nii.gz"]) {
      await assertSameSegmentation("SimpleITKIO", join(output, file), join(GOLDEN, "expected", name, file));
    }
  });
});
