/**
 * What ITK's NrrdImageIO makes of a header (itkNrrdImageIO.cxx), and where the voxels are. An axis of numbers within a voxel makes an
 * image of vectors, which SimpleITKIO takes for something else than it is: such files are refused. A fourth axis along which voxels lie
 * holds channels.
 */
import { type ImageProblem, itkGeometry } from "../itk/geometry.ts";
import type { ItkGrid } from "../itk/array.ts";
import { dataFile, MOST_FILES, numberedName } from "../itk/detached.ts";
import type { DataPart } from "../itk/stored_data.ts";
import { DOMAIN_KINDS } from "./names.ts";
import { type NrrdAxis, NrrdDamage, type NrrdHeader } from "./header.ts";

export interface NrrdImage extends ItkGrid {
  /** Its numbers are complex: pairs. */
  readonly complex: boolean;
}

const VECTORS: ImageProblem["remedy"] =
  "save each component as a file of its own (CASE_0000, CASE_0001, ...), or the components as volumes of a 4-D image";

/** @throws NrrdDamage if ITK refuses the header */
export function interpretNrrd(header: NrrdHeader): NrrdImage | ImageProblem {
  const { axes, spaceDimension } = header;
  const domain = axes.filter(({ kind }) => kind === "" || DOMAIN_KINDS.has(kind));
  const range = axes.filter((axis) => !domain.includes(axis));
  if (range.length > 1) {
    return { problem: `it has ${range.length} axes of numbers within a voxel; one is read`, remedy: VECTORS };
  }
  const complex = range.length === 1 && range[0].kind === "complex";
  if (complex && !((header.datatype === 16 || header.datatype === 64) && axes[0] === range[0])) {
    const problem = "it has complex numbers that are not float or double, or not stored as pairs";
    return { problem, remedy: "save their real parts" };
  }
  if (range.length === 1 && !complex && range[0].size > 1) {
    const { size, kind } = range[0];
    return { problem: `its voxels are not single numbers: they have ${size} components (${kind})`, remedy: VECTORS };
  }
  if (spaceDimension > 0 && spaceDimension !== domain.length) {
    throw new NrrdDamage(
      `it has ${domain.length} axes along which voxels lie, and a space of ${spaceDimension} dimensions`,
    );
  }
  const time = domain.findIndex(({ kind }) => kind === "time");
  if (domain.length === 4 && time >= 0 && time < 3) {
    const problem = `its axis of time is the ${
      ["first", "second", "third"][time]
    } one, which nnU-Net takes for one of space`;
    return { problem, remedy: "save it with the axis of time (or of channels) as the last one" };
  }
  if (domain.length < 2 || domain.length > 4) {
    const problem = `it has ${domain.length} axes along which voxels lie; 2, 3 or (for several channels) 4 are read`;
    return { problem, remedy: "save it as a 2-D, 3-D or 4-D image" };
  }
  return gridOf(header, domain, complex);
}

function gridOf(header: NrrdHeader, domain: readonly NrrdAxis[], complex: boolean): NrrdImage | ImageProblem {
  const dimensions = domain.length === 2 ? 2 : 3;
  const columns = domain.map((axis, i) => columnOf(header, axis, i, domain.length));
  const origin = originOf(header, domain);
  if (domain.length === 4) {
    const mixed = columns.slice(0, 3).some(({ direction }) => direction[3] !== 0) ||
      columns[3].direction.slice(0, 3).some((cosine) => cosine !== 0);
    if (mixed) {
      const problem = "its fourth axis, of channels, is not apart from those of space: the directions mix them";
      return { problem, remedy: "save it with an axis of channels of its own, or each channel as a file" };
    }
  }
  const used = columns.slice(0, dimensions);
  const direction = Array.from({ length: dimensions }, (_, row) => used.map((column) => column.direction[row])).flat();
  const geometry = itkGeometry(used.map(({ spacing }) => spacing), origin.slice(0, dimensions), direction);
  if ("problem" in geometry) return geometry;
  const [x, y, z, channels] = domain.map(({ size }) => size);
  return { dimensions, size: [x, y, z ?? 1], channels: channels ?? 1, geometry, complex };
}

/** An axis's voxel size and direction, in LPS where the space is one that ITK turns. */
function columnOf(
  { space, spaceDimension }: NrrdHeader,
  { spacing, direction, min, max }: NrrdAxis,
  index: number,
  dimensions: number,
): { readonly spacing: number; readonly direction: readonly number[] } {
  const unit = Array.from({ length: dimensions }, (_, i) => i === index ? 1 : 0);
  if (direction && ![spacing, min, max].every(Number.isNaN)) {
    throw new NrrdDamage(`its axis ${index + 1} has a direction, and spacing, min or max as well`);
  }
  if (!Number.isNaN(spacing)) {
    if (spaceDimension > 0) throw new NrrdDamage(`its axis ${index + 1} has a spacing and no direction, in a space`);
    return { spacing, direction: unit };
  }
  if (!direction) return { spacing: 1, direction: unit };
  const length = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
  // As there: times the reciprocal.
  const scale = 1 / length;
  return { spacing: length, direction: direction.map((value, i) => scale * value * (space?.toLps[i] ?? 1)) };
}

function originOf({ space, spaceDimension, origin }: NrrdHeader, domain: readonly NrrdAxis[]): readonly number[] {
  if (spaceDimension > 0) {
    return origin ? origin.map((value, i) => value * (space?.toLps[i] ?? 1)) : domain.map(() => 0);
  }
  const known = !Number.isNaN(domain[0].min) &&
    domain.every(({ max, spacing }) => !Number.isNaN(max) || !Number.isNaN(spacing));
  if (!known) return domain.map(() => 0);
  return domain.map(({ min, max, spacing, center, size }) => {
    if (center === "node") return min;
    return min + (Number.isNaN(spacing) ? (max - min) / size : spacing) / 2;
  });
}

/** The files of the voxels. @throws NrrdDamage, and UserError for names that lead elsewhere */
export function partsOf(header: NrrdHeader, file: string): readonly DataPart[] {
  const { axes, data, encoding, lineSkip, byteSkip, end } = header;
  const all = axes.reduce((product, { size }) => product * size, 1);
  const part = (path: string, from: number, numbers: number): DataPart => {
    const skip = { lines: lineSkip, bytes: Math.max(0, byteSkip) };
    if (byteSkip >= 0) return { file: path, from, skip, numbers };
    if (encoding !== "raw" && encoding !== "gzip") {
      throw new NrrdDamage(`its byte skip is ${byteSkip}, which is not read of voxels that are written as text`);
    }
    return { file: path, from, skip, bytesBehind: -byteSkip - 1, numbers };
  };
  if (data.kind === "attached") return [part(file, end, all)];
  const names = data.kind === "files" ? data.names : numberedNames(data);
  const { dimension } = data;
  if (dimension > 0) {
    const last = axes[axes.length - 1].size;
    const wanted = axes.slice(dimension).reduce((product, { size }) => product * size, 1);
    const fits = dimension < axes.length ? names.length === wanted : names.length > 0 && last % names.length === 0;
    if (!fits) throw new NrrdDamage(`it names ${names.length} data files, and ${wanted} are expected`);
  }
  return names.map((name) => part(dataFile(file, name), 0, all / names.length));
}

function numberedNames({ pattern, min, max, step }: Extract<NrrdHeader["data"], { kind: "numbered" }>): string[] {
  const nameOf = numberedName(pattern);
  if (!nameOf) throw new NrrdDamage(`the names of its data files are ${JSON.stringify(pattern)}, which is not read`);
  const count = Math.floor((max - min) / step) + 1;
  if (count > MOST_FILES) throw new NrrdDamage(`it names ${count.toLocaleString("en-US")} data files`);
  return Array.from({ length: count }, (_, i) => nameOf(min + i * step));
}
