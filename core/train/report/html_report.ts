/**
 * The report of a training as one HTML file that needs nothing else: curves and pictures are in it, nothing is loaded from anywhere
 * (its content policy forbids it), and while the training runs it reloads itself.
 */
import { escapeHtml, htmlFact, htmlPage, htmlTile, pngAddress } from "../../base/html.ts";
import { labelColour } from "../../evaluate/overlay.ts";
import { chartSvg, type Panel } from "./chart.ts";
import { durationPanel, learningRatePanel, lossPanel } from "./progress_plot.ts";
import { samplePng, type SampleSlice } from "../samples/sample_slice.ts";
import type { EpochRecord, TrainingLog } from "../training_log.ts";

/** What does not change while the training runs. */
export interface RunDescription {
  /** The dataset. */
  readonly title: string;
  /** Trainer, plans, configuration and fold. */
  readonly subtitle: string;
  /** Epochs the training is to have. */
  readonly epochs: number;
  /** Names of the foreground classes or regions, in the order of {@link EpochRecord.classDice}. */
  readonly classNames: readonly string[];
  /** Further lines: engine, batch and patch size, cases, ... */
  readonly facts: readonly (readonly [name: string, value: string])[];
}

export interface RunState {
  readonly log: TrainingLog;
  readonly samples: readonly SampleSlice[];
  /** `stopped`: before its last epoch, to be continued. */
  readonly state: "running" | "finished" | "stopped";
}

const CHART_WIDTH = 1000;
const CHART_HEIGHT = 340;
const SMALL_WIDTH = 620;
const SMALL_HEIGHT = 240;
/** Seconds between reloads, at least and at most. */
const RELOAD = { least: 5, most: 60 };
/** Epochs the time left is estimated from. */
const RECENT = 5;

/** The text of the report. */
export async function htmlReport(run: RunDescription, { log, samples, state }: RunState, now: Date): Promise<string> {
  const last = log.at(-1);
  const charts = last === undefined ? `<p class="empty">The first epoch is running.</p>` : await chartsHtml(run, log);
  const reload = state === "running" ? `<meta http-equiv="refresh" content="${reloadSeconds(log)}">\n` : "";
  const body = `<header>
<h1>${escapeHtml(run.title)} <span class="state ${state}">${state}</span></h1>
<p>${escapeHtml(run.subtitle)}</p>
<div class="bar"><div style="width: ${percentDone(run, log)}"></div></div>
</header>
<section class="tiles">${tiles(run, log, state).map(([name, value]) => htmlTile(name, value)).join("")}</section>
${charts}
${samplesHtml(run, samples)}
<section class="card"><h2>Run</h2><table>${
    run.facts.map(([name, value]) => htmlFact(name, value)).join("")
  }</table></section>
<footer>Written <time datetime="${now.toISOString()}">${
    now.toISOString().slice(0, 19).replace("T", " ")
  } UTC</time><span id="age"></span>.
Pseudo Dice is measured on patches while training, and is only a rough guide to the Dice of whole images.</footer>
${state === "running" ? `<script>${AGE_SCRIPT}</script>\n` : ""}`;
  const title = `${percentDone(run, log)} ${run.title}`;
  return htmlPage({ title, head: reload, body, style: STYLE, scripts: true });
}

async function chartsHtml(run: RunDescription, log: TrainingLog): Promise<string> {
  const chart = async (title: string, panel: Panel, width: number, more = "") =>
    `<section class="card"><h2>${title}</h2>${await chartSvg([panel], width)}${more}</section>`;
  return `${await chart("Loss and pseudo Dice", lossPanel(log, CHART_HEIGHT), CHART_WIDTH)}
${await chart("Pseudo Dice of each class", classPanel(run, log), CHART_WIDTH, classTable(run, log))}
<div class="pair">
${await chart("Duration of an epoch", durationPanel(log, SMALL_HEIGHT), SMALL_WIDTH)}
${await chart("Learning rate", learningRatePanel(log, SMALL_HEIGHT), SMALL_WIDTH)}
</div>`;
}

function classPanel({ classNames }: RunDescription, log: TrainingLog): Panel {
  // The names are in the table below the chart: there may be a hundred.
  const lines = classNames.map((_, i) => ({
    name: "",
    colour: cssColour(i + 1),
    values: log.map(({ classDice }) => classDice[i] ?? NaN),
    width: 2,
  }));
  return { left: { title: "pseudo dice", lines }, height: CHART_HEIGHT };
}

function classTable({ classNames }: RunDescription, log: TrainingLog): string {
  const rows = classNames.map((name, i) => {
    const values = log.map(({ classDice }) => classDice[i] ?? NaN);
    const known = values.filter((value) => !Number.isNaN(value));
    const best = known.length ? known.reduce((a, b) => Math.max(a, b)) : NaN;
    return `<tr><td>${swatch(i + 1)}${escapeHtml(name)}</td><td>${dice(values.at(-1) ?? NaN)}</td><td>${
      dice(best)
    }</td></tr>`;
  });
  return `<table><tr><th>class</th><th>last epoch</th><th>best</th></tr>${rows.join("")}</table>`;
}

function samplesHtml({ classNames }: RunDescription, samples: readonly SampleSlice[]): string {
  if (samples.length === 0) return "";
  const legend = classNames.map((name, i) => `<span>${swatch(i + 1)}${escapeHtml(name)}</span>`).join(" ");
  const pictures = samples.map((sample) =>
    `<figure><img alt="" src="${pngAddress(samplePng(sample))}"><figcaption>${
      escapeHtml(sample.title)
    }</figcaption></figure>`
  );
  return `<section class="card"><h2>Validation patches: image, truth, prediction</h2><p class="legend">${legend}</p>
<div class="samples">${pictures.join("\n")}</div></section>`;
}

type Tile = readonly [name: string, value: string];

function tiles(run: RunDescription, log: TrainingLog, state: RunState["state"]): Tile[] {
  const last = log.at(-1);
  const epochs: Tile = ["epochs", `${log.length} of ${run.epochs}`];
  if (last === undefined) return [epochs];
  const best = log.reduce((a, b) => b.emaDice > a.emaDice ? b : a);
  const recent = log.slice(-RECENT);
  const seconds = recent.reduce((sum, epoch) => sum + epoch.end - epoch.start, 0) / recent.length;
  const left = seconds * (run.epochs - log.length);
  return [
    epochs,
    ["pseudo Dice", dice(last.meanDice)],
    ["moving average", dice(last.emaDice)],
    [`best average, epoch ${log.indexOf(best) + 1}`, dice(best.emaDice)],
    ["training loss", last.trainLoss.toFixed(4)],
    ["validation loss", last.validationLoss.toFixed(4)],
    ["an epoch takes", duration(seconds)],
    ...(state === "finished" ? [] : [["time left", duration(left)] as const]),
  ];
}

function percentDone({ epochs }: RunDescription, log: TrainingLog): string {
  return `${Math.floor(100 * Math.min(1, log.length / Math.max(1, epochs)))}%`;
}

function reloadSeconds(log: TrainingLog): number {
  const last: EpochRecord | undefined = log.at(-1);
  const seconds = last === undefined ? RELOAD.least : (last.end - last.start) / 2;
  return Math.round(Math.max(RELOAD.least, Math.min(RELOAD.most, seconds)));
}

function dice(value: number): string {
  return Number.isNaN(value) ? "none" : value.toFixed(4);
}

function duration(seconds: number): string {
  if (seconds < 100) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

function cssColour(label: number): string {
  return `rgb(${labelColour(label).join(", ")})`;
}

function swatch(label: number): string {
  return `<i style="background: ${cssColour(label)}"></i>`;
}

/** Says how old the file is, for a training that ended without a word. */
const AGE_SCRIPT = `
const written = new Date(document.querySelector("time").dateTime);
const show = () => {
  const minutes = Math.floor((Date.now() - written) / 60000);
  document.getElementById("age").textContent = minutes < 1 ? "" : ", " + minutes + " min ago";
};
show();
setInterval(show, 10000);
`;

const STYLE = `
.state.finished { background: #2f9e5b; } .state.stopped { background: #b7791f; }
.bar { height: 6px; border-radius: 3px; background: #d9dde7; overflow: hidden; } .bar div { height: 100%; background: #3867c8; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 0 16px; }
.samples { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 14px; }
`;
