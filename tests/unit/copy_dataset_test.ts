/** A folder is made whole or not at all, by one run at a time, and what a killed run has left goes with the next. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { makeFolderWhole } from "../../core/dataset/copy_dataset.ts";
import { assertEquals, assertFails } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";

const fill = (folder: string) => Deno.writeTextFile(join(folder, "dataset.json"), "{}");
const make = (folder: string, by = fill) => makeFolderWhole(join(folder, "Dataset001_X"), "converting", by);

Deno.test("a folder appears when it is complete, and nothing is left of one that failed", () =>
  inTempFolder(async (folder) => {
    await make(folder, async (hidden) => {
      assertEquals((await namesIn(folder)).includes("Dataset001_X"), false);
      await fill(hidden);
    });
    assertEquals(await namesIn(folder), ["Dataset001_X"]);
    assertEquals(await namesIn(join(folder, "Dataset001_X")), ["dataset.json"]);
    await assertFails(() => make(folder), UserError, "it is there already");
    await Deno.remove(join(folder, "Dataset001_X"), { recursive: true });
    await assertFails(() => make(folder, () => Promise.reject(new RangeError("no"))), RangeError, "no");
    assertEquals(await namesIn(folder), []);
  }));

Deno.test("what a killed run left is replaced; a folder of that name that no run made stays, and is refused", () =>
  inTempFolder(async (folder) => {
    const hidden = join(folder, ".Dataset001_X.partial");
    for (const names of [[".nnunet-conversion", "half"], []]) {
      await Deno.mkdir(hidden);
      for (const name of names) await Deno.writeTextFile(join(hidden, name), "");
      await make(folder);
      assertEquals(await namesIn(join(folder, "Dataset001_X")), ["dataset.json"]);
      assertEquals(await namesIn(folder), ["Dataset001_X"]);
      await Deno.remove(join(folder, "Dataset001_X"), { recursive: true });
    }
    await Deno.mkdir(hidden);
    await Deno.writeTextFile(join(hidden, "thesis.txt"), "kept");
    await assertFails(() => make(folder), UserError, "holds what no earlier run has made", hidden);
    assertEquals(await namesIn(hidden), ["thesis.txt"]);
  }));

Deno.test("two runs that make one folder: the second is told", () =>
  inTempFolder(async (folder) => {
    await make(folder, async (hidden) => {
      await assertFails(() => make(folder), UserError, "another run is making this folder");
      await fill(hidden);
    });
    assertEquals(await namesIn(folder), ["Dataset001_X"]);
  }));
