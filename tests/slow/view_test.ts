/** The page of `view` in a headless Chromium, opened from the disk. */
import { encode } from "fast-png";
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { decodePng } from "../decode_png.ts";
import { GOLDEN, runCommand } from "../golden/cli/run_command.ts";
import type { Browser } from "./browser.ts";
import { browserTest } from "./browser_case.ts";
import { coloured, NAMELESS, ROWS, SHOWN, WHERE } from "./viewer.ts";

const NAME = "regions_ignore";
const IMAGE = join(GOLDEN, "images", NAME, "test_000_0000.nii.gz");
const LABELS = join(GOLDEN, "expected", NAME, "test_000.nii.gz");

async function view(page: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await runCommand(["view", ...args, "-o", page]);
  assertEquals([code, stderr], [0, ""]);
}

async function open(browser: Browser, page: string): Promise<void> {
  await browser.open(`file://${encodeURI(page)}`);
  await browser.until(SHOWN);
}

/** The segmentation in a file of this name, with another label at some voxels: `change` has them as they are stored. */
async function changedLabels(file: string, change: (voxels: Uint8Array) => void): Promise<void> {
  const stored = new Blob([await Deno.readFile(LABELS)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = await new Response(stored).bytes();
  change(bytes.subarray(352));
  await Deno.writeFile(file, new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip")));
}

async function choose(browser: Browser, selector: string, value: string): Promise<void> {
  await browser.evaluate(`(() => {
    const one = document.querySelector(${JSON.stringify(selector)});
    one.value = ${JSON.stringify(value)};
    one.dispatchEvent(new Event("change"));
  })()`);
}

browserTest(
  "a page of view shows its segmentations by their names, without a service and without a question",
  async (folder, openWindow) => {
    const image = join(folder, `<img src=x onerror=hacked()>"&'.nii.gz`);
    await Deno.copyFile(IMAGE, image);
    const first = join(folder, "<script>hacked()<.nii.gz");
    await Deno.copyFile(LABELS, first);
    const second = join(folder, "theirs.nii.gz");
    let tumour = 0;
    await changedLabels(second, (voxels) => {
      tumour = voxels.reduce((sum, label) => sum + Number(label === 2), 0);
      for (let i = 0; i < 3; i++) voxels[voxels.indexOf(2)] = 0;
      voxels.fill(3, 0, 2);
    });
    const labels = { background: 0, "</script><img src=y onerror=hacked()>": 1, tumour: 2, rim: 3, nowhere: 4 };
    const dataset = { channel_names: { 0: "CT" }, labels, file_ending: ".nii.gz" };
    await Deno.writeTextFile(join(folder, "dataset.json"), JSON.stringify(dataset));
    const page = join(folder, "page.html");
    await view(page, image, first, second);

    await using browser = await openWindow();
    await open(browser, page);
    assertEquals(await browser.evaluate("document.title"), `<img src=x onerror=hacked()>"&'.nii.gz`);
    assertEquals(await browser.evaluate("document.querySelectorAll('img').length"), 0);
    const rows: string[][] = await browser.evaluate(ROWS);
    assertEquals(rows.map(([name]) => name), Object.keys(labels).slice(1));
    assertEquals(rows.at(-1), ["nowhere", "0"]);
    assertEquals(
      await browser.evaluate("[...document.querySelectorAll('.which option')].map((one) => one.textContent)"),
      ["<script>hacked()<.nii.gz", "theirs.nii.gz", "Where they differ"],
    );
    assertEquals(await browser.evaluate(NAMELESS), []);

    // The other one is shown at the same place; what is not shown of the one is not shown of it.
    await browser.click(".classes tbody tr:nth-child(2) .go");
    const where = await browser.evaluate(WHERE);
    assert(where.endsWith(", tumour"), where);
    const all = await coloured(browser);
    await browser.click(".classes tbody tr:nth-child(1) input[type=checkbox]");
    const fewer = await coloured(browser);
    assert(fewer < all, `${fewer} of ${all}`);
    await choose(browser, ".which select", "1");
    const amount = "document.querySelectorAll('.classes tbody td')[4].innerText";
    await browser.until(`${amount} !== ${JSON.stringify(rows[1][1])}`);
    assertEquals(await browser.evaluate("document.querySelector('.classes tbody input').checked"), false);
    const [, [, ofSecond]] = await browser.evaluate(ROWS);
    assertEquals(await browser.evaluate(WHERE), where);
    const theirs = await coloured(browser);
    assert(theirs < all && Math.abs(theirs - fewer) < fewer / 100, `${theirs}, ${fewer}`);
    await browser.evaluate("document.querySelector('.viewer canvas').focus()");
    await browser.press("ArrowLeft");
    // The patient's right is on the left.
    assert(parseFloat(await browser.evaluate(WHERE)) > parseFloat(where), where);

    // Three voxels less of the tumour, and two of the rim where nothing was.
    await choose(browser, ".which select", "2");
    await browser.until(`${amount} !== ${JSON.stringify(ofSecond)}`);
    const ml = (voxels: number) => voxels * Number(rows[1][1]) / tumour;
    const differing: string[][] = await browser.evaluate(ROWS);
    for (const [i, voxels] of [0, 3, 2, 0].entries()) {
      assert(Math.abs(Number(differing[i][1]) - ml(voxels)) < 0.001, differing[i].join());
    }
    await browser.click(".classes tbody tr:nth-child(3) .go");
    assert((await browser.evaluate(WHERE)).endsWith(", rim"));
    assertEquals([browser.requests.length, browser.complaints], [1, []]);
  },
);

browserTest("a picture is seen as it is, in its one plane", async (folder, openWindow) => {
  // One class in the corner at the top right.
  const size = 32;
  const labels = new Uint8Array(size * size);
  for (let y = 0; y < 8; y++) labels.fill(1, y * size + 24, (y + 1) * size);
  const [image, segmentation] = [join(folder, "image.png"), join(folder, "labels.png")];
  await Deno.writeFile(
    image,
    encode({
      width: size,
      height: size,
      data: labels.map((_, i) => i % 200),
      channels: 1,
    }),
  );
  await Deno.writeFile(segmentation, encode({ width: size, height: size, data: labels, channels: 1 }));
  const page = join(folder, "page.html");
  await view(page, image, segmentation);
  await using browser = await openWindow();
  await open(browser, page);
  assertEquals(await browser.evaluate("document.querySelector('.bar select').selectedOptions[0].text"), "Axial");
  assertEquals(await browser.evaluate(ROWS), [["label 1", "64"]]);
  const { data, width, height, channels } = decodePng(await browser.screenshot(".viewer canvas"));
  const side = Math.min(width, height);
  // Pixels of the class in each quarter of the picture, which is in the middle of the canvas.
  const quarters = [0, 0, 0, 0];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const at = channels * ((y + (height - side >> 1)) * width + x + (width - side >> 1));
      if (data[at] - data[at + 2] > 40 && data[at] - data[at + 1] > 40) {
        quarters[2 * Number(2 * y > side) + Number(2 * x > side)]++;
      }
    }
  }
  assertEquals(quarters.map((count) => count > side * side / 40), [false, true, false, false], quarters.join());
});

browserTest(
  "where the processor draws, the picture is the one that NiiVue's shaders draw",
  async (folder, openWindow) => {
    await using browser = await openWindow();
    const page = join(folder, "page.html");
    const shaders = join(folder, "shaders.html");
    // Axes in three orders, and another in which two are turned round.
    for (const [model, test] of [["transposed_201_reorient", "test_001"], ["iso_ct_two_folds", "test_000"]]) {
      await view(
        page,
        join(GOLDEN, "images", model, `${test}_0000.nii.gz`),
        join(GOLDEN, "expected", model, `${test}.nii.gz`),
      );
      const html = await Deno.readTextFile(page);
      const changed = html.replace("isSoftware(gl) ? fillTextures :", "");
      assert(changed !== html);
      await Deno.writeTextFile(shaders, changed);
      const pictures = [];
      for (const file of [page, shaders]) {
        await open(browser, file);
        pictures.push(decodePng(await browser.screenshot(".viewer canvas")).data);
      }
      const [ours, theirs] = pictures;
      assertEquals(ours.length, theirs.length);
      let [most, unlike] = [0, 0];
      for (let i = 0; i < ours.length; i++) {
        const difference = Math.abs(ours[i] - theirs[i]);
        most = Math.max(most, difference);
        if (difference > 3) unlike++;
      }
      assert(unlike < ours.length / 1000, `${model}: ${unlike} of ${ours.length} differ, by ${most} at most`);
    }
  },
);
