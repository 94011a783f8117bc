/**
 * `deno task compile` as users call it. Deno's compile runtime is fetched from a network: another executable stands in its place, so that
 * what is made cannot run.
 */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { TARGETS } from "../../cli/packaging/compile.ts";
import { launcherOf } from "../../cli/packaging/package.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));

async function task(args: readonly string[], env: Record<string, string>) {
  const { code, stdout, stderr } = await new Deno.Command("deno", {
    args: ["task", "compile", ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1", ...env },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("an executable is made for each target that is asked for; without a compile runtime it says what to provide", async () => {
  await inTempFolder(async (folder) => {
    const out = join(folder, "out");
    assertEquals((await task([out, "--target", "amiga"], {})).code, 2);
    const none = await task([out, "--target", "macos-arm64"], {
      DENO_DIR: join(folder, "deno"),
      DENORT_BIN: join(folder, "no-runtime"),
    });
    assertEquals(none.code, 1);
    for (
      const part of ["denort-aarch64-apple-darwin.zip", `v${Deno.version.deno}`, "DENORT_BIN", "deno task package"]
    ) {
      assert(none.stderr.includes(part), none.stderr);
    }
    const two = await task([out, "--target", "all"], { DENORT_BIN: launcherOf("x86_64") });
    assert(two.code === 1 && two.stderr.includes(`${Object.keys(TARGETS).length} targets`), two.stderr);
    const other = await task([out, "--target", "linux-arm64"], { DENORT_BIN: launcherOf("x86_64") });
    assert(other.code === 1 && other.stderr.includes("it is for x86_64"), other.stderr);
    const made = await task([out, "--target", "linux-x64", "--target=linux-x64"], { DENORT_BIN: launcherOf("x86_64") });
    assertEquals(made.code, 0, made.stderr);
    assertEquals(await namesIn(out), ["nnunet-linux-x64", "nnunet-serve-linux-x64"]);
    assert((await Deno.stat(join(out, "nnunet-linux-x64"))).size > 1e7);
  });
});
