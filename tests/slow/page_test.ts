/** The service's page in a headless Chromium, used as a person would: by mouse, by keyboard, in dark and light, wide and narrow. */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { namesIn } from "../golden/cli/run_command.ts";
import { packedSeries, unpackSeries } from "../golden/dicom/cases.ts";
import { putImage, putTiffModel } from "../golden/tiff/tiff_model.ts";
import { ask, ended, imagesOf, modelFolder, resultOf, serve } from "../golden/cli/served.ts";
import type { Browser } from "./browser.ts";
import { browserTest } from "./browser_case.ts";
import { coloured, NAMELESS, ROWS, SHOWN, WHERE } from "./viewer.ts";

const CT = "iso_ct_two_folds";
/** The model of the demo, which segments the page's phantom. */
const DEMO = fromFileUrl(new URL("../../cli/demo/model", import.meta.url));
const MODEL_LISTED = "document.querySelector('#model').options.length === 1";

const BUTTONS = "[...document.querySelectorAll('.classes > .row button')].map((one) => one.textContent)";

/** What a click on the button number `i` of downloads gives, as the file of this name. */
async function downloaded(browser: Browser, folder: string, i: number, file: string): Promise<Uint8Array> {
  await browser.click(`.classes > .row button:nth-child(${i})`);
  for (let waited = 0; !(await namesIn(folder)).includes(file); waited++) {
    assert(waited < 200, (await namesIn(folder)).join());
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return await Deno.readFile(join(folder, file));
}

async function openPage(browser: Browser, url: string): Promise<void> {
  await browser.open(url);
  await browser.until(MODEL_LISTED);
}

browserTest(
  "an image dropped on the page is segmented and shown, its classes are toggled, found and measured",
  async (folder, openWindow) => {
    await using served = await serve(["-m", modelFolder(CT), "-f", "0", "--state", join(folder, "state")]);
    await using browser = await openWindow();
    await openPage(browser, served.url);
    assertEquals(await browser.evaluate(NAMELESS), []);
    await browser.drop("#drop", imagesOf(CT, "test_000", 1));
    await browser.until("!document.querySelector('#start').disabled");
    assertEquals(
      await browser.evaluate("document.querySelector('#chosen').textContent"),
      "Images: test_000_0000.nii.gz",
    );
    await browser.click("#start");
    await browser.until(SHOWN);
    const { body: { jobs: [job] } } = await ask(`${served.url}/jobs`);
    const rows = await browser.evaluate(ROWS);
    const expected = job.labels.filter(({ label }: { label: number }) => label > 0);
    assert(expected.length > 1);
    assertEquals(rows.map(([name]: string[]) => name), expected.map((one: { name: string }) => one.name));
    for (const [i, { ml }] of expected.entries()) {
      assert(Math.abs(Number(rows[i][1].replaceAll(",", "")) - ml) <= 0.05 + ml / 1000, `${rows[i]} ${ml}`);
    }
    assertEquals(await browser.evaluate(NAMELESS), []);

    // Classes go and come back.
    const all = await coloured(browser);
    await browser.click(".classes tbody input[type=checkbox]");
    const fewer = await coloured(browser);
    assert(fewer < all, `${fewer} of ${all}`);
    await browser.click(".classes tbody input[type=checkbox]");
    assertEquals(await coloured(browser), all);

    // A class leads to itself, and the keyboard moves the cross from there.
    const last = expected.findLast(({ voxels }: { voxels: number }) => voxels > 0);
    await browser.click(`.classes tbody tr:nth-child(${expected.indexOf(last) + 1}) .go`);
    const at = await browser.evaluate(WHERE);
    assert(at.endsWith(`, ${last.name}`), at);
    await browser.evaluate("document.querySelector('.viewer canvas').focus()");
    await browser.press("PageUp");
    assert(await browser.evaluate(WHERE) !== at);

    assert(browser.requests.length > 8);
    for (const url of browser.requests) assert(url.startsWith(`${served.url}/`), url);
    assertEquals(browser.complaints, []);
  },
);

browserTest(
  "the page works by keyboard alone, dark and 800 pixels wide, and says why an image is refused",
  async (folder, openWindow) => {
    const bad = join(folder, "bad_0000.nii.gz");
    await Deno.writeTextFile(bad, "no image");
    await using served = await serve(["-m", DEMO, "-f", "all", "--state", join(folder, "state")]);
    await using browser = await openWindow();
    await browser.size(800, 900);
    await browser.send("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: "dark" }],
    });
    await openPage(browser, served.url);
    const tabTo = async (selector: string) => {
      for (let i = 0; i < 40; i++) {
        if (await browser.evaluate(`document.activeElement?.matches(${JSON.stringify(selector)})`)) return;
        await browser.press("Tab");
      }
      throw new Error(`no Tab leads to ${selector}`);
    };
    await tabTo("#phantom");
    await browser.press("Enter");
    await browser.until("!document.querySelector('#start').disabled");
    await tabTo("#start");
    await browser.press("Enter");
    await browser.until(SHOWN, 120);
    assertEquals(await browser.evaluate("document.documentElement.scrollWidth <= 800"), true);
    const { r, g, b } = await browser.evaluate(
      "(() => { const [r, g, b] = getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number); return { r, g, b }; })()",
    );
    assert(Math.max(r, g, b) < 60, `${r} ${g} ${b}`);
    await tabTo(".classes tbody input[type=checkbox]");
    const all = await coloured(browser);
    await browser.press(" ");
    assert(await coloured(browser) < all);

    await browser.drop("#drop", [bad]);
    await browser.until("document.querySelector('#chosen').textContent.includes('bad')");
    await browser.click("#start");
    await browser.until("document.querySelector('#problem').textContent !== ''");
    const problem = await browser.evaluate("document.querySelector('#problem').textContent");
    assert(problem.includes("bad_0000.nii.gz"), problem);
    assertEquals(await browser.evaluate("document.querySelectorAll('#jobs li').length"), 2);
  },
);

browserTest(
  "a folder of DICOM dropped on the page is segmented and shown, and comes back as NIfTI and DICOM-SEG",
  async (folder, openWindow) => {
    const study = join(folder, "study");
    await unpackSeries((await packedSeries()).axial, study);
    const downloads = join(folder, "downloads");
    await Deno.mkdir(downloads);
    await using served = await serve(["-m", modelFolder(CT), "-f", "0", "--state", join(folder, "state")]);
    await using browser = await openWindow();
    await browser.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: downloads });
    await openPage(browser, served.url);
    await browser.drop("#drop", [study]);
    await browser.until("!document.querySelector('#start').disabled");
    const chosen = await browser.evaluate("document.querySelector('#chosen').textContent");
    assertEquals(chosen, `DICOM: ${(await namesIn(study)).length} files`);
    await browser.click("#start");
    await browser.until(SHOWN);
    const { body: { jobs: [job] } } = await ask(`${served.url}/jobs`);
    assertEquals(await browser.evaluate(BUTTONS), ["Download NIfTI", "Download DICOM-SEG"]);
    for (const [i, part, file] of [[1, "nifti", "study.nii.gz"], [2, "dicom-seg", "study_seg.dcm"]] as const) {
      assertEquals(await downloaded(browser, downloads, i, file), await resultOf(served.url, job.id, part));
    }
    assertEquals(browser.complaints, []);
  },
);

browserTest(
  "a TIFF volume and its voxel sizes dropped on the page are segmented and shown, and both come back",
  async (folder, openWindow) => {
    const [model, images, downloads] = ["model", "images", "downloads"].map((name) => join(folder, name));
    for (const path of [images, downloads]) await Deno.mkdir(path);
    await putTiffModel(model);
    await putImage(images, "test_000", "a");
    await using served = await serve(["-m", model, "-f", "0", "--state", join(folder, "state")]);
    await using browser = await openWindow();
    await browser.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: downloads });
    await openPage(browser, served.url);
    await browser.drop("#drop", ["a_0000.tif", "a.json"].map((name) => join(images, name)));
    await browser.until("!document.querySelector('#start').disabled");
    await browser.click("#start");
    await browser.until(SHOWN);
    const { body: { jobs: [job] } } = await ask(`${served.url}/jobs`);
    assertEquals(await browser.evaluate(BUTTONS), ["Download segmentation .tif", "Download voxel sizes .json"]);
    for (const [i, part, file] of [[1, "segmentation", "a.tif"], [2, "spacing", "a.json"]] as const) {
      assertEquals(await downloaded(browser, downloads, i, file), await resultOf(served.url, job.id, part));
    }
    const sizes = await Promise.all([images, downloads].map((from) => Deno.readTextFile(join(from, "a.json"))));
    assertEquals(JSON.parse(sizes[0]), JSON.parse(sizes[1]));
    assertEquals(browser.complaints, []);
  },
);

browserTest(
  "the page asks for the service's token, keeps it to itself, and cancels and removes jobs",
  async (folder, openWindow) => {
    const token = "correct-horse-battery";
    const file = join(folder, "token");
    await Deno.writeTextFile(file, token);
    const state = join(folder, "state");
    // Of the phantom's size and with mirroring, this model's job takes long enough.
    const model = ["-m", modelFolder(CT), "-f", "0", "1"];
    await using served = await serve([...model, "--state", state, "--token-file", file]);
    await using browser = await openWindow();
    await browser.open(served.url);
    await browser.until("!document.querySelector('#access').hidden");
    assertEquals(await browser.evaluate("document.querySelector('#model').options.length"), 0);
    const enter = async (text: string) => {
      await browser.click("#token");
      await browser.send("Input.insertText", { text });
      await browser.press("Enter");
    };
    await enter("wrong");
    await browser.until("document.querySelector('#problem').textContent !== ''");
    assertEquals(await browser.evaluate("document.querySelector('#access').hidden"), false);
    await browser.evaluate("document.querySelector('#token').value = ''");
    await enter(token);
    await browser.until(MODEL_LISTED);
    assertEquals(await browser.evaluate("document.querySelector('#access').hidden"), true);
    for (const url of browser.requests) assert(!url.includes(token), url);
    assert(!(await browser.evaluate("document.documentElement.outerHTML")).includes(token));

    await browser.click("#phantom");
    await browser.until("!document.querySelector('#start').disabled");
    await browser.click("#start");
    await browser.until("document.querySelector('#state').textContent.startsWith('Segmenting')");
    await browser.click("#cancel");
    await browser.until("document.querySelector('#problem').textContent === 'The job is cancelled.'");
    assertEquals(await browser.evaluate("document.querySelector('#running').hidden"), true);
    const headers = { authorization: `Bearer ${token}` };
    const { body: { jobs: [job] } } = await ask(`${served.url}/jobs`, { headers });
    assertEquals((await ended(served.url, job.id, headers)).state, "cancelled");
    await browser.click("#jobs [data-key^=remove]");
    await browser.until("document.querySelectorAll('#jobs li').length === 0");
    assertEquals((await ask(`${served.url}/jobs/${job.id}`, { headers })).status, 404);
  },
);
