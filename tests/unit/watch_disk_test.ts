/** What a watcher takes for a failure of the disk, after which a case is tried again, and what for the case's own. */
import { isOfDisk } from "../../cli/watch/do_cases.ts";
import { UserError } from "../../core/base/errors.ts";
import { join, relative } from "../../core/base/path.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { createProbabilityFile } from "../../core/predict/stream/probability_file.ts";
import { scratchFile } from "../../core/predict/stream/scratch_file.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";

Deno.test("probabilities and logits that have no room, or cannot be made, are the disk's matter, and an image is the case's", () =>
  inTempFolder(async (folder) => {
    const probabilities = (where: string, side: number) => {
      const shape: Vec3 = [side, side, side];
      return createProbabilityFile({
        caseId: "a",
        folder: where,
        channels: 2,
        geometry: { fileShape: shape, offset: 0, strides: [side * side, side, 1] },
        transposeBackward: [0, 1, 2],
        grid: shape,
        nonlinearity: "softmax",
      });
    };
    const place = join(folder, "a file");
    await Deno.writeTextFile(place, "");
    const failures: readonly (readonly [string, () => unknown])[] = [
      [folder, () => probabilities(folder, 100_000)],
      [place, () => probabilities(place, 2)],
      [place, () => scratchFile(place)],
    ];
    for (const [output, fail] of failures) {
      const error = await Promise.try(fail).then(() => undefined, (thrown) => thrown);
      assert(error instanceof UserError, String(error));
      for (const path of [output, relative(Deno.cwd(), output)]) assert(isOfDisk(error.parts, path), error.message);
    }
    const parts = { doing: "reading", problem: "it is cut short" };
    for (const file of [undefined, join(folder, "a.nii.gz"), join(folder, "elsewhere", ".hidden")]) {
      assertEquals(isOfDisk({ ...parts, ...(file !== undefined && { file }) }, folder), false);
    }
    assertEquals(isOfDisk({ ...parts, file: join(folder, ".hidden") }, folder), true);
  }));
