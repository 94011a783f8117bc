/**
 * The log of a training, training_log_Y_M_D_hh_mm_ss.txt, in upstream's form: each line with its time, each text followed by a space.
 * Source: print_to_log_file of nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1).
 */
import { writeError } from "../base/files.ts";
import { pythonFloat } from "../base/json.ts";
import { join } from "../base/path.ts";
import type { EpochRecord } from "./training_log.ts";

export interface LogFile {
  readonly path: string;
  /** Adds a line. @throws UserError if it can't be written */
  say(text: string): void;
  /** Adds text without a time. */
  sayPlainly(text: string): void;
}

const CITATION = `
#######################################################################
Please cite the following paper when using nnU-Net:
Isensee, F., Jaeger, P. F., Kohl, S. A., Petersen, J., & Maier-Hein, K. H. (2021). nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation. Nature methods, 18(2), 203-211.
#######################################################################
`;

/** Opens the log of a training that starts now; the file is made with its first lines. */
export function createLogFile(folder: string, now: Date): LogFile {
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map(twoDigits).join("_");
  const name = `training_log_${now.getFullYear()}_${now.getMonth() + 1}_${now.getDate()}_${time}.txt`;
  const path = join(folder, name);
  const append = (text: string) => {
    try {
      Deno.writeTextFileSync(path, `${text} \n`, { append: true });
    } catch (error) {
      throw writeError(error, path, "writing the training log");
    }
  };
  append(CITATION);
  return {
    path,
    say: (text) => append(`${timestamp(new Date())}: ${text}`),
    sayPlainly: append,
  };
}

/** True for the names of logs. */
export function isLogFile(name: string): boolean {
  return /^training_log_.*\.txt$/.test(name);
}

/** Upstream's lines at the end of an epoch. */
export function epochLines({ trainLoss, validationLoss, classDice, start, end }: EpochRecord): string[] {
  return [
    `train_loss ${rounded(trainLoss, 4)}`,
    `val_loss ${rounded(validationLoss, 4)}`,
    `Pseudo dice [${classDice.map((dice) => rounded(dice, 4)).join(", ")}]`,
    `Epoch time: ${rounded(end - start, 2)} s`,
  ];
}

/** numpy's text of a rounded number. */
export function rounded(value: number, decimals: number): string {
  return Number.isNaN(value) ? "nan" : pythonFloat(Number(value.toFixed(decimals)));
}

function timestamp(now: Date): string {
  const date = [now.getFullYear(), twoDigits(now.getMonth() + 1), twoDigits(now.getDate())].join("-");
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map(twoDigits).join(":");
  return `${date} ${time}.${String(now.getMilliseconds()).padStart(3, "0")}000`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
