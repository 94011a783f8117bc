/** What a service says of paths that were allowed when a job was accepted, and are not when it is done. */
import { requireAllowed } from "../../cli/serve/allowed_paths.ts";
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { assertFails } from "../assert.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";

Deno.test("a folder that has grown beyond what a study may have is told as that, one that leads out as that, one that is gone not here", () =>
  inTempFolder(async (folder) => {
    const [root, other] = [join(await Deno.realPath(folder), "root"), join(folder, "other")];
    const study = join(root, "study");
    await Deno.mkdir(study, { recursive: true });
    await Deno.mkdir(other);
    await requireAllowed([study, join(root, "gone")], [root]);
    for (let i = 0; i <= 20_000; i++) Deno.openSync(join(study, String(i)), { write: true, create: true }).close();
    await assertFails(() => requireAllowed([study], [root]), UserError, study, "it holds more than 20000 files by now");
    await Deno.symlink(other, join(root, "link"));
    await assertFails(() => requireAllowed([join(root, "link")], [root]), UserError, "it leads out of the folders");
  }));
