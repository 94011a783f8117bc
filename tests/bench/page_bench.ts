/**
 * How long people wait for a CT of 512 x 512 and its segmentation of 24 classes, in a headless Chromium in which the processor draws:
 * loading the service's page, showing a job's result there, and opening view's file. Each part's time is the best of several runs.
 *
 *   deno task bench page [SLICES (300)] [RUNS (3)]
 */
import zlib from "node:zlib";
import { sitkHeader } from "../../core/formats/image/nifti/written_header.ts";
import { join } from "../../core/base/path.ts";
import { imagesOf, modelFolder, segmented, serve } from "../golden/cli/served.ts";
import { type Browser, findChromium, openBrowser } from "../slow/browser.ts";
import { SHOWN } from "../slow/viewer.ts";
import { measureProcess } from "./measure_process.ts";
import { ourCommand } from "./our_command.ts";
import { say } from "./say.ts";
import { benchWithNetwork } from "./with_network.ts";

const SIDE = 512;
const CLASSES = 24;
const MODEL = "iso_ct_two_folds";
/** Marks of the viewer, and what is done before each. */
const STEPS = [
  ["image read", "image read"],
  ["labels read", "segmentation read and measured"],
  ["settled", "classes listed"],
  ["painted", "textures filled"],
  ["shown", "drawn"],
] as const;

type Times = Record<string, number>;

export function bench(args: readonly string[]): Promise<number> {
  return benchWithNetwork("page", args, measure);
}

async function measure([slices = "300", runs = "3"]: readonly string[]): Promise<number> {
  const chromium = await findChromium();
  if (chromium === undefined) throw new Error("there is no Chromium in PATH");
  const folder = await Deno.makeTempDir({ prefix: "nnunet_page_bench_" });
  try {
    const [image, labels] = await writeVolumes(folder, Number(slices));
    const page = join(folder, "page.html");
    const made = await measureProcess([...ourCommand("view"), image, labels, "-o", page]);
    if (made.code !== 0) throw new Error(made.stderr);
    const { size } = await Deno.stat(page);
    say(
      `view writes ${(size / 1e6).toFixed(0)} MB in ${made.seconds.toFixed(1)} s, ${made.peakMB.toFixed(0)} MB`,
    );
    const best: Record<string, Times> = {};
    for (let run = 0; run < Number(runs); run++) {
      keepBest(best, "view's file, opened", await openFile(chromium, folder, page));
      for (const [name, times] of Object.entries(await openPage(chromium, folder, [image, labels]))) {
        keepBest(best, name, times);
      }
    }
    for (const [name, times] of Object.entries(best)) {
      say(name);
      for (const [part, seconds] of Object.entries(times)) say(`  ${part.padEnd(33)} ${seconds.toFixed(2)} s`);
    }
    return 0;
  } finally {
    await Deno.remove(folder, { recursive: true }).catch(() => say(`left: ${folder}`));
  }
}

function keepBest(best: Record<string, Times>, name: string, times: Times): void {
  const known = best[name] ??= times;
  if (times.all < known.all) best[name] = times;
}

async function openFile(chromium: string, folder: string, page: string): Promise<Times> {
  await using browser = await openBrowser(chromium, join(folder, crypto.randomUUID()));
  await browser.size(1280, 800);
  await browser.open(`file://${page}`);
  await browser.until(SHOWN, 600);
  return await stepsOf(browser, 0, "page read, NiiVue started");
}

/** Of a job whose result is replaced by the volumes. */
async function openPage(chromium: string, folder: string, volumes: readonly string[]): Promise<Record<string, Times>> {
  const state = join(folder, crypto.randomUUID());
  await using served = await serve(["-m", modelFolder(MODEL), "-f", "0", "--state", state]);
  const job = await segmented(served.url, imagesOf(MODEL, "test_000", 1), { view: "true" });
  for (const [i, name] of ["view_image", "view_labels"].entries()) {
    await Deno.copyFile(volumes[i], await findFile(state, name));
  }
  await using browser = await openBrowser(chromium, join(folder, crypto.randomUUID()));
  await browser.size(1280, 800);
  await browser.open(served.url);
  await browser.until("document.querySelectorAll('#jobs li').length === 1");
  const loaded = await browser.evaluate("performance.now()") / 1000;
  const asked = await browser.evaluate("performance.now()");
  await browser.click(`[data-key="open-${job.id}"]`);
  await browser.until(SHOWN, 600);
  const shown = await stepsOf(browser, asked, "volumes received, NiiVue started");
  await Deno.remove(state, { recursive: true });
  return { "the service's page, loaded": { all: loaded }, "the service's page, a job opened": shown };
}

async function findFile(folder: string, part: string): Promise<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (!isDirectory && name.includes(`.${part}.`)) return path;
    const found = isDirectory ? await findFile(path, part) : "";
    if (found !== "") return found;
  }
  return "";
}

/** Seconds of each step, from `from` (milliseconds of the page's clock) on. */
async function stepsOf(browser: Browser, from: number, first: string): Promise<Times> {
  const marks: Times = await browser.evaluate(
    "Object.fromEntries(performance.getEntriesByType('mark').map(({ name, startTime }) => [name, startTime]))",
  );
  const times: Times = { [first]: (marks.begun - from) / 1000 };
  let before = marks.begun;
  for (const [mark, text] of STEPS) {
    times[text] = (marks[mark] - before) / 1000;
    before = marks[mark];
  }
  return { ...times, all: (marks.shown - from) / 1000 };
}

/** A body of noise with balls in it, int16, and the balls' labels, uint8; as a scanner's export is packed. */
async function writeVolumes(folder: string, depth: number): Promise<readonly [string, string]> {
  const voxels = new Int16Array(SIDE * SIDE * depth);
  const labels = new Uint8Array(voxels.length);
  const balls = Array.from({ length: CLASSES }, (_, i) => {
    const away = 60 + 5 * i;
    return [
      256 + away * Math.cos(2.4 * i),
      256 + 0.7 * away * Math.sin(2.4 * i),
      depth * (0.5 + 0.35 * Math.sin(1.7 * i)),
    ];
  });
  const noise = Int16Array.from({ length: 1 << 16 }, () => 60 * (Math.random() + Math.random() + Math.random() - 1.5));
  let at = 0;
  for (let z = 0; z < depth; z++) {
    const near = balls.map((ball, i) => ({ ball, label: i + 1 })).filter(({ ball }) => Math.abs(ball[2] - z) < 30);
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++, at++) {
        const isBody = ((x - 256) / 220) ** 2 + ((y - 256) / 160) ** 2 < 1;
        voxels[at] = (isBody ? 40 : -1000) + noise[(at * 40503 >>> 3) & 0xffff];
        for (const { ball, label } of near) {
          if ((x - ball[0]) ** 2 + (y - ball[1]) ** 2 + (z - ball[2]) ** 2 > 900) continue;
          labels[at] = label;
          voxels[at] += 8 * label;
        }
      }
    }
  }
  const geometry = { spacing: [0.75, 0.75, 1], origin: [0, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] };
  const files = [join(folder, "ct_0000.nii.gz"), join(folder, "organs.nii.gz")] as const;
  for (const [i, data] of [voxels, labels].entries()) {
    const header = sitkHeader([SIDE, SIDE, depth], geometry, data instanceof Uint8Array ? "uint8" : "int16");
    const bytes = new Uint8Array(header.length + data.byteLength);
    bytes.set(header);
    bytes.set(new Uint8Array(data.buffer), header.length);
    await Deno.writeFile(files[i], zlib.gzipSync(bytes, { level: 1 }));
  }
  return files;
}
