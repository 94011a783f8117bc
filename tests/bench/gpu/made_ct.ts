/** A model folder with random weights and a CT, made where they are needed: nothing large has to be carried to a machine. */
import zlib from "node:zlib";
import { ensureFolder, writeAtomically } from "../../../core/base/files.ts";
import { join } from "../../../core/base/path.ts";
import type { Vec3 } from "../../../core/base/shape.ts";
import { architecture } from "../../../core/cases/networks.ts";
import { randomWeights } from "../../../core/cases/random_data.ts";
import { sitkHeader } from "../../../core/formats/image/nifti/written_header.ts";
import { dict, int, type PickleValue } from "../../../core/formats/torch/pickle_writer.ts";
import { writeTorchFile } from "../../../core/formats/torch/torch_file.ts";
import { weightShapes } from "../../../core/graph/weight_shapes.ts";
import { buildGraph } from "../../../core/network/build_graph.ts";
import { torchModules } from "../../../core/network/torch_modules.ts";
import { plainUNet } from "../../unit/plans_fixture.ts";
import { cube, type Sizes } from "./sizes.ts";

const SPACING = 1.5;
const DOING = "making the bench's model";

export interface MadeCt {
  readonly model: string;
  readonly images: string;
}

/** @param folder Which is there and empty */
export async function makeCt(folder: string, sizes: Sizes): Promise<MadeCt> {
  const [model, images] = [join(folder, "model"), join(folder, "images")];
  await ensureFolder(join(model, "fold_0"), DOING);
  await ensureFolder(images, DOING);
  await writeModel(model, sizes);
  await writeAtomically(join(images, "case_000_0000.nii.gz"), makeImage(sizes.ct), { doing: DOING });
  return { model, images };
}

async function writeModel(folder: string, { features, classes, edge, ct }: Sizes): Promise<void> {
  const plans = plansOf(features, edge, ct);
  const labels = Object.fromEntries(Array.from({ length: classes - 1 }, (_, i) => [`c${i + 1}`, i + 1]));
  const dataset = {
    channel_names: { "0": "CT" },
    labels: { background: 0, ...labels },
    numTraining: 1,
    file_ending: ".nii.gz",
  };
  await writeAtomically(join(folder, "plans.json"), JSON.stringify(plans), { doing: DOING });
  await writeAtomically(join(folder, "dataset.json"), JSON.stringify(dataset), { doing: DOING });
  await writeCheckpoint(join(folder, "fold_0", "checkpoint_final.pth"), features, classes);
}

/** What prediction reads of a checkpoint, upstream's too; without mirroring. */
async function writeCheckpoint(path: string, features: readonly number[], classes: number): Promise<void> {
  const net = architecture({ featuresPerStage: features });
  const weights = randomWeights();
  const storages = new Map<string, Float32Array>();
  const tensors = new Map(
    weightShapes(buildGraph(net, 1, classes, { deepSupervision: true })).map(({ name, shape }, storage) => {
      storages.set(name, weights.get(name, shape));
      const tensor: PickleValue = { python: "tensor", type: "float32", storage, shape };
      return [name, tensor] as const;
    }),
  );
  const parameters = torchModules(net).flatMap(({ parameters }) => parameters);
  const value = dict({
    network_weights: {
      python: "orderedDict",
      items: new Map(parameters.flatMap(({ key, name }) => {
        const tensor = tensors.get(name);
        return tensor === undefined ? [] : [[key, tensor] as const];
      })),
    },
    trainer_name: "nnUNetTrainer",
    init_args: dict({ configuration: "3d_fullres", fold: int(0) }),
    inference_allowed_mirroring_axes: null,
  });
  await writeTorchFile(path, value, [...storages.values()]);
}

function plansOf(features: readonly number[], edge: number, shape: Vec3) {
  const resampling = (isSeg: boolean, order: number) => ({ is_seg: isSeg, order, order_z: 0, force_separate_z: null });
  const name = "resample_data_or_seg_to_shape";
  const statistics = {
    max: 1500,
    mean: 80,
    median: 70,
    min: -900,
    percentile_00_5: -700,
    percentile_99_5: 600,
    std: 150,
  };
  const configuration = {
    data_identifier: "bench",
    preprocessor_name: "DefaultPreprocessor",
    batch_size: 2,
    patch_size: cube(edge),
    median_image_size_in_voxels: shape,
    spacing: cube(SPACING),
    normalization_schemes: ["CTNormalization"],
    use_mask_for_norm: [false],
    resampling_fn_data: name,
    resampling_fn_seg: name,
    resampling_fn_probabilities: name,
    resampling_fn_data_kwargs: resampling(false, 3),
    resampling_fn_seg_kwargs: resampling(true, 1),
    resampling_fn_probabilities_kwargs: resampling(false, 1),
    architecture: plainUNet(features, 2),
    batch_dice: false,
  };
  return {
    dataset_name: "Dataset000_bench",
    plans_name: "nnUNetPlans",
    original_median_spacing_after_transp: cube(SPACING),
    original_median_shape_after_transp: shape,
    image_reader_writer: "SimpleITKIO",
    transpose_forward: [0, 1, 2],
    transpose_backward: [0, 1, 2],
    configurations: { "3d_fullres": configuration },
    experiment_planner_used: "ExperimentPlanner",
    label_manager: "LabelManager",
    foreground_intensity_properties_per_channel: { "0": statistics },
  };
}

/** An ellipse of soft tissue in air, with waves and noise, as int16 NIfTI. */
function makeImage([depth, rows, columns]: Vec3): Uint8Array {
  const geometry = { spacing: cube(SPACING), origin: cube(0), direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] };
  const header = sitkHeader([columns, rows, depth], geometry, "int16");
  const bytes = new Uint8Array(header.length + 2 * depth * rows * columns);
  bytes.set(header);
  const voxels = new Int16Array(bytes.buffer, header.length);
  const wave = (count: number, turns: number) =>
    Float32Array.from({ length: count }, (_, i) => Math.sin(turns * Math.PI * i / count));
  const [alongZ, alongY, alongX] = [wave(depth, 9), wave(rows, 7), wave(columns, 8)];
  let state = 1;
  let at = 0;
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < rows; y++) {
      const half = 0.95 * Math.sqrt(Math.max(0, 1 - ((2 * y / rows - 1) / 0.8) ** 2));
      const base = 40 + 60 * alongZ[z] * alongY[y];
      for (let x = 0; x < columns; x++, at++) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        const isBody = Math.abs(2 * x / columns - 1) < half;
        voxels[at] = isBody ? base + 50 * alongX[x] + (state >> 26) : -1000;
      }
    }
  }
  return zlib.gzipSync(bytes, { level: 1 });
}
