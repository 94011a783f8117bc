/**
 * progress.png of a training: losses with pseudo Dice, epoch durations, learning rate, one below the other. Source:
 * plot_progress_png in nnunetv2/training/logging/nnunet_logger.py.
 */
import { chartSvg, type Line, type Panel } from "./chart.ts";
import type { Rasterise } from "./rasterise.ts";
import type { TrainingLog } from "../training_log.ts";

const BLUE = "#3867c8";
const RED = "#cf3f4a";
const GREEN = "#2f9e5b";
/** Pixels; upstream's picture is 3000 x 5400. */
const WIDTH = 1500;
/** The chart is laid out this wide and then enlarged. */
const LAYOUT_WIDTH = 1000;
const PANEL_HEIGHT = 480;

/** Training and validation loss on the left axis, pseudo Dice on the right. */
export function lossPanel(log: TrainingLog, height: number): Panel {
  const losses: Line[] = [
    { name: "loss_tr", colour: BLUE, values: log.map(({ trainLoss }) => trainLoss) },
    { name: "loss_val", colour: RED, values: log.map(({ validationLoss }) => validationLoss) },
  ];
  const dice: Line[] = [
    { name: "pseudo dice", colour: GREEN, values: log.map(({ meanDice }) => meanDice), width: 2, dash: [2, 5] },
    { name: "pseudo dice (mov. avg.)", colour: GREEN, values: log.map(({ emaDice }) => emaDice) },
  ];
  return { left: { title: "loss", lines: losses }, right: { title: "pseudo dice", lines: dice }, height };
}

export function durationPanel(log: TrainingLog, height: number): Panel {
  const values = log.map(({ start, end }) => end - start);
  return { left: { title: "time [s]", lines: [{ name: "epoch duration", colour: BLUE, values }], zero: true }, height };
}

export function learningRatePanel(log: TrainingLog, height: number): Panel {
  const values = log.map(({ learningRate }) => learningRate);
  return { left: { title: "learning rate", lines: [{ name: "learning rate", colour: BLUE, values }] }, height };
}

/** The bytes of progress.png. */
export async function progressPng(log: TrainingLog, rasterise: Rasterise): Promise<Uint8Array> {
  const panels = [lossPanel, durationPanel, learningRatePanel].map((panel) => panel(log, PANEL_HEIGHT));
  return rasterise(await chartSvg(panels, LAYOUT_WIDTH), WIDTH);
}
