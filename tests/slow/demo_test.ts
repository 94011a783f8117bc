/** The demo as it is called, training included: a minute on two free cores. */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { decodePng } from "../decode_png.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";

const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];
const ROOT = fromFileUrl(new URL("../../", import.meta.url));

Deno.test("the demo trains a model whose Dice is above 0.85 for every class of every phantom, and draws it", async () => {
  await inTempFolder(async (folder) => {
    const { success, stdout, stderr } = await new Deno.Command("deno", {
      args: ["run", "--frozen", "--no-prompt", ...PERMISSIONS, join(ROOT, "main.ts"), "demo"],
      cwd: folder,
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder().decode(stdout);
    assert(success, text + new TextDecoder().decode(stderr));
    const rows = [...text.matchAll(/^phantom_\d+(?: +[\d.]+){4}$/gm)].map(([row]) =>
      row.split(/ +/).slice(1).map(Number)
    );
    assertEquals(rows.length, 3, text);
    for (const dice of rows.flat()) assert(dice > 0.85, text);
    const picture = join(folder, "demo-output", "overlay.png");
    assert(decodePng(await Deno.readFile(picture)).width > 600);
  });
});
