/** Another WebGPU can take the place of Deno's in the engine, for measuring; the program itself has none. */
import { fromFileUrl } from "../../core/base/path.ts";
import { UserError } from "../../core/base/errors.ts";
import { parseWebGpu } from "../bench/gpu/dawn.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import type { DawnReport } from "./dawn_check.ts";

const path = (name: string) => fromFileUrl(new URL(name, import.meta.url));

Deno.test("the engine runs on Dawn as on Deno's WebGPU, and hears of its errors", async () => {
  const { code, stdout, stderr } = await new Deno.Command("deno", {
    args: [
      ...["run", "--quiet", "--no-config", "--lock", path("tint.lock"), "--frozen"],
      ...["--allow-ffi", "--allow-read", "--allow-env", "--allow-sys", path("dawn_check.ts"), "npm:webgpu@0.6.2"],
    ],
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  const { adapter, own, cases, failure }: DawnReport = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals([adapter, own], ["null-backend", false]);
  assert(cases >= 3 && /^Error: Computing on null-backend: .*BufferUsage/.test(failure), `${cases}: ${failure}`);
});

Deno.test("--webgpu takes Deno's WebGPU, or Dawn with toggles", async () => {
  assertEquals(parseWebGpu("deno", "a test"), { kind: "deno", toggles: [] });
  assertEquals(parseWebGpu("dawn", "a test"), { kind: "dawn", toggles: [] });
  const toggles = ["disable_robustness", "disable_workgroup_init"];
  assertEquals(parseWebGpu(`dawn:${toggles.join(",")}`, "a test"), { kind: "dawn", toggles });
  for (const wrong of ["wgpu", "dawn:", "dawn:a,", "deno:a", "dawn:A B"]) {
    await assertFails(() => parseWebGpu(wrong, "a test"), UserError, `--webgpu ${wrong}`);
  }
});

Deno.test("no other WebGPU is among what the program brings with it", async () => {
  const [lock, config] = await Promise.all(
    ["../../deno.lock", "../../deno.json"].map((name) => Deno.readTextFile(path(name))),
  );
  assert(lock.includes("npm:zod@") && !lock.includes("npm:webgpu@") && !config.includes("npm:webgpu@"));
});
