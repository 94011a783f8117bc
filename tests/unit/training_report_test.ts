/** The pictures of a training: progress.png, the report in HTML, and the thread that draws them. */
import { join } from "../../core/base/path.ts";
import { labelColour } from "../../core/evaluate/overlay.ts";
import { decodePng } from "../decode_png.ts";
import { htmlReport, type RunDescription } from "../../core/train/report/html_report.ts";
import { progressPng } from "../../core/train/report/progress_plot.ts";
import { loadRasteriser } from "../../core/train/report/rasterise.ts";
import { sampleSlice } from "../../core/train/samples/sample_slice.ts";
import { startTrainingReport } from "../../core/train/report/training_report.ts";
import type { EpochRecord, TrainingLog } from "../../core/train/training_log.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";

const RUN: RunDescription = {
  title: "Dataset001_<Tiny>",
  subtitle: "nnUNetTrainer, nnUNetPlans, 3d_fullres, fold 0",
  epochs: 40,
  classNames: ["liver & co", "lesion"],
  facts: [["engine", "CPU"]],
};

function trainingLog(epochs: number): TrainingLog {
  return Array.from({ length: epochs }, (_, e): EpochRecord => ({
    trainLoss: 1 - e / 20,
    validationLoss: 1.2 - e / 22,
    classDice: [e / 20, e === 3 ? NaN : e / 25],
    meanDice: e / 21,
    emaDice: e / 30,
    learningRate: 0.01 * (1 - e / 40) ** 0.9,
    start: 100 * e,
    end: 100 * e + 90,
  }));
}

/** Pixels of a box that are nearer to `colour` than a distance that lines' soft edges keep. */
function pixelsLike(
  png: ReturnType<typeof decodePng>,
  colour: readonly number[],
  box = { left: 0, top: 0, right: 1, bottom: 1 },
): number {
  const channels = png.data.length / (png.width * png.height);
  let count = 0;
  for (let y = Math.floor(box.top * png.height); y < box.bottom * png.height; y++) {
    for (let x = Math.floor(box.left * png.width); x < box.right * png.width; x++) {
      const at = (y * png.width + x) * channels;
      if (colour.every((value, c) => Math.abs(value - png.data[at + c]) < 24)) count++;
    }
  }
  return count;
}

const BLUE = [56, 103, 200];
const RED = [207, 63, 74];
const GREEN = [47, 158, 91];
const INK = [51, 58, 72];

Deno.test("progress.png has three panels with their lines, and its text is drawn", async () => {
  const rasterise = await loadRasteriser();
  const png = decodePng(await progressPng(trainingLog(20), rasterise));
  assertEquals(png.width, 1500);
  const third = (i: number) => ({ left: 0, top: i / 3, right: 1, bottom: (i + 1) / 3 });
  for (const colour of [BLUE, RED, GREEN]) assert(pixelsLike(png, colour, third(0)) > 1000, `${colour} is in panel 1`);
  for (const i of [1, 2]) {
    assert(pixelsLike(png, BLUE, third(i)) > 1000, `the line of panel ${i + 1}`);
    assertEquals(pixelsLike(png, RED, third(i)), 0);
  }
  // The names above the first plot, and its numbers on the left.
  assert(pixelsLike(png, INK, { left: 0.1, top: 0, right: 0.9, bottom: 0.02 }) > 200, "the legend's text is there");
  assert(pixelsLike(png, INK, { left: 0, top: 0.03, right: 0.09, bottom: 0.28 }) > 200, "the axis' numbers are there");

  // One epoch is a point, also where a value is not known.
  const first = trainingLog(1).map((epoch) => ({ ...epoch, meanDice: NaN, emaDice: NaN }));
  const single = decodePng(await progressPng(first, rasterise));
  assert(pixelsLike(single, RED, { left: 0.05, top: 0.03, right: 0.2, bottom: 0.3 }) > 20, "the first epoch is shown");
});

Deno.test("a sample is the slice that shows most of the truth", () => {
  const truth = [0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0];
  const image = Float32Array.from({ length: 12 }, (_, i) => i);
  const prediction = truth.map((label) => 2 * label);
  const sample = sampleSlice("case", image, truth, prediction, [3, 2, 2], [1, 1, 1]);
  assertEquals([...sample.image], [4, 5, 6, 7]);
  assertEquals([...sample.truth, ...sample.prediction], [0, 1, 2, 0, 0, 2, 4, 0]);
  assertEquals(sample.shape, [1, 2, 2]);
});

Deno.test("the report holds all it shows, loads nothing, and reloads itself only while the training runs", async () => {
  const labels = new Int16Array(64).fill(0).map((_, i) => i % 8 < 4 ? 2 : -1);
  const image = new Float32Array(64);
  const sample = sampleSlice("case <a>", image, labels, labels.map(() => 0), [1, 8, 8], [1, 1, 1]);
  const now = new Date("2026-01-02T03:04:05Z");
  const state = { log: trainingLog(20), samples: [sample] };
  const html = await htmlReport(RUN, { ...state, state: "running" }, now);
  assert(html.includes('http-equiv="refresh" content="45"'), "half an epoch");
  assert(!(await htmlReport(RUN, { ...state, state: "finished" }, now)).includes("refresh"));
  const addresses = [...html.matchAll(/\b(?:https?:)?\/\/[\w.]+/g)].map(([address]) => address);
  assertEquals(addresses.filter((address) => address !== "http://www.w3.org"), [], "but for the names of SVG");
  assert(html.includes("default-src 'none'"));
  for (
    const text of [
      "Dataset001_&lt;Tiny&gt;",
      "liver &amp; co",
      "case &lt;a&gt;",
      "20 of 40",
      "50%",
      "30 min",
      "best average, epoch 20",
    ]
  ) {
    assert(html.includes(text), text);
  }
  assertEquals(html.match(/<svg/g)?.length, 4);
  assert(!html.includes("NaN"), "a value that is not known is a gap");

  const data = html.match(/data:image\/png;base64,([^"]+)/)?.[1] ?? "";
  const png = decodePng(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
  const colour = labelColour(2).map((value) => value * 0.45);
  const panel = (i: number) => ({ left: i / 3 + 0.01, top: 0, right: (i + 1) / 3 - 0.01, bottom: 1 });
  const share = [0, 1, 2].map((i) => Math.round(10 * pixelsLike(png, colour, panel(i)) / (png.width / 3 * png.height)));
  assertEquals(share, [0, 5, 0], "the truth covers half of the second panel; labels below 0 are not shown");

  const early = await htmlReport(RUN, { log: [], samples: [], state: "running" }, now);
  assert(early.includes("The first epoch is running."));
});

Deno.test("pictures are drawn beside the training, the last state in the end, and what fails is only said", async () => {
  await inTempFolder(async (folder) => {
    const warnings: string[] = [];
    {
      await using report = startTrainingReport(folder, RUN, (message) => warnings.push(message));
      for (const epochs of [0, 1, 2, 40]) {
        report.update({ log: trainingLog(epochs), samples: [], state: epochs === 40 ? "finished" : "running" });
      }
    }
    assertEquals(warnings, []);
    assertEquals(await namesIn(folder), ["progress.png", "training_report.html"]);
    assert((await Deno.readTextFile(join(folder, "training_report.html"))).includes("40 of 40"));
    {
      await using report = startTrainingReport(join(folder, "gone"), RUN, (message) => warnings.push(message));
      report.update({ log: trainingLog(2), samples: [], state: "running" });
    }
    assertEquals(warnings.length, 1);
    assert(warnings[0].includes("training_report.html") && warnings[0].includes("is not there"), warnings[0]);
  });
});
