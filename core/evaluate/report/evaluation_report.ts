/** The report of an evaluation as one HTML file that needs nothing else: distributions by class, the worst cases first. */
import { escapeHtml, htmlPage, htmlTile, pngAddress } from "../../base/html.ts";
import { plural } from "../../base/plural.ts";
import { classStatistics, type MetricKind, metricKinds, valueOf } from "../class_statistics.ts";
import { labelColour } from "../overlay.ts";
import type { Target } from "../overlap.ts";
import type { Summary } from "../summary.ts";
import { DISTRIBUTION_STYLE, distributionSvg } from "./distribution_chart.ts";
import type { CasePicture, RankedCase } from "./worst_cases.ts";

export interface EvaluationReport {
  readonly references: string;
  readonly predictions: string;
  /** Formats of the segmentations: "NRRD". */
  readonly formats: string;
  /** The images that pictures are drawn over, and their formats; absent: pictures are of labels alone. */
  readonly images?: { readonly folder: string; readonly formats: string };
  readonly summary: Summary;
  readonly targets: readonly Target[];
  readonly ignoreLabel?: number;
  /** Of labels and regions by their key. */
  readonly names: ReadonlyMap<string, string>;
  /** Of the surface Dice, mm; absent: surfaces were not measured. */
  readonly tolerance?: number;
  readonly caseOf: (predictionFile: string) => string;
  /** From the worst on. */
  readonly ranked: readonly RankedCase[];
  /** Of the first ones of `ranked`. */
  readonly pictures: readonly CasePicture[];
}

/** Rows of the table of cases; the others are in the CSV file. */
const MOST_ROWS = 1000;

/** The text of the report. */
export function evaluationHtml(report: EvaluationReport, now: Date): string {
  const { summary, references, predictions, formats, images, tolerance, ranked } = report;
  const kinds = metricKinds(tolerance);
  const [worst] = ranked;
  const tiles = [
    htmlTile("cases", String(summary.cases.length)),
    htmlTile("labels", String(report.targets.length)),
    htmlTile("mean Dice of the foreground", shown(summary.foregroundMean.Dice)),
    ...(worst ? [htmlTile(`mean Dice of the worst case, ${worst.caseId}`, shown(worst.meanDice))] : []),
  ];
  const time = now.toISOString();
  const body = `<header>
<h1>Segmentations and the truth</h1>
<p>${escapeHtml(`${predictions} compared with ${references} (${formats})`)}${
    images ? escapeHtml(`; images: ${images.folder} (${images.formats})`) : ""
  }</p>
</header>
<section class="tiles">${tiles.join("")}</section>
${kinds.map((kind) => metricHtml(kind, report)).join("\n")}
${worstHtml(report)}
${casesHtml(report)}
<footer>Written <time datetime="${time}">${time.slice(0, 19).replace("T", " ")} UTC</time>. ${
    definitions(tolerance)
  }</footer>
`;
  const title = `${plural(summary.cases.length, "case")}, mean Dice ${shown(summary.foregroundMean.Dice)}`;
  return htmlPage({ title, body, style: STYLE + DISTRIBUTION_STYLE, dark: true });
}

function metricHtml(kind: MetricKind, { summary, targets, names, caseOf }: EvaluationReport): string {
  const rows = targets.map((target) => ({
    name: nameOf(target.key, names),
    colour: cssColour(target),
    values: summary.cases.map((one) => ({ caseId: caseOf(one.predictionFile), value: valueOf(one, target.key, kind) })),
  }));
  const lines = classStatistics(summary.cases, targets, kind, caseOf).map(({ key, statistics }, i) => {
    const { count, infinite, mean, std, median, worst } = statistics;
    const numbers = [mean, std, median, worst?.value ?? NaN].map((value) => `<td>${shown(value)}</td>`).join("");
    const cases = `<td>${count}${infinite > 0 ? ` (${infinite} infinite)` : ""}</td>`;
    return `<tr><td>${swatch(targets[i])}${escapeHtml(nameOf(key, names))}</td>${cases}${numbers}<td>${
      escapeHtml(worst?.caseId ?? "")
    }</td></tr>`;
  });
  return `<section class="card"><h2>${escapeHtml(kind.title)}</h2>${distributionSvg(kind, rows)}
<div class="wide"><table><tr><th>label</th><th>cases</th><th>mean</th><th>std</th><th>median</th><th>worst</th><th>in case</th></tr>
${lines.join("\n")}</table></div></section>`;
}

function worstHtml({ ranked, pictures, targets, names, ignoreLabel }: EvaluationReport): string {
  if (pictures.length === 0) return "";
  const figures = pictures.map((picture, i) => {
    const { caseId, meanDice, worstKey, worstDice } = ranked[i];
    const text = `${caseId}: mean Dice ${shown(meanDice)}, lowest ${shown(worstDice)} (${nameOf(worstKey, names)})`;
    if ("problem" in picture) {
      return `<figure><figcaption>${escapeHtml(text)}</figcaption><p class="empty">${
        escapeHtml(picture.problem)
      }</p></figure>`;
    }
    const panels = picture.image !== undefined ? "image, truth, prediction" : "truth, prediction";
    const place = picture.slices > 1 ? `, slice ${picture.slice} of ${picture.slices} (from 0)` : "";
    return `<figure><figcaption>${escapeHtml(`${text}${place}`)}</figcaption><img alt="${
      escapeHtml(`${caseId}: ${panels}`)
    }" src="${pngAddress(picture.png)}"></figure>`;
  });
  const panels = pictures.some((picture) => "png" in picture && picture.image !== undefined)
    ? "image, truth, prediction"
    : "truth, prediction";
  // Pictures show labels, of which regions are made.
  const labels = [
    ...new Set([...targets.flatMap((target) => target.labels), ...(ignoreLabel === undefined ? [] : [ignoreLabel])]),
  ];
  const legend = labels.filter((label) => label > 0).sort((a, b) => a - b).map((label) => {
    const name = label === ignoreLabel ? `${label} ignored` : nameOf(String(label), names);
    return `<span>${swatch({ labels: [label] })}${escapeHtml(name)}</span>`;
  }).join(" ");
  return `<section class="card"><h2>Worst cases: ${panels}</h2><p class="legend">${legend}</p>
<div class="pictures">${figures.join("\n")}</div></section>`;
}

function casesHtml({ ranked, names, tolerance }: EvaluationReport): string {
  const surface = tolerance !== undefined;
  const rows = ranked.slice(0, MOST_ROWS).map(({ caseId, meanDice, worstKey, worstDice, metrics }) => {
    const distances = [...metrics.surfaces?.values() ?? []].map(({ HD95 }) => HD95).filter((one) => !Number.isNaN(one));
    const distance = surface ? `<td>${shown(distances.reduce((a, b) => Math.max(a, b), 0))}</td>` : "";
    return `<tr><td>${escapeHtml(caseId)}</td><td>${shown(meanDice)}</td><td>${shown(worstDice)}</td><td>${
      escapeHtml(nameOf(worstKey, names))
    }</td>${distance}</tr>`;
  });
  const more = ranked.length > MOST_ROWS
    ? `<p class="empty">${ranked.length - MOST_ROWS} better cases are left out.</p>`
    : "";
  return `<section class="card"><h2>All cases, the worst first</h2>
<div class="wide"><table><tr><th>case</th><th>mean Dice</th><th>lowest Dice</th><th>of label</th>${
    surface ? "<th>largest HD95 (mm)</th>" : ""
  }</tr>
${rows.join("\n")}</table></div>${more}</section>`;
}

function definitions(tolerance: number | undefined): string {
  const dice =
    "Means of a case are over the labels that are in its truth or prediction. Box: quartiles; line: median; dots: cases.";
  if (tolerance === undefined) return dice;
  return `${dice} Surface Dice as defined by DeepMind's surface-distance; HD95 (95 % Hausdorff distance) and ASSD (average symmetric ` +
    "surface distance) as by MONAI; infinite where a label is in one of the two only.";
}

function nameOf(key: string, names: ReadonlyMap<string, string>): string {
  return [key, names.get(key)].filter(Boolean).join(" ");
}

function shown(value: number): string {
  if (Number.isNaN(value)) return "–";
  return Number.isFinite(value) ? value.toFixed(4) : "∞";
}

/** Regions have the colour of their first label, which tells apart those that lie in each other as they are usually written. */
function cssColour({ labels }: Pick<Target, "labels">): string {
  const label = labels[0] ?? 0;
  return label > 0 ? `rgb(${labelColour(label).join(", ")})` : "#888";
}

function swatch(target: Pick<Target, "labels">): string {
  return `<i style="background: ${cssColour(target)}"></i>`;
}

const STYLE = `
.wide { overflow-x: auto; } .pictures { display: grid; gap: 18px; } .pictures img { width: auto; max-width: 100%; background: #000; }
figcaption { margin: 0 0 4px; } .card > .wide { margin-top: 10px; } header p { overflow-wrap: anywhere; }
`;
