/** `view` through the command line: what is in its page, and wrong input. How it looks and works is in tests/slow/view_test.ts. */
import { UserError } from "../../core/base/errors.ts";
import { basename, join } from "../../core/base/path.ts";
import { MOST_PACKED_BYTES, writeViewPage } from "../../cli/viewing/view_page.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { packedSeries, unpackSeries } from "./dicom/cases.ts";
import { GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const NAME = "regions_ignore";
const IMAGE = join(GOLDEN, "images", NAME, "test_000_0000.nii.gz");
const LABELS = join(GOLDEN, "expected", NAME, "test_000.nii.gz");
const OTHER = join(GOLDEN, "expected", NAME, "test_001.nii.gz");

async function gunzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).bytes();
}

/** What stands in the page's script of this id. */
function scriptOf(html: string, id: string): string {
  const [, text] = html.split(`id="${id}">`);
  assert(text !== undefined, id);
  return text.slice(0, text.indexOf("</script>"));
}

/** A NIfTI file's shape, rows of its matrix, and voxels. */
function volumeOf(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = [42, 44, 46].map((at) => view.getInt16(at, true));
  const type = view.getInt16(70, true);
  const matrix = Array.from({ length: 12 }, (_, i) => view.getFloat32(280 + 4 * i, true));
  const voxels = bytes.slice(view.getFloat32(108, true));
  return { shape, type, matrix, voxels };
}

/** The image, with other bytes, in a file of this name. */
async function changed(file: string, change: (view: DataView) => void): Promise<string> {
  const bytes = await gunzip(await Deno.readFile(IMAGE));
  change(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const packed = new Blob([bytes.slice()]).stream().pipeThrough(new CompressionStream("gzip"));
  await Deno.writeFile(file, packed);
  return file;
}

Deno.test("view writes the image and its segmentations into a page that asks nobody for anything", async () => {
  await inTempFolder(async (folder) => {
    const dataset = join(folder, "names.json");
    await Deno.writeTextFile(
      dataset,
      JSON.stringify({ channel_names: { 0: "CT" }, labels: { background: 0, liver: 1 }, file_ending: ".nii.gz" }),
    );
    const page = join(folder, "organs.html");
    const args = ["view", IMAGE, LABELS, LABELS, "-djfile", dataset, "-o", page, "--log", "json"];
    const { code, stdout, stderr } = await runCommand(args);
    assertEquals([code, stderr], [0, ""]);
    const events = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    const { output, image, segmentations } = events.find(({ event }) => event === "page");
    assertEquals([output, image, segmentations], [page, IMAGE, [LABELS, LABELS]]);
    const html = await Deno.readTextFile(page);
    assert(html.includes(`content="default-src 'none'; `), "content policy");
    assertEquals(JSON.parse(scriptOf(html, "about")), {
      title: basename(IMAGE),
      segmentations: [LABELS, LABELS],
      names: { 1: "liver" },
      hasVolume: true,
    });
    for (const [id, file] of [["image", IMAGE], ["labels-0", LABELS], ["labels-1", LABELS]]) {
      const shown = volumeOf(await gunzip(Uint8Array.fromBase64(scriptOf(html, id))));
      const stored = volumeOf(await gunzip(await Deno.readFile(file)));
      assertEquals([shown.shape, shown.type], [stored.shape, stored.type], id);
      for (const [i, value] of shown.matrix.entries()) assert(Math.abs(value - stored.matrix[i]) < 1e-4, id);
      assertEquals(shown.voxels, stored.voxels, id);
    }

    // A page is replaced, another file of the name is not.
    assertEquals((await runCommand(["view", IMAGE, LABELS, "-o", page])).code, 0);
    await Deno.writeTextFile(page, "<!DOCTYPE html>\n<p>a report");
    const again = await runCommand(["view", IMAGE, LABELS, "-o", page]);
    assertEquals([again.code, await Deno.readTextFile(page)], [1, "<!DOCTYPE html>\n<p>a report"]);
    assert(again.stderr.includes("there is a file of this name, which is no page of this command"), again.stderr);
  });
});

Deno.test("what predict says at its end of a DICOM series, and verify of its worst case, is a view that works", async () => {
  await inTempFolder(async (folder) => {
    const study = join(folder, "study");
    await unpackSeries((await packedSeries()).axial, study);
    const output = join(folder, "study.nii.gz");
    const model = join(GOLDEN, "models/iso_ct_two_folds");
    const shown = async (...args: string[]) => {
      const { code, stdout, stderr } = await runCommand(args);
      assertEquals([code, stderr], [0, ""]);
      const [, id, words] = /^look at (\S+): nnunet (.*)$/m.exec(stdout) ?? [];
      assert(words !== undefined, stdout);
      const page = join(folder, `${id}.html`);
      const viewed = await runCommand(words.replace(`-o ${id}.html`, `-o ${page}`).split(" "));
      assertEquals([viewed.code, viewed.stderr], [0, ""], words);
      return JSON.parse(scriptOf(await Deno.readTextFile(page), "about"));
    };
    const predict = ["predict_from_modelfolder", "-m", model, "-i", study, "-o", output, "-f", "0", "--disable_tta"];
    assertEquals(await shown(...predict), {
      title: "study",
      segmentations: ["study.nii.gz"],
      names: { 1: "L1", 2: "L2" },
      hasVolume: true,
    });
    const regions = [join(GOLDEN, "models", NAME), join(GOLDEN, "images", NAME)];
    const against = ["--against", join(GOLDEN, "expected", NAME), "-o", join(folder, "verified"), "-f", "0"];
    const { title, segmentations } = await shown("verify", ...regions, ...against);
    assert(/^test_00\d_0000.nii.gz$/.test(title), title);
    assertEquals(segmentations.length, 2);
    assert(segmentations[0].startsWith(join(folder, "verified")), segmentations[0]);
  });
});

Deno.test("names of files and classes are never markup in the page of view", async () => {
  await inTempFolder(async (folder) => {
    const image = join(folder, `<img src=x onerror=hacked()>"&'.nii.gz`);
    await Deno.copyFile(IMAGE, image);
    const segmentation = join(folder, "<script>hacked()<!--<script.nii.gz");
    await Deno.copyFile(LABELS, segmentation);
    const labels = { background: 0, "</script><img src=y onerror=hacked()>": 1, "<!--<script>": 2 };
    await Deno.writeTextFile(
      join(folder, "dataset.json"),
      JSON.stringify({ channel_names: { 0: "CT" }, labels, file_ending: ".nii.gz" }),
    );
    const page = join(folder, "page.html");
    const { code, stderr } = await runCommand(["view", image, segmentation, "-o", page]);
    assertEquals([code, stderr], [0, ""]);
    const html = await Deno.readTextFile(page);
    for (const text of ["<img src", "<script>hacked", "<!--<script"]) assert(!html.includes(text), text);
    const about = JSON.parse(scriptOf(html, "about"));
    assertEquals(about.names, { 1: "</script><img src=y onerror=hacked()>", 2: "<!--<script>" });
    assertEquals([about.title, about.segmentations], [basename(image), [basename(segmentation)]]);
  });
});

Deno.test("view refuses by name what it cannot show, and leaves nothing behind", async () => {
  await inTempFolder(async (folder) => {
    const page = join(folder, "page.html");
    const text = join(folder, "text.nii.gz");
    await Deno.writeTextFile(text, "no image");
    const many = await changed(join(folder, "many.nii.gz"), (view) => {
      for (let at = 352, i = 0; at < view.byteLength; at += 2, i++) view.setInt16(at, i % 2000, true);
    });
    const moved = await changed(join(folder, "moved.nii.gz"), (view) => {
      for (const at of [268, 292]) view.setFloat32(at, view.getFloat32(at, true) + 5, true); // qoffset_x, srow_x
    });
    const missing = join(folder, "missing.nii.gz");
    const cases: [args: string[], code: number, ...words: string[]][] = [
      [[missing, LABELS], 1, "missing.nii.gz", "there is no such file"],
      [[IMAGE, missing], 1, "missing.nii.gz", "there is no such file"],
      [[IMAGE, text], 1, "text.nii.gz"],
      [[IMAGE, OTHER], 1, "test_001.nii.gz", "test_000_0000.nii.gz", "they have to be the same"],
      [[IMAGE, join(GOLDEN, "models", NAME, "dataset.json")], 1, "dataset.json", "does not end in"],
      [[IMAGE, many], 1, "many.nii.gz", "2000 different labels"],
      [[IMAGE, moved], 1, "moved.nii.gz", "origin, spacing or orientation differ"],
      [[GOLDEN, LABELS], 1, "models"],
      [[IMAGE, LABELS, "--max-memory", "1M"], 1, "--max-memory"],
      [[IMAGE, LABELS, "-djfile", missing], 1, "missing.nii.gz"],
      [[IMAGE], 2, "segmentations"],
    ];
    for (const [args, expected, ...words] of cases) {
      const { code, stdout, stderr } = await runCommand(["view", ...args, "-o", page]);
      assertEquals([code, stdout], [expected, ""], stderr);
      for (const word of words) assert(stderr.includes(word), `${word}: ${stderr}`);
      assertEquals(await namesIn(folder), ["many.nii.gz", "moved.nii.gz", "text.nii.gz"], args.join(" "));
    }
    const other = await runCommand(["view", IMAGE, LABELS, "-o", join(folder, "page.txt")]);
    assertEquals(other.code, 2, other.stderr);
    const nowhere = await runCommand(["view", IMAGE, LABELS, "-o", join(folder, "none", "page.html")]);
    assertEquals(nowhere.code, 1, nowhere.stderr);
  });
});

Deno.test("a page that browsers would not open is not written", async () => {
  await inTempFolder(async (folder) => {
    const page = join(folder, "page.html");
    await assertFails(
      () =>
        writeViewPage(page, "large", async (add) => {
          await add("image", (sink) => sink(new Uint8Array(MOST_PACKED_BYTES + 1)));
          throw new Error("it was taken");
        }, new AbortController().signal),
      UserError,
      "more than 384 MiB",
      "page.html",
    );
    assertEquals(await namesIn(folder), []);
  });
});
