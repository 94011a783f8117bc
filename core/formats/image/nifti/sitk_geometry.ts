/**
 * What ITK 5.4 (SimpleITK 2.5) makes of a NIfTI header: dimensions, spacing, origin and direction in LPS millimetres, scaling.
 * Sources: itkNiftiImageIO.cxx, itkImageFileReader.hxx, nifti1_io.c. ITK's mixture of float32 and float64 is kept, as it decides
 * about tolerances.
 */
import type { SitkGeometry } from "../image.ts";
import { determinant, type Matrix3, quaternionToMatrixFloat32 } from "./matrix.ts";
import { spansSpace } from "../itk/geometry.ts";
import type { NiftiHeader } from "./header.ts";
import { leftSingularVectors } from "./sitk_svd.ts";

const f = Math.fround;

/** What reading needs of a header. */
export interface ItkImage {
  /** 2 or 3: trailing dimensions of size 1 and the channels are dropped. */
  readonly dimensions: 2 | 3;
  /** Size (x, y, z); z is 1 in 2-D. */
  readonly size: readonly [number, number, number];
  readonly channels: number;
  readonly geometry: SitkGeometry;
  readonly scaling: { readonly slope: number; readonly intercept: number } | null;
  /** Byte of the file (or of the .img) where voxels start. */
  readonly dataStart: number;
  readonly warnings: readonly string[];
}

/** Why ITK (or nnU-Net behind it) can't take the header, and what to do. */
export interface HeaderProblem {
  readonly problem: string;
  readonly remedy: string;
}

const VECTOR_INTENTS = new Map([[1004, "matrix"], [1005, "symmetric matrix"], [1006, "displacement"], [
  1007,
  "vector",
]]);

/** Interprets `header` as ITK does; `name` is for warnings. */
export function interpretAsItk(header: NiftiHeader, name: string): ItkImage | HeaderProblem {
  if (header.version === 2) {
    const remedy = "convert it to NIfTI-1 (nibabel: Nifti1Image.from_image), or use a model trained with NibabelIO";
    return { problem: "it is a NIfTI-2 file, which SimpleITK can't read", remedy };
  }
  const intent = VECTOR_INTENTS.get(header.intentCode);
  if (intent) {
    const remedy = "save each component as an image of its own, or set intent_code to 0";
    return { problem: `its voxels are not single numbers (intent_code ${header.intentCode}, ${intent})`, remedy };
  }
  const extent = dimensionsOf(header);
  if ("problem" in extent) return extent;
  const warnings: string[] = [];
  const pixdim = header.pixdim.slice(1, 4).map((value) => value === 0 || !Number.isFinite(value) ? 1 : value);
  const unit = [1, 1000, 1, 0.001][header.units & 7] ?? 1;
  const frame = frameOf(header, pixdim, extent.dimensions, name, warnings);
  if ("problem" in frame) return frame;
  const { dimensions } = extent;
  const flip = pixdim.map((value) => value < 0 ? -1 : 1);
  const direction = frame.direction.map((value, i) => value * flip[i % dimensions]);
  if (!spansSpace(direction)) {
    return {
      problem: "its two axes do not span the plane they are stored for: the direction's determinant is 0",
      remedy: "save the slice as a 3-D image with one slice, or with an axial orientation",
    };
  }
  const dataStart = header.version === 0
    ? Math.trunc(finite(header.voxOffset))
    : header.singleFile
    ? Math.max(348, Math.trunc(finite(header.voxOffset)))
    : Math.trunc(finite(header.voxOffset));
  if (header.singleFile && header.voxOffset < 352) {
    warnings.push(
      `${name}: vox_offset is ${header.voxOffset}, below 352; voxels are read from byte ${dataStart}, as ITK does.`,
    );
  }
  return {
    dimensions,
    size: extent.size,
    channels: extent.channels,
    geometry: {
      spacing: pixdim.slice(0, dimensions).map((value) => Math.abs(value * unit)),
      origin: frame.origin.map((value) => value * unit),
      direction,
    },
    scaling: scalingOf(header),
    dataStart,
    warnings,
  };
}

function dimensionsOf(
  header: NiftiHeader,
): HeaderProblem | { dimensions: 2 | 3; size: [number, number, number]; channels: number } {
  const { dim } = header;
  const remedy = "save it as a 2-D, 3-D or (for several channels) 4-D image";
  if (!(dim[0] >= 2 && dim[0] <= 7)) {
    return { problem: `it has ${dim[0]} dimensions (dim is ${dim.join(" ")}); 2 to 4 are read`, remedy };
  }
  if (dim[1] <= 0) {
    const problem = `it has ${dim[1]} voxels along its first axis (dim is ${dim.join(" ")})`;
    return { problem, remedy: "save or copy the image again" };
  }
  const sizes = dim.slice(1, dim[0] + 1).map((size) => size <= 0 ? 1 : size);
  while (sizes.length > 3 && sizes[sizes.length - 1] === 1) sizes.pop();
  if (sizes.length > 4) {
    return { problem: `it has ${sizes.length} dimensions (${sizes.join(" x ")}); 2 to 4 are read`, remedy };
  }
  const [x, y, z = 1, channels = 1] = sizes;
  return { dimensions: sizes.length === 2 ? 2 : 3, size: [x, y, z], channels };
}

/** Origin and direction (row-major) in LPS, before units and negative voxel sizes. */
function frameOf(
  header: NiftiHeader,
  pixdim: readonly number[],
  dimensions: 2 | 3,
  name: string,
  warnings: string[],
): HeaderProblem | { origin: number[]; direction: number[] } {
  const known = header.version !== 0 && (header.qformCode > 0 || header.sformCode > 0);
  if (!known) {
    const identity = dimensions === 2 ? [1, 0, 0, 1] : [1, 0, 0, 0, 1, 0, 0, 0, 1];
    return { origin: new Array(dimensions).fill(0), direction: identity };
  }
  const form = chooseForm(header, pixdim, name, warnings);
  if (!form) {
    return {
      problem:
        "its orientation is not orthonormal: the sform is sheared, singular or not finite, and there is no qform",
      remedy:
        "resample it to an orthogonal grid, or set a qform (for a rounding error: nibabel's set_qform(img.affine, 1))",
    };
  }
  const lps = [-1, -1, 1];
  const direction = new Array<number>(dimensions * dimensions);
  for (let column = 0; column < dimensions; column++) {
    let squares = 0;
    for (let row = 0; row < dimensions; row++) squares += form.matrix[row][column] ** 2;
    const length = squares === 0 ? 1 : Math.sqrt(squares);
    for (let row = 0; row < dimensions; row++) {
      direction[row * dimensions + column] = lps[row] * form.matrix[row][column] / length;
    }
  }
  return { origin: form.offset.slice(0, dimensions).map((value, row) => lps[row] * value), direction };
}

interface Form {
  readonly matrix: Matrix3;
  readonly offset: readonly number[];
}

/** ITK's choice between sform and qform; null if neither is orthonormal. */
function chooseForm(
  header: NiftiHeader,
  pixdim: readonly number[],
  name: string,
  warnings: string[],
): Form | null {
  const { srow } = header;
  const sform: Form = {
    matrix: [[srow[0], srow[1], srow[2]], [srow[4], srow[5], srow[6]], [srow[8], srow[9], srow[10]]],
    offset: [srow[3], srow[7], srow[11]],
  };
  const qform = readQform(header, pixdim);
  const useS = preferSform(header, sform, qform);
  if (header.sformCode > 0 && scalesDiffer(sform.matrix, pixdim)) {
    warnings.push(`${name}: the sform's voxel size differs from pixdim; pixdim is used, as ITK does.`);
  }
  if (useS) return sform;
  if (header.sformCode > 0 && header.qformCode > 0 && !srow.every(Number.isFinite)) {
    warnings.push(`${name}: the sform is not finite; the qform is used.`);
  }
  return header.qformCode > 0 ? qform : null;
}

function readQform(header: NiftiHeader, pixdim: readonly number[]): Form {
  const size: [number, number, number] = [pixdim[0], pixdim[1], pixdim[2]];
  if (header.qformCode <= 0) {
    return { matrix: [[size[0], 0, 0], [0, size[1], 0], [0, 0, size[2]]], offset: [0, 0, 0] };
  }
  const [b, c, d] = header.quaternion;
  const matrix = quaternionToMatrixFloat32([finite(b), finite(c), finite(d)], size, header.pixdim[0] < 0 ? -1 : 1);
  return { matrix, offset: header.qoffset.map(finite) };
}

/** nifti_clib does not load the sform where its code is 0. */
function preferSform(header: NiftiHeader, s: Form, q: Form): boolean {
  if (header.sformCode <= 0) return false;
  if (!isAffine(s) || !isOrthonormal(s.matrix)) return nearlyEqualElements(s, q);
  if (header.qformCode <= 0 || header.sformCode === 1) return true;
  return verySimilar(s, q);
}

function nearlyEqualElements(s: Form, q: Form): boolean {
  let shift = 0;
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) if (!(Math.abs(f(s.matrix[i][j] - q.matrix[i][j])) <= 1e-5)) return false;
    shift = f(shift + Math.abs(f(s.offset[i] - q.offset[i])));
  }
  return shift <= 1e-7;
}

/** Finite and invertible; ITK's further checks compare two inverses of the same matrix. */
function isAffine(form: Form): boolean {
  const finiteForm = form.matrix.every((row) => row.every(Number.isFinite)) && form.offset.every(Number.isFinite);
  return finiteForm && Math.abs(determinant(form.matrix)) > 0;
}

/** |R R^T - I| <= 1e-4 in every element, R having normalised columns, in float32. */
function isOrthonormal(matrix: Matrix3): boolean {
  const lengths = [0, 1, 2].map((j) =>
    f(Math.sqrt(f(f(f(matrix[0][j] ** 2) + f(matrix[1][j] ** 2)) + f(matrix[2][j] ** 2))))
  );
  const r = matrix.map((row) => row.map((value, j) => f(value / lengths[j])));
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      const dot = f(f(f(r[i][0] * r[j][0]) + f(r[i][1] * r[j][1])) + f(r[i][2] * r[j][2]));
      if (!(Math.abs(f(dot - (i === j ? 1 : 0))) <= 1e-4)) return false;
    }
  }
  return true;
}

/** Same offset, singular values and left singular vectors within 1e-4: blind to most differences in the sign of columns. */
function verySimilar(s: Form, q: Form): boolean {
  const [a, b] = [leftSingularVectors(s.matrix), leftSingularVectors(q.matrix)];
  for (let i = 0; i < 3; i++) {
    if (!(Math.abs(f(a.values[i] - b.values[i])) <= 1e-4)) return false;
    if (!(Math.abs(f(s.offset[i] - q.offset[i])) <= 1e-4)) return false;
    for (let j = 0; j < 3; j++) {
      let dot = 0;
      for (let k = 0; k < 3; k++) dot = f(dot + f(a.u[i][k] * b.u[j][k]));
      if (!(Math.abs(f(dot - (i === j ? 1 : 0))) <= 1e-4)) return false;
    }
  }
  return true;
}

function scalesDiffer(matrix: Matrix3, pixdim: readonly number[]): boolean {
  return [0, 1, 2].some((j) => Math.abs(pixdim[j] - Math.hypot(matrix[0][j], matrix[1][j], matrix[2][j])) > 1e-3);
}

/** Non-finite is 0, slope 0 is 1 with the intercept still added; Analyze has none. */
function scalingOf(header: NiftiHeader): { slope: number; intercept: number } | null {
  if (header.version === 0) return null;
  const intercept = finite(header.intercept);
  const stored = finite(header.slope);
  const slope = Math.abs(stored) < Number.EPSILON ? 1 : stored;
  const unscaled = Math.abs(slope - 1) <= Number.EPSILON && Math.abs(intercept) <= Number.EPSILON;
  return unscaled ? null : { slope, intercept };
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}
