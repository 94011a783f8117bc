/** Line charts over epochs as SVG text, drawn by Vega from data alone: no canvas, no document, no network. */
import { parse, type Spec, View } from "vega";

/** One line; NaN leaves a gap. Value i belongs to epoch i + 1: epochs are counted from 1. */
export interface Line {
  /** For the legend; empty: the line is not in it. */
  readonly name: string;
  readonly colour: string;
  readonly values: readonly number[];
  readonly width?: number;
  /** Lengths of dashes and gaps. */
  readonly dash?: readonly number[];
}

/** The lines of one vertical axis. */
export interface Axis {
  readonly title: string;
  readonly lines: readonly Line[];
  /** True: the axis begins at 0. */
  readonly zero?: boolean;
}

export interface Panel {
  readonly left: Axis;
  readonly right?: Axis;
  /** Pixels of the plot, without its axes. */
  readonly height: number;
}

/** Family of the text: the program's own font where a picture is made, the reader's where the SVG is shown. */
export const CHART_FONT = "Plot Sans, DejaVu Sans, Verdana, sans-serif";

const MARGIN = { left: 94, right: 26, rightAxis: 72, legend: 38, top: 8, bottom: 58 };
/** Pixels from the plot to its axes' titles, so that titles of panels stand below each other. */
const AXIS_EXTENT = 46;
const PLOT = "#f3f4f8";
const GRID = "#ffffff";
const INK = "#333a48";
const LEGEND_SYMBOL = 26;
const LABEL_SIZE = 13;
const TITLE_SIZE = 15;
/** Mean advance of a letter in ems; legends are laid out by it, as nothing here can measure text. */
const LETTER = 0.6;

type Fragment = Record<string, unknown>;

/** Panels below each other. `width` is the whole picture's, in pixels. @returns SVG text */
export async function chartSvg(panels: readonly Panel[], width: number): Promise<string> {
  const twin = panels.some(({ right }) => right);
  const plotWidth = width - MARGIN.left - (twin ? MARGIN.rightAxis : MARGIN.right);
  const epochs = Math.max(
    1,
    ...panels.map((panel) => linesOf(panel).reduce((n, { values }) => Math.max(n, values.length), 0)),
  );
  let top = 0;
  const marks = panels.map((panel) => {
    top += linesOf(panel).some(({ name }) => name !== "") ? MARGIN.legend : MARGIN.top;
    const mark = panelMark(panel, plotWidth, top, epochs);
    top += panel.height + MARGIN.bottom;
    return mark;
  });
  const spec = { width, height: top, padding: 0, background: "#ffffff", config: { font: CHART_FONT }, marks };
  const view = new View(parse(spec as unknown as Spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

function linesOf({ left, right }: Panel): readonly Line[] {
  return [...left.lines, ...right?.lines ?? []];
}

function panelMark(panel: Panel, width: number, y: number, epochs: number): Fragment {
  const { left, right, height } = panel;
  const epochScale = { name: "epoch", domain: [1, Math.max(2, epochs)], range: [0, width], zero: false };
  const text = {
    labelFontSize: LABEL_SIZE,
    labelColor: INK,
    titleFontSize: TITLE_SIZE,
    titleColor: INK,
    titleFontWeight: "normal",
  };
  const plain = { ...text, domain: false, ticks: false, labelPadding: 8 };
  const grid = { grid: true, gridColor: GRID, gridWidth: 1.5, zindex: 0 };
  const axes = [
    {
      ...plain,
      ...grid,
      orient: "bottom",
      scale: "epoch",
      title: "epoch",
      tickCount: Math.min(10, epochs),
      tickMinStep: 1,
      format: "d",
    },
    { ...plain, ...grid, orient: "left", scale: "left", title: left.title, tickCount: 8, minExtent: AXIS_EXTENT },
    ...(right
      ? [{ ...plain, orient: "right", scale: "right", title: right.title, tickCount: 8, minExtent: AXIS_EXTENT }]
      : []),
  ];
  return {
    type: "group",
    encode: {
      enter: {
        x: { value: MARGIN.left },
        y: { value: y },
        width: { value: width },
        height: { value: height },
        fill: { value: PLOT },
      },
    },
    // Grid lines are as long as these say, which otherwise are the whole picture's.
    signals: [{ name: "width", value: width }, { name: "height", value: height }],
    scales: [epochScale, valueScale("left", left, height), ...(right ? [valueScale("right", right, height)] : [])],
    axes,
    marks: [
      ...legendMarks(linesOf(panel)),
      ...left.lines.flatMap((line) => lineMarks(line, "left")),
      ...(right?.lines ?? []).flatMap((line) => lineMarks(line, "right")),
    ],
  };
}

function valueScale(name: string, { lines, zero }: Axis, height: number): Fragment {
  let [low, high] = [Infinity, -Infinity];
  for (const { values } of lines) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) [low, high] = [0, 1];
  const pad = 0.05 * (high - low) || 0.05 * Math.abs(high) || 0.5;
  const domain = [zero ? 0 : low - pad, high + pad];
  return { name, domain, range: [height, 0], zero: false };
}

function lineMarks({ values, colour, width = 3, dash }: Line, scale: string): Fragment[] {
  const data = values.map((value, i) => ({ epoch: i + 1, value, shown: Number.isFinite(value) }));
  const place = { x: { scale: "epoch", field: "epoch" }, y: { scale, field: "value" } };
  const stroke = {
    stroke: { value: colour },
    strokeWidth: { value: width },
    strokeJoin: { value: "round" },
    strokeCap: { value: "round" },
  };
  const line = {
    type: "line",
    from: { data: "line" },
    encode: {
      enter: { ...place, ...stroke, defined: { field: "shown" }, ...(dash && { strokeDash: { value: dash } }) },
    },
  };
  // A value between two gaps has no line: it is shown as a point.
  const alone = data.filter(({ shown }, i) => shown && !data[i - 1]?.shown && !data[i + 1]?.shown);
  const points = {
    type: "symbol",
    from: { data: "alone" },
    encode: { enter: { ...place, size: { value: 40 }, fill: { value: colour } } },
  };
  return [{
    type: "group",
    encode: { enter: { fill: { value: "transparent" } } },
    data: [{ name: "line", values: data }, { name: "alone", values: alone }],
    marks: [line, points],
  }];
}

/** Names of the lines above the plot, each behind a piece of its line. */
function legendMarks(lines: readonly Line[]): Fragment[] {
  let x = 0;
  return lines.filter(({ name }) => name !== "").flatMap(({ name, colour, width = 3, dash }) => {
    const at = x;
    x += LEGEND_SYMBOL + 8 + name.length * TITLE_SIZE * LETTER + 24;
    const rule = {
      x: { value: at },
      x2: { value: at + LEGEND_SYMBOL },
      y: { value: -16 },
      stroke: { value: colour },
      strokeWidth: { value: width },
      ...(dash && { strokeDash: { value: dash } }),
    };
    const label = {
      x: { value: at + LEGEND_SYMBOL + 8 },
      y: { value: -16 },
      text: { value: name },
      baseline: { value: "middle" },
      fontSize: { value: TITLE_SIZE },
      fill: { value: INK },
      font: { value: CHART_FONT },
    };
    return [{ type: "rule", encode: { enter: rule } }, { type: "text", encode: { enter: label } }];
  });
}
