/** How a metric is distributed over cases, class by class: each case a dot, quartiles a box, the median a line. SVG text. */
import { escapeHtml } from "../../base/html.ts";
import type { MetricKind } from "../class_statistics.ts";
import { type CaseValue, describeValues } from "../statistics.ts";

export interface DistributionRow {
  readonly name: string;
  readonly colour: string;
  readonly values: readonly CaseValue[];
}

const WIDTH = 1000;
const LEFT = 190;
const RIGHT = 60;
const ROW = 30;
const TOP = 8;
const BOTTOM = 30;
/** Of a class with more cases only those far from the others are dots. */
const MOST_DOTS = 300;
/** Letters of a name that have room beside the plot. */
const NAME_LENGTH = 24;

/** Lines and letters take the page's colour, so that they show on any background. */
export function distributionSvg(kind: MetricKind, rows: readonly DistributionRow[]): string {
  const height = TOP + ROW * rows.length + BOTTOM;
  const scale = valueScale(kind, rows);
  const bottom = height - BOTTOM;
  const ticks = scale.ticks.map((tick) => {
    const x = scale.place(tick).toFixed(1);
    return `<line x1="${x}" x2="${x}" y1="${TOP}" y2="${bottom}" class="grid"/>` +
      `<text x="${x}" y="${bottom + 18}" text-anchor="middle">${tick.toPrecision(4).replace(/\.?0+$/, "")}</text>`;
  });
  const drawn = rows.map((row, i) => drawRow(kind, row, TOP + ROW * (i + 0.5), scale));
  return `<svg class="distribution" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${
    escapeHtml(kind.title)
  } by class">${ticks.join("")}${drawn.join("\n")}</svg>`;
}

/** The rules of {@link distributionSvg}, for the page's style. */
export const DISTRIBUTION_STYLE = `
.distribution text { font-size: 13px; fill: currentColor; } .distribution .grid { stroke: currentColor; stroke-opacity: .15; }
.distribution .median { stroke: currentColor; stroke-width: 2; } .distribution circle { stroke: currentColor; stroke-opacity: .35; }
`;

interface Scale {
  readonly ticks: readonly number[];
  /** Pixels; infinite values stand behind the plot. */
  readonly place: (value: number) => number;
}

/** Dice ends at 1; distances begin at 0. */
function valueScale({ worse }: MetricKind, rows: readonly DistributionRow[]): Scale {
  let [least, most] = [Infinity, -Infinity];
  for (const { values } of rows) {
    for (const { value } of values) {
      if (!Number.isFinite(value)) continue;
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
  }
  const [from, to] = worse === "small" ? [Math.min(least, 0.95), 1] : [0, most > 0 ? most : 1];
  const step = niceStep((to - from) / 6);
  const low = Math.floor(from / step + 1e-9) * step;
  const high = Math.max(worse === "small" ? 1 : Math.ceil(to / step - 1e-9) * step, low + step);
  const ticks = Array.from({ length: Math.floor((high - low) / step + 1e-9) + 1 }, (_, i) => low + i * step);
  const plot = WIDTH - LEFT - RIGHT;
  return {
    ticks,
    place: (value) => Number.isFinite(value) ? LEFT + plot * (value - low) / (high - low) : WIDTH - RIGHT / 2,
  };
}

/** The next of 1, 2, 5, 10, ... times a power of ten. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10);
}

function drawRow(
  { worse }: MetricKind,
  { name, colour, values }: DistributionRow,
  y: number,
  { place }: Scale,
): string {
  const { median, quartiles: [lower, upper], infinite } = describeValues(values, worse);
  const shown = name.length > NAME_LENGTH ? `${name.slice(0, NAME_LENGTH - 1)}…` : name;
  const parts = [
    `<text x="${LEFT - 14}" y="${y + 4.5}" text-anchor="end">${escapeHtml(shown)}<title>${
      escapeHtml(name)
    }</title></text>`,
  ];
  if (!Number.isNaN(median)) {
    const [left, right, middle] = [place(lower), place(upper), place(median)].map((x) => x.toFixed(1));
    const width = Math.max(1, Number(right) - Number(left)).toFixed(1);
    parts.push(
      `<rect x="${left}" y="${y - 9}" width="${width}" height="18" rx="3" fill="${colour}" fill-opacity=".28"/>`,
      `<line class="median" x1="${middle}" x2="${middle}" y1="${y - 10}" y2="${y + 10}"/>`,
    );
  }
  const margin = 1.5 * (upper - lower);
  const far = ({ value }: CaseValue) => !(value >= lower - margin && value <= upper + margin);
  const known = values.filter(({ value }) => !Number.isNaN(value));
  const dots = known.length > MOST_DOTS ? known.filter(far).slice(0, MOST_DOTS) : known;
  dots.forEach(({ caseId, value }, i) => {
    // Beside each other where values are alike.
    const shift = (i * 0.618034 % 1 - 0.5) * 14;
    const text = escapeHtml(`${caseId}: ${Number.isFinite(value) ? value.toFixed(4) : "infinite"}`);
    parts.push(
      `<circle cx="${place(value).toFixed(1)}" cy="${
        (y + shift).toFixed(1)
      }" r="3.5" fill="${colour}"><title>${text}</title></circle>`,
    );
  });
  if (infinite > 0) {
    parts.push(`<text x="${WIDTH - RIGHT / 2 + 8}" y="${y + 4.5}">∞<title>in one of the two only</title></text>`);
  }
  return parts.join("");
}
