/**
 * Loads training and validation samples: draws case, box and augmentation, reads the box, and prepares what the network takes. What a
 * sample is depends on its name (seed, phase, epoch, iteration, place in the batch) and on nothing else.
 */
import { plural } from "../../base/plural.ts";
import { UserError } from "../../base/errors.ts";
import { createRandomStream, type RandomStream } from "../../base/random_stream.ts";
import type { Vec3 } from "../../base/shape.ts";
import { copyIntoBox, emptyBox } from "../../formats/preprocessed/training_box.ts";
import { type StoredCase, trainingBytes } from "../../formats/preprocessed/training_data.ts";
import { openPreprocessedCase } from "../../preprocess/training_case_reader.ts";
import { augmentSample, validationSample } from "../augment/augment_sample.ts";
import { drawAugmentation } from "../augment/draw_augmentation.ts";
import { createAugmentationBuffers, type LoadedPatch } from "../augment/sample.ts";
import { chooseCase, choosePatch, isForegroundForced, type PatchRules, STREAM } from "../augment/sample_choice.ts";
import type { AugmentationSpec } from "../augment/spec.ts";
import { readPreviousStage } from "../../preprocess/predicted_previous_stage.ts";

/** What all samples have in common; plain data, sent to a thread once. */
export interface SampleSetting {
  /** Preprocessed cases of the configuration. */
  readonly folder: string;
  /** Cascade: predictions of the previous stage for this configuration. */
  readonly previousFolder?: string;
  readonly train: readonly string[];
  readonly val: readonly string[];
  readonly spec: AugmentationSpec;
  readonly batch: number;
  readonly foregroundShare: number;
  readonly hasIgnoreLabel: boolean;
  readonly seed: number;
  /** Opened cases are kept up to this many bytes, and this many cases. */
  readonly cacheBytes: number;
  readonly openCases: number;
}

export type Phase = "train" | "val";

/** Names a sample. */
export interface SampleName {
  readonly phase: Phase;
  readonly epoch: number;
  readonly iteration: number;
  /** Place in the batch. */
  readonly sample: number;
}

/** What TrainingEngine.setSample takes. */
export interface Sample {
  readonly caseId: string;
  readonly image: Float32Array;
  readonly labels: Int16Array;
}

export interface SampleLoader extends Disposable {
  /** One at a time. @throws UserError naming the case */
  load(name: SampleName): Promise<Sample>;
}

interface OpenCase {
  readonly stored: StoredCase;
  readonly previous?: Int16Array;
  readonly bytes: number;
}

export function createSampleLoader(setting: SampleSetting): SampleLoader {
  const { spec, seed, batch } = setting;
  const buffers = createAugmentationBuffers(spec);
  const cases = createCaseCache(setting);

  async function read(id: string, name: SampleName, stream: RandomStream): Promise<LoadedPatch> {
    const { stored, previous } = await cases.open(id);
    const isTraining = name.phase === "train";
    const rules: PatchRules = {
      dimensions: spec.dimensions,
      patch: spec.patch,
      loadPatch: isTraining ? spec.loadPatch : spec.patch,
      hasIgnoreLabel: setting.hasIgnoreLabel,
    };
    const forced = isForegroundForced(name.sample, batch, setting.foregroundShare);
    const { origin, size } = choosePatch(stream, rules, stored.grid, stored.classLocations, forced);
    const box = await stored.readBox(origin, size);
    return {
      image: box.image,
      labels: new Int16Array(box.segmentation),
      ...(previous && { previous: cut(previous, stored.grid, origin, size) }),
      size,
    };
  }
  const streamOf = ({ epoch, iteration, sample }: SampleName, purpose: number) =>
    createRandomStream({ seed, epoch, iteration, sample, purpose });
  const drawn = (name: SampleName) =>
    drawAugmentation(streamOf(name, STREAM.augmentation), spec, streamOf({ ...name, sample: 0 }, STREAM.batch));

  return {
    async load(name) {
      const { phase } = name;
      const stream = streamOf(name, phase === "train" ? STREAM.trainingSample : STREAM.validationSample);
      const ids = setting[phase];
      const caseId = ids[chooseCase(stream, ids.length)];
      try {
        const loaded = await read(caseId, name, stream);
        const { image, labels } = phase === "train"
          ? augmentSample(spec, loaded, drawn(name), buffers)
          : validationSample(spec, loaded, buffers);
        return { caseId, image: image.slice(), labels: labels.slice() };
      } catch (error) {
        if (error instanceof UserError && error.parts.caseId === undefined) throw error.withCase(caseId);
        throw error;
      }
    },
    [Symbol.dispose]: () => cases[Symbol.dispose](),
  };
}

/** The box of a label map, -1 where it reaches over the border. */
function cut(labels: Int16Array, grid: Vec3, origin: Vec3, size: Vec3): Int16Array {
  const box = emptyBox(0, size, "int16");
  copyIntoBox({ image: new Float32Array(0), segmentation: labels }, 0, [0, 0, 0], grid, box, origin, size);
  return box.segmentation as Int16Array;
}

interface CaseCache extends Disposable {
  open(id: string): Promise<OpenCase>;
}

/** Opened cases, those longest unused closed first. */
function createCaseCache(setting: SampleSetting): CaseCache {
  const opened = new Map<string, OpenCase>();
  let bytes = 0;

  function close(id: string, one: OpenCase): void {
    one.stored[Symbol.dispose]();
    opened.delete(id);
    bytes -= one.bytes;
  }
  return {
    async open(id) {
      let one = opened.get(id);
      if (one) opened.delete(id);
      else {
        one = await openCase(setting, id);
        bytes += one.bytes;
      }
      opened.set(id, one); // behind all others
      for (const [other, old] of opened) {
        if (other === id || (opened.size <= setting.openCases && bytes <= setting.cacheBytes)) break;
        close(other, old);
      }
      return one;
    },
    [Symbol.dispose]: () => opened.forEach((one, id) => close(id, one)),
  };
}

async function openCase({ folder, previousFolder, spec }: SampleSetting, id: string): Promise<OpenCase> {
  const stored = await openPreprocessedCase(folder, id);
  try {
    if (stored.channels !== spec.channels) {
      throw new UserError({
        doing: "reading the preprocessed case",
        caseId: id,
        file: stored.file,
        problem: `it has ${plural(stored.channels, "channel")}, dataset.json and plans name ${spec.channels}`,
        remedy: "run preprocess again",
      });
    }
    const previous = previousFolder === undefined
      ? undefined
      : await readPreviousStage(previousFolder, id, stored.grid);
    const located = stored.classLocations.reduce((sum, { voxels }) => sum + voxels.byteLength, 0);
    // An npz is held whole.
    const held = stored.file.endsWith(".npz") ? trainingBytes(stored.grid, stored.channels) : 0;
    return {
      stored,
      ...(previous && { previous }),
      bytes: located + held + (previous?.byteLength ?? 0),
    };
  } catch (error) {
    stored[Symbol.dispose]();
    throw error;
  }
}
