/** How many training steps are on their way to a GPU before results are waited for, and what their batches take meanwhile. */
import { voxelCount } from "../base/shape.ts";
import type { TrainingEngine } from "../engine/training.ts";
import type { TrainingSetup } from "./setup.ts";

/** When the results of steps are asked for, and waited for. */
export interface StepsAhead {
  /** Of the step that is enqueued next: how many before it may be unsettled then, and whether its result may come with a later one's. */
  next(): { readonly unsettled: number; readonly later: boolean };
}

/** Steps of a GPU whose results come together: at most so many, of about so many seconds, and two at least. */
const [MOST_TOGETHER, SECONDS_TOGETHER] = [8, 1];
/** What the batches of two such groups may take, which wait for their steps on the way to the GPU. */
const BYTES_ON_THE_WAY = 256 * 2 ** 20;

type SampleShape = Pick<TrainingSetup, "augmentation" | "inputChannels">;

/** Bytes of a sample as it is handed to the engine: the image as float32, labels as int16. */
export function sampleBytesOf({ augmentation: { spec }, inputChannels }: SampleShape): number {
  return voxelCount(spec.patch) * (4 * inputChannels + 2);
}

export const batchBytesOf = (setup: SampleShape & Pick<TrainingSetup, "batch">) => setup.batch * sampleBytesOf(setup);

/** The most that batches take on their way to a GPU, by {@link stepsAhead}; a CPU's are copied at once. */
export const bytesOnTheWay = (kind: TrainingEngine["kind"], batchBytes: number, scaled: boolean) =>
  kind === "cpu" ? 0 : 2 * (scaled ? 1 : mostTogether(batchBytes)) * batchBytes;

const mostTogether = (batchBytes: number) =>
  Math.max(2, Math.min(MOST_TOGETHER, Math.floor(BYTES_ON_THE_WAY / 2 / batchBytes)));

/**
 * One step runs while another is enqueued. A GPU is asked for results every few steps only: that holds this thread until nothing is left to
 * do, and they are here 10 ms after; by then the next ones are enqueued. With a loss scale, which a step's result decides, each counts.
 */
export function stepsAhead(kind: TrainingEngine["kind"], batchBytes: number, scaled: boolean): StepsAhead {
  const alone = kind === "cpu" || scaled;
  let together = alone ? 1 : 2;
  let [before, enqueued] = [0, 0];
  let start = performance.now();
  return {
    next() {
      if (enqueued === together) {
        const seconds = (performance.now() - start) / 1000 / together;
        [before, enqueued] = [enqueued, 0];
        if (!alone) {
          together = Math.max(
            2,
            Math.min(mostTogether(batchBytes), 2 * together, Math.floor(SECONDS_TOGETHER / seconds)),
          );
        }
        start = performance.now();
      }
      enqueued++;
      return { unsettled: before + enqueued - 1, later: enqueued < together };
    },
  };
}
