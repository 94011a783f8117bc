/** Writes the surface of a class as STL or OBJ, in millimetres of its patient space, a piece at a time. */
import { writeAll, writeAtomically } from "../../base/files.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { GridMatrix } from "../../formats/image/image_grid.ts";
import { handedness, type PatientSpace } from "../patient_space.ts";
import { marchClass, type MarchedVolume, sixfoldVolume, type TriangleRow, type VoxelBox } from "./march.ts";

/** STL is written in its binary form. */
export const MESH_KINDS = ["stl", "obj"] as const;
export type MeshKind = (typeof MESH_KINDS)[number];

export interface WrittenMesh {
  readonly triangles: number;
  /** What the surface encloses, millilitres. */
  readonly ml: number;
}

export interface MeshToWrite {
  readonly volume: MarchedVolume;
  readonly space: PatientSpace;
  readonly kind: MeshKind;
  /** For the file's own use: what it is the surface of. */
  readonly title: string;
}

/** Bytes of a file that are handed on at a time, about. */
const PIECE_BYTES = 1 << 20;

/** Writes `path` whole or not at all. @throws UserError if it can't be written */
export async function writeMesh(path: string, { volume, space, kind, title }: MeshToWrite): Promise<WrittenMesh> {
  const mirrored = handedness(space.matrix) < 0;
  const sum = { triangles: 0, sixfold: 0 };
  const { low, high } = volume.box;
  const centre: Vec3 = [low[0] + high[0], low[1] + high[1], low[2] + high[2]];
  const rows = function* () {
    for (const row of marchClass(volume)) {
      sum.triangles += row.triangles;
      sum.sixfold += sixfoldVolume(row, centre);
      if (mirrored) turnRound(row);
      yield row;
    }
  };
  const write = (file: Deno.FsFile) =>
    kind === "stl" ? writeStl(file, rows(), space, title) : writeObj(file, rows(), volume.box, space, title);
  await writeAtomically(path, write, { doing: "writing the mesh" });
  // Six times, in cubes of half a voxel.
  return { triangles: sum.triangles, ml: sum.sixfold / 48 * Math.abs(handedness(space.matrix)) / 1000 };
}

/** Of two vertices of each triangle the one becomes the other. */
function turnRound({ vertices, triangles }: TriangleRow): void {
  for (let i = 0; i < 9 * triangles; i += 9) {
    for (let axis = 3; axis < 6; axis++) {
      [vertices[i + axis], vertices[i + axis + 3]] = [vertices[i + axis + 3], vertices[i + axis]];
    }
  }
}

/** What 3D Slicer looks for. */
function spaceOf(coordinates: PatientSpace["coordinates"]): string {
  return coordinates === "LPS" ? "SPACE=LPS; " : "";
}

/** Bytes before the triangles: a text of 80 and their number. */
const STL_HEADER = 84;
const STL_TRIANGLE = 50;

/** Format: a triangle's normal and vertices in float32, little-endian, and two bytes that are 0. */
async function writeStl(
  file: Deno.FsFile,
  rows: Iterable<TriangleRow>,
  { matrix, coordinates }: PatientSpace,
  title: string,
): Promise<void> {
  const corners = new Float64Array(9);
  const header = new DataView(new ArrayBuffer(STL_HEADER));
  // Binary files must not begin with "solid".
  const text = new TextEncoder().encode(`nnunet; ${spaceOf(coordinates)}mm; ${title}`).subarray(0, 80);
  new Uint8Array(header.buffer).set(text);
  await writeAll(file, new Uint8Array(header.buffer));
  const most = Math.floor(PIECE_BYTES / STL_TRIANGLE);
  const piece = new DataView(new ArrayBuffer(most * STL_TRIANGLE));
  let held = 0;
  let triangles = 0;
  for (const { vertices, triangles: count } of rows) {
    for (let i = 0; i < count; i++) {
      if (held === most) {
        await writeAll(file, new Uint8Array(piece.buffer));
        held = 0;
      }
      putTriangle(piece, held++ * STL_TRIANGLE, vertices, 9 * i, matrix, corners);
    }
    triangles += count;
  }
  await writeAll(file, new Uint8Array(piece.buffer, 0, held * STL_TRIANGLE));
  header.setUint32(80, triangles, true);
  await file.seek(0, Deno.SeekMode.Start);
  await writeAll(file, new Uint8Array(header.buffer));
}

/** @param corners Nine numbers to work with */
function putTriangle(
  piece: DataView,
  at: number,
  vertices: Int32Array,
  i: number,
  matrix: GridMatrix,
  corners: Float64Array,
): void {
  for (let corner = 0; corner < 9; corner += 3) toMm(vertices, i + corner, matrix, corners, corner);
  const [ax, ay, az, bx, by, bz, cx, cy, cz] = corners;
  const x = (by - ay) * (cz - az) - (bz - az) * (cy - ay);
  const y = (bz - az) * (cx - ax) - (bx - ax) * (cz - az);
  const z = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
  const length = Math.sqrt(x * x + y * y + z * z) || 1;
  piece.setFloat32(at, x / length, true);
  piece.setFloat32(at + 4, y / length, true);
  piece.setFloat32(at + 8, z / length, true);
  for (let number = 0; number < 9; number++) piece.setFloat32(at + 12 + 4 * number, corners[number], true);
}

/** Format: lines "v x y z" and "f i j k", vertices being counted from 1; a vertex stands before the first triangle that has it. */
async function writeObj(
  file: Deno.FsFile,
  rows: Iterable<TriangleRow>,
  box: VoxelBox,
  { matrix, coordinates }: PatientSpace,
  title: string,
): Promise<void> {
  const numbers = numberVertices(box.low, box.high);
  const scale = 10 ** digitsOf(matrix);
  const encoder = new TextEncoder();
  const mm = new Float64Array(3);
  const numberOf = (vertices: Int32Array, at: number): number => {
    const { number, isNew } = numbers(vertices[at], vertices[at + 1], vertices[at + 2]);
    if (!isNew) return number;
    toMm(vertices, at, matrix, mm, 0);
    const [x, y, z] = mm.map((value) => Math.round(value * scale) / scale);
    text += `v ${x} ${y} ${z}\n`;
    return number;
  };
  let text = `# nnunet: ${title}\n# ${spaceOf(coordinates)}mm\n`;
  for (const { vertices, triangles } of rows) {
    for (let i = 0; i < 9 * triangles; i += 9) {
      const [a, b, c] = [numberOf(vertices, i), numberOf(vertices, i + 3), numberOf(vertices, i + 6)];
      text += `f ${a} ${b} ${c}\n`;
    }
    if (text.length < PIECE_BYTES) continue;
    await writeAll(file, encoder.encode(text));
    text = "";
  }
  await writeAll(file, encoder.encode(text));
}

/** Digits behind the point: a ten-thousandth of a mm, and of a voxel where that is less. */
function digitsOf(matrix: GridMatrix): number {
  const steps = [0, 1, 2].map((axis) => Math.hypot(...matrix.map((row) => row[axis])));
  return Math.min(12, Math.max(4, 4 + Math.ceil(-Math.log10(Math.min(...steps)))));
}

/** Gives each vertex its number, from 1 on in the order in which they come; those of two planes and between them are kept. */
function numberVertices(low: Vec3, high: Vec3) {
  const [width, height] = [2 * (high[0] - low[0]) + 3, 2 * (high[1] - low[1]) + 3];
  // By half plane: one of voxels, one between them, and the next of voxels, in turn.
  const planes = Array.from({ length: 3 }, () => ({ z: NaN, numbers: new Int32Array(width * height) }));
  let last = 0;
  return (x: number, y: number, z: number): { readonly number: number; readonly isNew: boolean } => {
    const plane = planes[((z % 3) + 3) % 3];
    if (plane.z !== z) {
      plane.z = z;
      plane.numbers.fill(0);
    }
    const at = (y - 2 * low[1] + 2) * width + (x - 2 * low[0] + 2);
    const isNew = plane.numbers[at] === 0;
    if (isNew) plane.numbers[at] = ++last;
    return { number: plane.numbers[at], isNew };
  };
}

/** A vertex of half voxels, from `from` on, in mm; the same for every triangle that has it. */
function toMm(vertices: Int32Array, from: number, matrix: GridMatrix, target: Float64Array, to: number): void {
  const [x, y, z] = [vertices[from] / 2, vertices[from + 1] / 2, vertices[from + 2] / 2];
  for (let axis = 0; axis < 3; axis++) {
    const row = matrix[axis];
    target[to + axis] = row[0] * x + row[1] * y + row[2] * z + row[3];
  }
}
