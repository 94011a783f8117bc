/**
 * The engine on Vulkan drivers beside the system's own: the SwiftShader that a Chromium brings with it, and those whose manifests
 * NNUNET_TEST_DRIVERS names (paths, divided by colons); each by Deno's WebGPU and by Dawn, whose compilers give a driver other code. Where
 * there is none, there is nothing to test.
 */
import { fromFileUrl } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import type { CheckedCase } from "./driver_check.ts";

const DAWN = "npm:webgpu@0.6.2";
const SWIFTSHADER = ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"]
  .map((folder) => `${folder}/vk_swiftshader_icd.json`);
/** What lies around a network, and networks of few kernels: SwiftShader takes many seconds to compile one of Winograd's. */
const CASES = "uploads|gathered|ring|planes|logits|concatenated twice|kernels 5 and 1";

const path = (name: string) => fromFileUrl(new URL(name, import.meta.url));

function isThere(file: string): boolean {
  try {
    return Deno.statSync(file).isFile;
  } catch {
    return false;
  }
}

const others = Deno.env.get("NNUNET_TEST_DRIVERS")?.split(":").filter(Boolean) ?? [];
for (const manifest of [...SWIFTSHADER.filter(isThere), ...others]) {
  for (const webgpu of ["Deno's WebGPU", "Dawn"]) {
    Deno.test(`on the driver of ${manifest} the engine computes through ${webgpu} what the CPU computes`, async () => {
      const { code, stdout, stderr } = await new Deno.Command("deno", {
        args: [
          ...["run", "--quiet", "--no-config", "--lock", path("../engine/tint.lock"), "--frozen"],
          ...["--allow-ffi", "--allow-read", "--allow-env", "--allow-sys", path("driver_check.ts"), CASES],
          ...(webgpu === "Dawn" ? [DAWN] : []),
        ],
        // The loader's name for it, and that of older ones.
        env: { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest },
      }).output();
      assertEquals(code, 0, new TextDecoder().decode(stderr));
      // Drivers print, too.
      const lines = new TextDecoder().decode(stdout).split("\n").filter((line) => line.startsWith("{"));
      const cases: CheckedCase[] = lines.map((line) => JSON.parse(line));
      assertEquals(cases.filter(({ failure, refused }) => failure ?? refused), []);
      assert(cases.length > 10, `${cases.length} cases`);
      if (SWIFTSHADER.includes(manifest)) assert(cases.every(({ adapter }) => /swiftshader/i.test(adapter)), lines[0]);
    });
  }
}
