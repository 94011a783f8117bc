/** Readers of images, checkpoints, arrays and preprocessed cases. */
import { join } from "../../core/base/path.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { splitNifti, volumesOfNifti } from "../../core/formats/image/nifti/split_volumes.ts";
import { openNpy } from "../../core/formats/archive/npy_file.ts";
import { b2ndArray, openB2nd } from "../../core/formats/blosc2/b2nd_file.ts";
import { readNpz } from "../../core/formats/archive/npz.ts";
import { writeBricks } from "../../core/formats/preprocessed/bricks.ts";
import { writeNpyCase, writeNpzCase } from "../../core/formats/preprocessed/npy_case.ts";
import type { TrainingData } from "../../core/formats/preprocessed/training_data.ts";
import type { ImageGeometry } from "../../core/formats/image/image.ts";
import type { ImageFormat } from "../../core/formats/image/image_format.ts";
import { filesOfImage, READERS } from "../../core/formats/image/readers.ts";
import { probeImage, readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { unpickle } from "../../core/formats/torch/pickle.ts";
import { toPlain } from "../../core/formats/torch/pickle_plain.ts";
import { openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { openModel } from "../../core/predict/model/model_folder.ts";
import { readPreviousStage } from "../../core/preprocess/predicted_previous_stage.ts";
import { openPreprocessedCase } from "../../core/preprocess/training_case_reader.ts";
import { ITK_FORMATS, itkCases, unpackFiles } from "../golden/itk_cases.ts";
import { CHECKPOINTS, openUpstream } from "../golden/training_checkpoint/write_checkpoint.ts";
import { bmpTarget } from "./bmp_target.ts";
import type { Files } from "./mutate_files.ts";
import { type Attempt, filesIn, golden, goldenFiles, MODEL, type Target } from "./target.ts";
import { tiffTargets } from "./tiff_targets.ts";

const NIFTI_READERS = ["SimpleITKIO", "NibabelIO", "NibabelIOWithReorient"] as const;

async function readNifti(file: string, attempt: Attempt): Promise<void> {
  for (const reader of NIFTI_READERS) {
    await attempt(() => readCase(reader, [file]));
    await attempt(() => probeImage(reader, file));
  }
  await attempt(() => readLabels("SimpleITKIO", file));
}

/** Formats with targets of their own: NIfTI, whose headers three readers take each in its own way, and those of packed golden files. */
const OWN_TARGETS = ["NIfTI", "NRRD", "MetaImage", "GIPL", "TIFF", "BMP"];
const OTHER_FORMATS = [...new Set(READERS.flatMap(({ formats }) => formats))]
  .filter(({ name }) => !OWN_TARGETS.includes(name));

/** Its golden files, which lie in a folder named after its usual ending, with the reader classes that take it. */
function otherFormat(format: ImageFormat): Target {
  const [ending] = format.endings;
  const readers = READERS.filter(({ formats }) => formats.includes(format)).map(({ name }) => name);
  return {
    name: ending.slice(1),
    seeds: () => Promise.resolve(goldenFiles(`headers/${ending.slice(1)}`, new RegExp(`\\${ending}$`), `a${ending}`)),
    async read(folder, attempt) {
      const file = join(folder, `a${ending}`);
      for (const reader of readers) {
        await attempt(() => readCase(reader, [file]));
        await attempt(() => probeImage(reader, file));
        await attempt(() => readLabels(reader, file));
      }
    },
  };
}

/** Formats that SimpleITK alone reads; a case may be several files, of which that called `a` is read. */
function itkFormat(format: string): Target {
  return {
    name: format,
    seeds: () => {
      const seeds = Object.values(itkCases(format)).map(({ files }) => unpackFiles(files));
      return Promise.resolve(seeds.filter((files) => Object.keys(files).every((name) => !name.includes("/"))));
    },
    async read(folder, attempt) {
      for await (const { name } of Deno.readDir(folder)) {
        if (!ITK_NAMES.test(name)) continue;
        const file = join(folder, name);
        await attempt(() => readCase("SimpleITKIO", [file]));
        await attempt(() => readLabels("SimpleITKIO", file));
        await attempt(() => probeImage("SimpleITKIOWithReorient", file));
        await attempt(() => filesOfImage(file));
      }
    },
  };
}

const ITK_NAMES = /^a\.(nrrd|nhdr|mha|mhd|gipl|gipl\.gz)$/i;

export const imageTargets: readonly Target[] = [
  {
    name: "nifti_packed",
    seeds: () => Promise.resolve(goldenFiles("headers/nii", /\.nii\.gz$/, "a.nii.gz")),
    async read(folder, attempt) {
      await readNifti(join(folder, "a.nii.gz"), attempt);
      await attempt(() => volumesOfNifti(join(folder, "a.nii.gz"), "splitting"));
      await attempt(() => splitNifti(join(folder, "a.nii.gz"), (i) => join(folder, `out${i}.nii.gz`), "splitting"));
    },
  },
  {
    name: "nifti",
    seeds: () => Promise.resolve(goldenFiles("headers/nii", /\.nii$/, "a.nii")),
    read: (folder, attempt) => readNifti(join(folder, "a.nii"), attempt),
  },
  {
    name: "nifti_pair",
    seeds: () => {
      const whole = goldenFiles("headers/nii", /\.hdr$/, "a.hdr");
      const images = goldenFiles("headers/nii", /\.img$/, "a.img");
      return Promise.resolve(whole.map((header, i) => ({ ...header, ...images[i % images.length] })));
    },
    read: (folder, attempt) => readNifti(join(folder, "a.hdr"), attempt),
  },
  ...ITK_FORMATS.map(itkFormat),
  ...OTHER_FORMATS.map(otherFormat),
  ...tiffTargets,
  bmpTarget,
];

export const torchTargets: readonly Target[] = [
  {
    name: "pickle",
    seeds: () =>
      Promise.resolve([
        ...goldenFiles("checkpoints", /^values.*\.pkl$/, "a.pkl"),
        ...goldenFiles("properties", /\.pkl$/, "a.pkl"),
      ]),
    async read(folder, attempt) {
      const file = join(folder, "a.pkl");
      const bytes = await Deno.readFile(file);
      await attempt(() => toPlain(unpickle(bytes, { file, doing: "reading" }).value));
    },
  },
  {
    name: "checkpoint",
    seeds: () => Promise.resolve(goldenFiles("checkpoints", /\.pth$/, "a.pth", 10_000).filter(isWholeZip)),
    async read(folder, attempt) {
      await attempt(async () => {
        using checkpoint = await openCheckpoint(join(folder, "a.pth"));
        for (const tensor of checkpoint.weights.values()) await attempt(() => tensor.read());
        for (const [name, value] of checkpoint.members) checkpoint.tensor(value, String(name));
      });
    },
  },
  {
    name: "training_checkpoint",
    seeds: () =>
      Promise.resolve(
        Object.keys(CHECKPOINTS).map((name) => ({ [`${name}.pth`]: golden(`training_checkpoint/${name}.pth`) })),
      ),
    async read(folder, attempt) {
      for await (const { name } of Deno.readDir(folder)) {
        await attempt(() => openUpstream(name.replace(/\.pth$/, ""), join(folder, name)));
      }
    },
  },
  {
    name: "model",
    seeds: () =>
      Promise.resolve([{
        "plans.json": golden(`${MODEL}/plans.json`),
        "dataset.json": golden(`${MODEL}/dataset.json`),
        "checkpoint_final.pth": golden(`${MODEL}/fold_0/checkpoint_final.pth`),
      }]),
    async read(folder, attempt) {
      await Deno.mkdir(join(folder, "fold_0"));
      await Deno.rename(join(folder, "checkpoint_final.pth"), join(folder, "fold_0", "checkpoint_final.pth"));
      const options = { folds: ["0"], checkpointName: "checkpoint_final.pth", assumePlansNetwork: false };
      await attempt(async () => (await openModel(folder, options))[Symbol.dispose]());
    },
  },
];

/** Legacy files are no zip. */
function isWholeZip(files: Files): boolean {
  return Object.values(files).every((bytes) => bytes[0] === 0x50 && bytes[1] === 0x4b);
}

const GRID: Vec3 = [3, 4, 5];

function trainingData(geometry: ImageGeometry): TrainingData {
  const voxels = 60;
  return {
    image: Float32Array.from({ length: 2 * voxels }, (_, i) => i),
    channels: 2,
    grid: GRID,
    segmentation: Int8Array.from({ length: voxels }, (_, i) => i % 3 - 1),
    classLocations: [
      { key: { kind: "label", labels: [1] }, voxels: Uint32Array.of(5, 3, voxels - 1) },
      { key: { kind: "region", labels: [1, 2] }, voxels: Uint32Array.of(7) },
    ],
    properties: {
      geometry,
      shapeBeforeCropping: [4, 5, 6],
      boundingBox: [[0, 3], [1, 5], [1, 6]],
      shapeAfterCropping: GRID,
    },
  };
}

const SITK: ImageGeometry = {
  reader: "SimpleITKIO",
  spacing: [1, 2, 3],
  shape: [4, 5, 6],
  sitk: { spacing: [3, 2, 1], origin: [0, 1, 2], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] },
};
const AFFINE = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] as const;
const NIBABEL: ImageGeometry = {
  reader: "NibabelIOWithReorient",
  spacing: [1, 2, 3],
  shape: [4, 5, 6],
  nibabel: { originalAffine: AFFINE, reorientedAffine: AFFINE },
};
const GEOMETRIES = [SITK, NIBABEL];

async function readStored(folder: string, attempt: Attempt): Promise<void> {
  await attempt(async () => {
    using stored = await openPreprocessedCase(folder, "a");
    await attempt(() => stored.readBox([0, 0, 0], [4, 5, 6]));
    await attempt(() => stored.readBox([-1, 2, 1], [3, 3, 3]));
  });
}

export const preprocessedTargets: readonly Target[] = [
  {
    name: "bricks",
    seeds: (folder) =>
      Promise.all(GEOMETRIES.map(async (geometry, i) => {
        const file = join(folder, `${i}.bricks`);
        await writeBricks(file, trainingData(geometry), 3);
        return { "a.bricks": await Deno.readFile(file) };
      })),
    read: readStored,
  },
  {
    name: "npz_case",
    async seeds(folder) {
      const seeds: Files[] = [];
      for (const geometry of GEOMETRIES) {
        await writeNpzCase(join(folder, "a"), trainingData(geometry));
        seeds.push(await filesIn(folder));
      }
      return seeds;
    },
    read: readStored,
  },
  {
    name: "npy_case",
    async seeds(folder) {
      const seeds: Files[] = [];
      for (const geometry of GEOMETRIES) {
        await writeNpyCase(join(folder, "a"), trainingData(geometry));
        seeds.push(await filesIn(folder));
      }
      return seeds;
    },
    async read(folder, attempt) {
      await readStored(folder, attempt);
      await attempt(() => openNpy(join(folder, "a_seg.npy"), "reading")[Symbol.dispose]());
    },
  },
  {
    name: "b2nd_case",
    seeds: () =>
      Promise.resolve(["Dataset811_Thick/c0", "Dataset811_Thick/c1", "Dataset812_Regions/r1"].map((stem) => {
        const part = (ending: string) => golden(`b2nd/preprocessed/${stem}${ending}`);
        return { "a.b2nd": part(".b2nd"), "a_seg.b2nd": part("_seg.b2nd"), "a.pkl": part(".pkl") };
      })),
    read: readStored,
  },
  {
    name: "b2nd",
    seeds() {
      const { files } = JSON.parse(new TextDecoder().decode(golden("b2nd/expected.json")));
      const all = golden("b2nd/files.bin");
      return Promise.resolve(files.map(({ at, bytes }: { readonly at: number; readonly bytes: number }) => ({
        "a.b2nd": all.slice(at, at + bytes),
      })));
    },
    async read(folder, attempt) {
      await attempt(async () => {
        using file = openB2nd(join(folder, "a.b2nd"), "reading the array", "make it anew");
        const { shape, dtype } = file.header;
        const part = shape.map((length) => Math.min(length, 12));
        const into = b2ndArray(dtype, part.reduce((all, one) => all * one, 1));
        await attempt(() => file.readBox(shape.map(() => 0), part, into));
        await attempt(() => file.readBox(shape.map((length) => length - 6), part, into));
      });
      await attempt(() => readPreviousStage(folder, "a", [9, 8, 7]));
    },
  },
  {
    name: "npz",
    seeds: () => Promise.resolve([{ "a.npz": golden("checkpoints/arrays.npz") }]),
    async read(folder, attempt) {
      await attempt(() => readNpz(join(folder, "a.npz")));
      await attempt(() => readPreviousStage(folder, "a", [2, 3, 4]));
    },
  },
];
