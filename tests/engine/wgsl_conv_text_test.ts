/** The convolutions' kernels are what was last reviewed. */
import { renderings } from "../golden/wgsl_conv/make_wgsl_conv.ts";
import { assertEquals } from "../assert.ts";

const MAKE = "deno run --allow-read --allow-write tests/golden/wgsl_conv/make_wgsl_conv.ts";
const FOLDER = new URL("../golden/wgsl_conv/", import.meta.url);

Deno.test("WGSL convolutions: the text of every canonical kernel is the stored one", () => {
  const all = renderings();
  for (const [file, text] of Object.entries(all)) {
    const stored = Deno.readTextFileSync(new URL(file, FOLDER)).split("\n");
    const made = text.split("\n");
    const line = made.findIndex((l, i) => l !== stored[i]);
    const what = `${file} differs from line ${line + 1} on; if that is meant: ${MAKE}`;
    assertEquals(made.slice(line < 0 ? made.length : line), stored.slice(line < 0 ? made.length : line), what);
  }
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) => name.endsWith(".wgsl")).sort();
  assertEquals(files, Object.keys(all).sort());
});
