/** The HTML report of an evaluation, on the segmentations of tests/golden/surface. */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { distributionSvg } from "../../core/evaluate/report/distribution_chart.ts";
import { drawCase, rankCases } from "../../core/evaluate/report/worst_cases.ts";
import { metricsOf, nanMean } from "../../core/evaluate/summary.ts";
import { assert, assertEquals } from "../assert.ts";
import { decodePng } from "../decode_png.ts";
import { inTempFolder, runCommand } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./surface/", import.meta.url));

function sides(name: string): string[] {
  return ["references", "predictions"].map((side) => join(GOLDEN, name, side));
}

Deno.test("a report loads nothing from elsewhere, has the worst cases first, and draws over images where they are named", async () => {
  await inTempFolder(async (folder) => {
    const html = join(folder, "report.html");
    const of = ["evaluate_simple", ...sides("volumes"), "-l", "1", "2", "3", "-o", join(folder, "summary.json")];
    const plain = await runCommand([...of, "--surface", "--html", html]);
    assertEquals([plain.code, plain.stderr], [0, ""]);
    assert(plain.stdout.includes(`report: ${html}`), plain.stdout);
    const text = await Deno.readTextFile(html);
    assert(text.includes("default-src 'none'"), "its policy forbids loading");
    assert(!/(?:src|href)="(?!data:)|url\(|@import|<script/i.test(text), "nothing is loaded");
    const { metric_per_case } = JSON.parse(
      (await Deno.readTextFile(join(folder, "summary.json"))).replaceAll("NaN", "null"),
    );
    const means = metric_per_case.map((one: { metrics: Record<string, { Dice: number | null }> }) =>
      nanMean(Object.values(one.metrics).map(({ Dice }) => Dice ?? NaN))
    );
    const worst = Math.min(...means);
    const shown = [...text.matchAll(/<figcaption>\w+: mean Dice (\d\.\d{4})/g)].map(([, value]) => Number(value));
    assertEquals(
      shown,
      means.toSorted((a: number, b: number) => a - b).slice(0, 6).map((one: number) => Number(one.toFixed(4))),
    );
    assertEquals(shown[0], Number(worst.toFixed(4)));
    assert(text.includes("Worst cases: truth, prediction"));

    // The truth itself stands in for the images.
    const withImages = await runCommand([...of, "--html", html, "--images", sides("volumes")[0]]);
    assertEquals([withImages.code, withImages.stderr], [0, ""]);
    assert((await Deno.readTextFile(html)).includes("Worst cases: image, truth, prediction"));
  });
});

Deno.test("the legend names the labels that regions are made of, and the ignored one", async () => {
  await inTempFolder(async (folder) => {
    const file = (name: string) => join(GOLDEN, "regions", name);
    const html = join(folder, "report.html");
    const flags = ["-djfile", file("dataset.json"), "-pfile", file("plans.json"), "-o", join(folder, "summary.json")];
    const { code } = await runCommand(["evaluate_folder", ...sides("regions"), ...flags, "--html", html]);
    assertEquals(code, 0);
    const [, legend] = /<p class="legend">(.*?)<\/p>/.exec(await Deno.readTextFile(html)) ?? [];
    const names = [...legend.matchAll(/<\/i>([^<]*)<\/span>/g)].map(([, name]) => name);
    assertEquals(names, ["1", "2", "3 enhancing", "4 ignored"]);
  });
});

Deno.test("images that are missing are said, and the report is written all the same", async () => {
  await inTempFolder(async (folder) => {
    const html = join(folder, "report.html");
    const of = ["evaluate_simple", ...sides("pictures"), "-l", "1", "2", "-o", join(folder, "summary.json")];
    const { code, stderr } = await runCommand([...of, "--html", html, "--images", folder]);
    assertEquals(code, 0);
    assert(stderr.includes("there is neither picture_2_0000.png nor picture_2.png"), stderr);
    assert((await Deno.readTextFile(html)).includes("neither picture_2_0000.png"));

    assertEquals((await runCommand([...of, "--images", folder])).code, 2);
    assertEquals((await runCommand([...of, "--html", join(folder, "report.pdf")])).code, 2);
    const nowhere = await runCommand([...of, "--html", html, "--images", join(folder, "none")]);
    assert(nowhere.code === 1 && nowhere.stderr.includes("there is no such folder"), nowhere.stderr);
  });
});

Deno.test("a case's picture shows the slice that differs most, labels in their full colours where there is no image", async () => {
  const files = {
    predictionFile: join(GOLDEN, "volumes", "predictions", "one_voxel.nii.gz"),
    referenceFile: join(GOLDEN, "volumes", "references", "one_voxel.nii.gz"),
  };
  const metrics = { metrics: new Map([["1", metricsOf({ TP: 0, FP: 1, FN: 1, TN: 0 })]]), ...files };
  const [ranked] = rankCases([metrics], () => "one_voxel");
  const picture = await drawCase(ranked, { reader: "SimpleITKIO" });
  assert("png" in picture);
  // The prediction's voxel is in slice 6, the truth's in the next one.
  assertEquals([picture.slice, picture.slices, picture.image], [6, 13, undefined]);
  const { data, width, height } = decodePng(picture.png);
  const blue = (from: number, to: number) => {
    let count = 0;
    for (let y = 0; y < height; y++) {
      for (let x = from; x < to; x++) {
        if (data[3 * (y * width + x)] === 67 && data[3 * (y * width + x) + 2] === 216) count++;
      }
    }
    return count;
  };
  const half = Math.floor(width / 2);
  assert(blue(half, width) > 0 && blue(0, half) === 0);
});

Deno.test("names of classes and cases are text in a chart, whatever is in them", () => {
  const row = {
    name: `<b>"a" & b</b>`,
    colour: "red",
    values: [{ caseId: "<i>", value: 0.5 }, { caseId: "x", value: NaN }],
  };
  const svg = distributionSvg({ id: "Dice", title: "Dice", worse: "small" }, [row]);
  assert(!svg.includes("<b>") && !svg.includes("<i>") && svg.includes("&lt;b&gt;"), svg);
  assertEquals(svg.match(/<circle/g)?.length, 1);
  assert(!/NaN|Infinity/.test(svg), svg);
});

Deno.test("a chart of no values, of one, and of infinite ones is drawn", () => {
  const of = (
    ...values: number[]
  ) => [{ name: "a", colour: "red", values: values.map((value) => ({ caseId: "c", value })) }];
  for (const values of [[], [NaN], [0], [1], [Infinity], [3, Infinity]]) {
    for (const worse of ["small", "large"] as const) {
      const svg = distributionSvg({ id: "HD95", title: "HD95", worse }, of(...values));
      assert(!/NaN|"-?Infinity/.test(svg), svg);
    }
  }
});
