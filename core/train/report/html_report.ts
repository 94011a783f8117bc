/**
 * The report of a training as one HTML file that needs nothing else: curves and pictures are in it, nothing is loaded from anywhere
 * (its content policy forbids it), and while the training runs it reloads itself.
 */
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
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
${reload}<title>${percentDone(run, log)} ${escape(run.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${escape(run.title)} <span class="state ${state}">${state}</span></h1>
<p>${escape(run.subtitle)}</p>
<div class="bar"><div style="width: ${percentDone(run, log)}"></div></div>
</header>
<section class="tiles">${tiles(run, log, state).map(tile).join("")}</section>
${charts}
${samplesHtml(run, samples)}
<section class="card"><h2>Run</h2><table>${run.facts.map(factRow).join("")}</table></section>
<footer>Written <time datetime="${now.toISOString()}">${
    now.toISOString().slice(0, 19).replace("T", " ")
  } UTC</time><span id="age"></span>.
Pseudo Dice is measured on patches while training, and is only a rough guide to the Dice of whole images.</footer>
${state === "running" ? `<script>${AGE_SCRIPT}</script>\n` : ""}</body>
</html>
`;
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
    return `<tr><td>${swatch(i + 1)}${escape(name)}</td><td>${dice(values.at(-1) ?? NaN)}</td><td>${
      dice(best)
    }</td></tr>`;
  });
  return `<table><tr><th>class</th><th>last epoch</th><th>best</th></tr>${rows.join("")}</table>`;
}

function samplesHtml({ classNames }: RunDescription, samples: readonly SampleSlice[]): string {
  if (samples.length === 0) return "";
  const legend = classNames.map((name, i) => `<span>${swatch(i + 1)}${escape(name)}</span>`).join(" ");
  const pictures = samples.map((sample) =>
    `<figure><img alt="" src="data:image/png;base64,${base64(samplePng(sample))}"><figcaption>${
      escape(sample.title)
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

function tile([name, value]: Tile): string {
  return `<div><b>${value}</b><span>${name}</span></div>`;
}

function factRow([name, value]: readonly [string, string]): string {
  return `<tr><td>${escape(name)}</td><td>${escape(value)}</td></tr>`;
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

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => ESCAPES[letter]);
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
:root { font: 16px/1.45 system-ui, sans-serif; color: #222836; background: #eef0f5; }
body { max-width: 1080px; margin: 0 auto; padding: 20px 16px 40px; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1rem; margin: 0 0 10px; } header p { margin: 2px 0 12px; color: #5a6376; }
.state { font-size: .8rem; font-weight: 600; padding: 2px 10px; border-radius: 99px; vertical-align: middle; color: #fff; background: #3867c8; }
.state.finished { background: #2f9e5b; } .state.stopped { background: #b7791f; }
.bar { height: 6px; border-radius: 3px; background: #d9dde7; overflow: hidden; } .bar div { height: 100%; background: #3867c8; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(122px, 1fr)); gap: 10px; margin: 16px 0; }
.tiles div, .card { background: #fff; border-radius: 10px; box-shadow: 0 1px 3px #1c274022; }
.tiles div { padding: 10px 12px; } .tiles b { display: block; font-size: 1.15rem; } .tiles span { font-size: .8rem; color: #5a6376; }
.card { padding: 14px 16px; margin: 0 0 16px; } .card svg, .card img { display: block; width: 100%; height: auto; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 0 16px; }
table { border-collapse: collapse; font-size: .9rem; } td, th { padding: 3px 20px 3px 0; text-align: left; font-weight: normal; }
th { color: #5a6376; } td + td { font-variant-numeric: tabular-nums; }
i { display: inline-block; width: .75em; height: .75em; border-radius: 3px; margin-right: 7px; }
.legend { margin: 0 0 10px; font-size: .9rem; } .legend span { margin-right: 16px; white-space: nowrap; }
.samples { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 14px; }
figure { margin: 0; } img { image-rendering: pixelated; border-radius: 4px; } figcaption { font-size: .85rem; color: #5a6376; }
footer { font-size: .85rem; color: #5a6376; } .empty { color: #5a6376; }
`;
