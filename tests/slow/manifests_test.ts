/**
 * The examples' manifests by Kubernetes' own schemas, as PyPI's kubernetes-validate has them (`pip install kubernetes-validate`; the
 * variable KUBERNETES_VALIDATE names it where it is not on the PATH). Left out where it is not installed.
 */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";

const FOLDER = fromFileUrl(new URL("../../examples/kubernetes", import.meta.url));
const VALIDATE = Deno.env.get("KUBERNETES_VALIDATE") || "kubernetes-validate";

async function validate(...files: string[]) {
  const args = ["-c", 'exec "$@"', "sh", VALIDATE, "--strict", ...files];
  const { code, stdout, stderr } = await new Deno.Command("sh", { args }).output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

const installed = (await new Deno.Command("sh", { args: ["-c", 'command -v "$0"', VALIDATE], stdout: "null" }).output())
  .success;

Deno.test({
  name: installed
    ? "the Kubernetes manifests are valid, and a misspelt one is not"
    : "the Kubernetes manifests are valid (needs kubernetes-validate: pip install kubernetes-validate)",
  ignore: !installed,
  fn: () =>
    inTempFolder(async (folder) => {
      const names = (await namesIn(FOLDER)).filter((name) => name.endsWith(".yaml"));
      assert(names.length > 0);
      for (const name of names) {
        const file = join(FOLDER, name);
        const valid = await validate(file);
        assertEquals(valid.code, 0, valid.text);
        assert(valid.text.includes("passed"), valid.text);
        const misspelt = join(folder, name);
        await Deno.writeTextFile(
          misspelt,
          (await Deno.readTextFile(file)).replace("completionMode", "completionsMode"),
        );
        assert((await validate(misspelt)).code !== 0);
      }
    }),
});
