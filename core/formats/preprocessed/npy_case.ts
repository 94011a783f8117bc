/**
 * A preprocessed case as Python's nnU-Net 2.5 has it: <case>.npz with `data` and `seg`, or the two unpacked as <case>.npy and
 * <case>_seg.npy, and <case>.pkl with properties and class locations.
 * Source: run_case_save of nnunetv2/preprocessing/preprocessors/default_preprocessor.py, training/dataloading/utils.py.
 */
import { writeAll, writeAtomically } from "../../base/files.ts";
import { int, int64, int64Array, type PickleValue, tuple } from "../torch/pickle_writer.ts";
import { pickleProperties } from "../torch/pickle_properties.ts";
import { type NpyHeader, npyPreamble } from "../archive/npy_header.ts";
import { type NpzSource, writeNpzArrays } from "../archive/npz.ts";
import type { ClassKey, ClassLocations, TrainingData } from "./training_data.ts";

const DOING = "writing the preprocessed case";
/** Bytes given to the compressor at a time. */
const CHUNK = 1 << 20;

/** Writes <stem>.npz and <stem>.pkl. @throws UserError if they can't be written */
export async function writeNpzCase(stem: string, data: TrainingData): Promise<void> {
  const arrays = arraysOf(data).map(({ name, header, bytes }): NpzSource => ({ name, header, source: chunks(bytes) }));
  await writeNpzArrays(`${stem}.npz`, arrays, { doing: DOING });
  await writeCaseProperties(stem, data);
}

/** Writes <stem>.npy, <stem>_seg.npy and <stem>.pkl. @throws UserError if they can't be written */
export async function writeNpyCase(stem: string, data: TrainingData): Promise<void> {
  for (const { name, header, bytes } of arraysOf(data)) {
    const path = `${stem}${name === "data" ? "" : "_seg"}.npy`;
    await writeAtomically(path, async (file) => {
      await writeAll(file, npyPreamble(header));
      for (const chunk of chunks(bytes)) await writeAll(file, chunk);
    }, { doing: DOING, bytes: npyPreamble(header).length + bytes.length });
  }
  await writeCaseProperties(stem, data);
}

interface NamedArray {
  readonly name: "data" | "seg";
  readonly header: NpyHeader;
  readonly bytes: Uint8Array;
}

function arraysOf({ image, channels, grid, segmentation }: TrainingData): readonly NamedArray[] {
  const bytes = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const type = segmentation instanceof Int8Array ? "|i1" : "<i2";
  return [
    { name: "data", header: { dtype: "<f4", shape: [channels, ...grid] }, bytes: bytes(image) },
    { name: "seg", header: { dtype: type, shape: [1, ...grid] }, bytes: bytes(segmentation) },
  ];
}

function* chunks(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK) yield bytes.subarray(at, at + CHUNK);
}

/** Writes <stem>.pkl. @throws UserError if it can't be written */
export async function writeCaseProperties(
  stem: string,
  { properties, classLocations, grid }: TrainingData,
): Promise<void> {
  const locations = new Map<PickleValue, PickleValue>();
  for (const { key, voxels } of classLocations) locations.set(pythonKey(key), pythonLocations(voxels, grid));
  await writeAtomically(`${stem}.pkl`, pickleProperties(properties, { class_locations: locations }), { doing: DOING });
}

function pythonKey({ kind, labels }: ClassKey): PickleValue {
  switch (kind) {
    case "label":
      return int64(labels[0]);
    case "integer":
      return int(labels[0]);
    case "region":
      return tuple(labels.map(int));
    case "allLabels":
      return tuple(labels.map(int64));
  }
}

/** An (n, 4) array of (0, z, y, x), or an empty list. */
function pythonLocations(voxels: ClassLocations["voxels"], [, height, width]: TrainingData["grid"]): PickleValue {
  if (voxels.length === 0) return [];
  const rows = new BigInt64Array(4 * voxels.length);
  // The low halves; the high ones are 0.
  const words = new Uint32Array(rows.buffer);
  for (let i = 0; i < voxels.length; i++) {
    const voxel = voxels[i];
    const row = Math.floor(voxel / width);
    const z = Math.floor(row / height);
    words[8 * i + 2] = z;
    words[8 * i + 4] = row - z * height;
    words[8 * i + 6] = voxel - row * width;
  }
  return int64Array([voxels.length, 4], rows);
}
