/** Measures one case's segmentation and writes its meshes; plain data in and out, so that it runs in any thread. */
import { allocationError } from "../base/allocation.ts";
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { ensureFolder, removeIfThere } from "../base/files.ts";
import { freeArray } from "../base/free_array.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { collectUnderLimit, type MemoryAllowance, requireRoom } from "../base/memory_allowance.ts";
import { join } from "../base/path.ts";
import { type Vec3, voxelCount } from "../base/shape.ts";
import { readLabelsOfCase } from "../evaluate/read_labels_of_case.ts";
import { type Classes, classesOf } from "../evaluate/surface/class_volume.ts";
import type { ImageGeometry, LabelValues, ReaderName } from "../formats/image/image.ts";
import { checkSameGrid, readCase } from "../formats/image/read_image.ts";
import { type Intensities, intensityBytes, measureIntensities } from "./intensities.ts";
import type { MeasuredClass } from "./measured_classes.ts";
import { makeCubeTable } from "./mesh/cube_table.ts";
import { type MeshKind, writeMesh, type WrittenMesh } from "./mesh/mesh_file.ts";
import { meshNames } from "./mesh/mesh_names.ts";
import { type PatientSpace, patientSpace, toMillimetres } from "./patient_space.ts";
import { measureShapes, type NumberedVolume, type Shape } from "./shapes.ts";

export interface MeasureJob {
  readonly caseId: string;
  readonly reader: ReaderName;
  readonly segmentation: string;
  /** The channels' files in channel order; none: intensities are not measured. */
  readonly images: readonly string[];
  readonly classes: readonly MeasuredClass[];
  /** Absent: no meshes are written. */
  readonly mesh?: { readonly kind: MeshKind; readonly folder: string };
  readonly memory?: MemoryAllowance;
}

/** Positions are x, y, z. */
export interface ClassMeasurement {
  /** A label, or a region as Python's tuple. */
  readonly key: string;
  readonly name: string;
  readonly labels: readonly number[];
  readonly voxels: number;
  /** Null where voxels have no volume. */
  readonly ml: number | null;
  /** In voxels from 0, `high` excluded; null of no voxel. */
  readonly box: { readonly low: Vec3; readonly high: Vec3 } | null;
  /** mm; the smallest along the axes of the coordinates that holds the voxels whole. Null where there are no mm. */
  readonly boxMm: { readonly low: Vec3; readonly high: Vec3 } | null;
  /** Mean of the voxels' centres. */
  readonly centroid: Vec3 | null;
  readonly centroidMm: Vec3 | null;
  /** One a channel. */
  readonly channels: readonly Intensities[];
  /** Null of no voxel; absent where none was asked for. */
  readonly mesh?: MeshOfClass | null;
}

export interface MeshOfClass extends WrittenMesh {
  readonly file: string;
}

export interface CaseMeasurement {
  readonly coordinates: PatientSpace["coordinates"];
  /** x, y, z. */
  readonly shape: Vec3;
  /** mm, x, y, z; null where there are none. */
  readonly spacing: Vec3 | null;
  readonly classes: readonly ClassMeasurement[];
}

export type MeasureOutcome =
  | { readonly measurement: CaseMeasurement; readonly warnings: readonly string[] }
  | { readonly error: UserErrorParts };

export const MEASURING = "measuring the segmentation";

/** Bytes that a job takes for each voxel at most where an image has one channel a file: labels as numbers, and 4 of what is read. */
export function bytesPerVoxel(classes: readonly MeasuredClass[]): number {
  return 4 + (classesOf(classes).count <= 256 ? 1 : 2);
}

/** What is wrong with a case is its result; only a defect of the program is thrown. */
export async function measureCase(job: MeasureJob): Promise<MeasureOutcome> {
  using stack = new DisposableStack();
  stack.defer(() => collectUnderLimit(job.memory));
  try {
    return await measure(job);
  } catch (thrown) {
    const error = allocationError(thrown, { doing: MEASURING, file: job.segmentation });
    if (error instanceof UserError) return { error: error.withCase(job.caseId).parts };
    throw error;
  }
}

async function measure(job: MeasureJob): Promise<MeasureOutcome> {
  using stack = new DisposableStack();
  const numbers = classesOf(job.classes);
  const { volume, geometry } = await readNumbers(job, numbers);
  stack.defer(() => freeArray(volume.data));
  const members = job.classes.map((_, target) =>
    Uint8Array.from({ length: numbers.count }, (_, number) => numbers.members[number * numbers.targets + target])
  );
  const shapes = measureShapes(volume, members, numbers.count);
  const space = patientSpace(geometry);
  const measured = { ...volume, members, numbers: numbers.count };
  const { channels, warnings } = await measureChannels(job, geometry, measured);
  const meshes = job.mesh && await writeMeshes(job, job.mesh, { volume, members, shapes, space });
  const classes = job.classes.map(({ key, name, labels }, i): ClassMeasurement => ({
    key,
    name,
    labels,
    ...describeShape(shapes[i], space),
    channels: channels.map((one) => one[i]),
    ...(meshes && { mesh: meshes[i] }),
  }));
  const [depth, height, width] = geometry.shape;
  const [z, y, x] = geometry.spacing;
  const spacing: Vec3 | null = space.coordinates === "none" ? null : [x, y, z];
  return { measurement: { coordinates: space.coordinates, shape: [width, height, depth], spacing, classes }, warnings };
}

/** The labels as consecutive numbers of one byte or two. */
async function readNumbers(
  { caseId, reader, segmentation, classes, memory }: MeasureJob,
  { byLabel, count }: Classes,
): Promise<{ readonly volume: NumberedVolume; readonly geometry: ImageGeometry }> {
  const { data, geometry } = await readLabelsOfCase({
    caseId,
    reader,
    file: segmentation,
    doing: MEASURING,
    work: "measuring",
    bytesPerVoxel: bytesPerVoxel(classes),
    memory,
  });
  const numbers = arrayOver(data, count);
  let [label, number] = [0, byLabel.get(0) ?? 0];
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (value !== label) [label, number] = [value, byLabel.get(value) ?? 0];
    numbers[i] = number;
  }
  return { volume: { data: cutToLength(numbers), shape: geometry.shape }, geometry };
}

/** An array for as many numbers as there are labels, in the same memory: an element is read before a byte of it is written. */
function arrayOver(labels: LabelValues, count: number): NumberedVolume["data"] {
  const { buffer, byteOffset, length, BYTES_PER_ELEMENT: bytes } = labels;
  if (count <= 256) return new Uint8Array(buffer, byteOffset, length);
  return bytes >= 2 ? new Uint16Array(buffer, byteOffset, length) : new Uint16Array(length);
}

/** Gives back what is behind the array. */
function cutToLength(numbers: NumberedVolume["data"]): NumberedVolume["data"] {
  const { buffer, byteOffset, byteLength } = numbers;
  if (byteOffset !== 0 || byteLength === buffer.byteLength || !(buffer instanceof ArrayBuffer)) return numbers;
  const cut = buffer.transfer(byteLength);
  return numbers instanceof Uint8Array ? new Uint8Array(cut) : new Uint16Array(cut);
}

/** One file after the other, so that of the image one file's channels are in memory. */
async function measureChannels(
  { images, segmentation, memory }: MeasureJob,
  geometry: ImageGeometry,
  measured: NumberedVolume & { readonly members: readonly Uint8Array[]; readonly numbers: number },
): Promise<{ readonly channels: Intensities[][]; readonly warnings: string[] }> {
  const channels: Intensities[][] = [];
  const warnings: string[] = [];
  const voxels = voxelCount(geometry.shape);
  for (const file of images) {
    const image = await readCase(geometry.reader, [file], {
      judge: (headers) => {
        const named = { file: segmentation, geometry };
        const warning = checkSameGrid(named, { file, geometry: headers.geometry }, MEASURING);
        if (warning !== null) warnings.push(warning);
        const bytes = 4 * headers.channels * voxels + measured.data.byteLength +
          intensityBytes(measured.members.length);
        const needs = `measuring its ${geometry.shape.join(" x ")} voxels takes`;
        requireRoom(memory, bytes, needs, { doing: MEASURING, file });
      },
    });
    try {
      for (let channel = 0; channel < image.channels; channel++) {
        const values = image.data.subarray(channel * voxels, (channel + 1) * voxels);
        channels.push(measureIntensities(values, measured));
      }
    } finally {
      freeArray(image.data);
    }
  }
  return { channels, warnings };
}

function describeShape({ voxels, box, centroid }: Shape, space: PatientSpace) {
  const hasMm = space.coordinates !== "none";
  return {
    voxels,
    ml: space.voxelMl === undefined ? null : voxels * space.voxelMl,
    box: box ?? null,
    boxMm: box && hasMm ? boxInMillimetres(box.low, box.high, space) : null,
    centroid: centroid ?? null,
    centroidMm: centroid && hasMm ? toMillimetres(space, centroid) : null,
  };
}

function boxInMillimetres(low: Vec3, high: Vec3, space: PatientSpace): { low: Vec3; high: Vec3 } {
  // From the voxels' outer sides, half a voxel from their centres.
  const corners = Array.from({ length: 8 }, (_, i) => {
    const side = (axis: number) => (i >> axis & 1 ? high[axis] : low[axis]) - 0.5;
    return toMillimetres(space, [side(0), side(1), side(2)]);
  });
  const of = (extreme: (...values: number[]) => number): Vec3 => {
    const [x, y, z] = [0, 1, 2].map((axis) => extreme(...corners.map((corner) => corner[axis])));
    return [x, y, z];
  };
  return { low: of(Math.min), high: of(Math.max) };
}

interface Measured {
  readonly volume: NumberedVolume;
  readonly members: readonly Uint8Array[];
  readonly shapes: readonly Shape[];
  readonly space: PatientSpace;
}

/** A file for each class that is there; one of an earlier run's for a class that is not there goes. */
async function writeMeshes(
  { caseId, segmentation, classes }: MeasureJob,
  { kind, folder }: NonNullable<MeasureJob["mesh"]>,
  { volume, members, shapes, space }: Measured,
): Promise<(MeshOfClass | null)[]> {
  if (space.dimensions === 2) {
    const problem = "it is a plane without a thickness, and surfaces are of volumes";
    throw new UserError({ doing: "writing meshes", file: segmentation, problem, remedy: "leave out --mesh" });
  }
  await ensureFolder(folder, "making the folder of the meshes");
  removeLeftovers(folder);
  const table = makeCubeTable();
  const names = meshNames(classes.map(({ name }) => name));
  const written: (MeshOfClass | null)[] = [];
  for (const [i, { name }] of classes.entries()) {
    const file = join(folder, `${names[i]}.${kind}`);
    const { box } = shapes[i];
    if (!box) {
      await removeIfThere(file, "removing the mesh of a class that is not there");
      written.push(null);
      continue;
    }
    const mesh = { volume: { ...volume, members: members[i], box, table }, space, kind, title: `${caseId}, ${name}` };
    written.push({ file, ...await writeMesh(file, mesh) });
  }
  return written;
}
