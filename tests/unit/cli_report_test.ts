/** The report of a prediction while it runs. */
import { createGrowingReport, newReportState } from "../../cli/report.ts";
import { refuseReport } from "../../cli/report_place.ts";
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

/** A case that failed. */
const failedCase = (id: string) => ({
  id,
  error: { doing: "reading", problem: "it is empty" },
  message: "It is empty.",
});

interface Written {
  readonly outcome: string;
  readonly failed: readonly { readonly id: string }[];
}

Deno.test("a report grows with each case, is whole at any time, and says how the run ended", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "report.json");
    const read = async () => JSON.parse(await Deno.readTextFile(path)) as Written;
    const warnings: string[] = [];
    const state = newReportState(["nnunet", "predict"]);
    const report = createGrowingReport(path, state, (message) => warnings.push(message));
    await report.begin();
    assertEquals([(await read()).outcome, (await read()).failed.length], ["running", 0]);
    for (const id of ["a", "b"]) {
      state.failed.push(failedCase(id));
      report.grow();
    }
    while ((await read()).failed.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    const { outcome, failed } = await read();
    assertEquals([outcome, ...failed.map(({ id }) => id)], ["running", "a", "b"]);
    report.grow();
    await report.fail(new Interrupted("stopped"));
    assertEquals((await read()).outcome, "interrupted");
    assertEquals(warnings, []);

    // What cannot be written on the way is a warning, once; the end tries again.
    await Deno.remove(path);
    await Deno.mkdir(path);
    report.grow();
    report.grow();
    while (warnings.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert(warnings[0].includes(path), warnings[0]);
    await Deno.remove(path);
    await report.end("some cases failed");
    assertEquals([(await read()).outcome, warnings.length], ["some cases failed", 1]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a report takes neither the name of a file that nnU-Net writes nor a folder's", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const name of ["plans.json", "dataset.json", "predict_from_raw_data_args.json", "nnUNetResEncPlans.json"]) {
      await assertFails(() => refuseReport(join(folder, name), []), UserError, name, "something else", "--report");
    }
    const path = join(folder, "report.json");
    await refuseReport(path, [folder]);
    await Deno.mkdir(path);
    await assertFails(() => refuseReport(path, []), UserError, "a folder has that name");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
