/** Every kernel is taken by a second compiler of WGSL, beside the one that Deno has. */
import { fromFileUrl } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";

const DAWN = "npm:webgpu@0.6.2";
const path = (name: string) => fromFileUrl(new URL(name, import.meta.url));

Deno.test("Tint takes every kernel that Deno's compiler is given, without a word", async () => {
  const { code, stdout, stderr } = await new Deno.Command("deno", {
    args: [
      ...["run", "--quiet", "--no-config", "--lock", path("tint.lock"), "--frozen"],
      ...["--allow-ffi", "--allow-read", "--allow-env", "--allow-sys", path("tint_check.ts"), DAWN],
    ],
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  const { kernels, told, finds } = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals(told, []);
  assert(finds, "a text that is wrong is found to be");
  assert(kernels > 3000, `${kernels} kernels`);
});
