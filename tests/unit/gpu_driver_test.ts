/** Which Vulkan driver is named in a GPU's record. */
import { describeDriver } from "../../cli/engines/gpu_driver.ts";
import { join } from "../../core/base/path.ts";
import { assertEquals } from "../assert.ts";

const ignore = Deno.build.os !== "linux";

Deno.test({ name: "a driver is found where its manifest says, as the Vulkan loader finds it", ignore }, async () => {
  const folder = await Deno.makeTempDir();
  const before = Deno.env.get("VK_DRIVER_FILES");
  try {
    await Deno.mkdir(join(folder, "icd.d"));
    const manifest = join(folder, "icd.d", "made.json");
    await Deno.writeTextFile(join(folder, "libmade.so"), "x".repeat(200_000));
    await Deno.utime(join(folder, "libmade.so"), 0, 1_700_000_000);
    const wanted = "libmade.so (0.2 MB, 2023-11-14T22:13:20.000Z)";
    for (const library of [join(folder, "libmade.so"), "../libmade.so"]) {
      await Deno.writeTextFile(manifest, JSON.stringify({ ICD: { library_path: library } }));
      // A manifest, or a folder of them.
      for (const named of [manifest, join(folder, "icd.d")]) {
        Deno.env.set("VK_DRIVER_FILES", named);
        assertEquals(await describeDriver(), wanted, `${library} of ${named}`);
      }
    }
    Deno.env.set("VK_DRIVER_FILES", join(folder, "absent.json"));
    assertEquals(await describeDriver(), "absent.json: unreadable");
  } finally {
    if (before === undefined) Deno.env.delete("VK_DRIVER_FILES");
    else Deno.env.set("VK_DRIVER_FILES", before);
    await Deno.remove(folder, { recursive: true });
  }
});
