/**
 * A series as a volume: its slices in order, on one grid. What does not make an even grid is refused by name, and nothing is
 * interpolated. The grid is ITK's: direction by the first slice, distance of the slices from the first to the last.
 */
import { plural } from "../../base/plural.ts";
import { UserError } from "../../base/errors.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { SitkGeometry } from "../image/image.ts";
import { type DicomFolder, nameOf, type Series } from "./series.ts";
import { cross, dot, length, type Slice, type SliceOrientation, type Vector } from "./slice.ts";

/** The slices of a volume from the first plane to the last. */
export interface Stack {
  readonly slices: readonly Slice[];
  /** (x, y, z). */
  readonly size: Vec3;
  readonly geometry: SitkGeometry;
  readonly warnings: readonly string[];
}

/** A slice that says where it is. */
interface PlacedSlice extends Slice {
  readonly place: {
    readonly position: Vector;
    readonly orientation: SliceOrientation;
    readonly spacing: readonly [number, number];
    readonly between?: number;
  };
}

/** How far directions may differ, and spacings as a share. */
const SAME = 1e-4;
/** Planes nearer than this share of the usual distance are one. */
const DOUBLE = 0.01;
/** How far a slice may lie from an even grid as a share of the distance: what rounded positions do; with a warning beyond the second. */
const MOST_OFF = 0.1;
const SOME_OFF = 0.01;
/** Between the slices' normal and the line on which they lie, in degrees. */
const MOST_TILT = 0.1;
/** Of a grid's axis, as NIfTI counts. */
const MOST_ALONG = 32767;

/**
 * The volume that a series is.
 * @param among What lies in the same folder, of which warnings tell
 * @throws UserError naming what makes it no volume
 */
export function stackOf(series: Series, among: DicomFolder, doing: string): Stack {
  const refuse = (problem: string, remedy: string, file = among.folder) =>
    new UserError({ doing, file, problem: `${nameOf(series)}: ${problem}`, remedy });
  const localisers = series.slices.length - series.images;
  const images = series.images > 0 ? series.slices.filter(({ localiser }) => !localiser) : series.slices;
  const warnings: string[] = [];
  if (localisers > 0 && series.images > 0) {
    warnings.push(`${nameOf(series)} in ${among.folder}: ${plural(localisers, "localiser")} left out`);
  }
  const mosaic = images.find(({ marks }) => marks.ImageType?.split("\\").includes("MOSAIC"));
  if (mosaic) {
    const remedy = "convert it to the model's format with a tool that takes it apart, as dcm2niix";
    throw refuse("its pictures are mosaics of several slices", remedy, mosaic.file);
  }
  const placed = images.map((slice) => requirePlace(slice, refuse));
  requireOneGrid(placed, refuse);
  const [{ place: { orientation, spacing } }] = placed;
  const ordered = placed.toSorted((a, b) => along(a, orientation.normal) - along(b, orientation.normal));
  warnings.push(
    ...requireEven(ordered, orientation.normal, refuse).map((text) => `${nameOf(series)} in ${among.folder}: ${text}`),
  );
  const { slices, sign } = asStored(placed, ordered);
  const [first] = slices;
  const { row, column, normal } = first.place.orientation;
  const distance = slices.length > 1
    ? length(difference(slices[slices.length - 1], first)) / (slices.length - 1)
    : first.place.between ?? 1;
  const size: Vec3 = [first.format.columns, first.format.rows, slices.length];
  if (size.some((one) => one > MOST_ALONG)) {
    throw refuse(
      `${size.join(" x ")} pixels are more than ${MOST_ALONG} along an axis`,
      "cut the image into smaller ones",
    );
  }
  return {
    slices,
    size,
    geometry: {
      spacing: [...spacing, distance],
      origin: first.place.position,
      direction: [0, 1, 2].flatMap((axis) => [row[axis], column[axis], sign * normal[axis]]),
    },
    warnings,
  };
}

type Refuse = (problem: string, remedy: string, file?: string) => UserError;

function requirePlace(slice: Slice, refuse: Refuse): PlacedSlice {
  const { position, orientation, spacing, between } = slice.place;
  const missing = [
    ...(position ? [] : ["Image Position (Patient)"]),
    ...(orientation ? [] : ["usable Image Orientation (Patient)"]),
    ...(spacing ? [] : ["Pixel Spacing"]),
  ];
  if (position && orientation && spacing) {
    return { ...slice, place: { position, orientation, spacing, ...(between !== undefined && { between }) } };
  }
  throw refuse(
    `${frameOf(slice)} has no ${missing.join(", no ")}: where the pixels lie in the patient is not said`,
    "export it with positions, or convert it to the model's format with a tool that knows them",
    slice.file,
  );
}

function frameOf({ frame, frames }: Slice): string {
  return frames > 1 ? `frame ${frame + 1}` : "it";
}

function requireOneGrid(slices: readonly PlacedSlice[], refuse: Refuse): void {
  const groups: PlacedSlice[][] = [];
  for (const slice of slices) {
    const group = groups.find(([one]) => sameGrid(one, slice));
    if (group) group.push(slice);
    else groups.push([slice]);
    if (groups.length > 20) break;
  }
  if (groups.length === 1) return;
  groups.sort((a, b) => b.length - a.length);
  const shown = groups.slice(0, 4).map((group) => `${plural(group.length, "slice")} ${describeGrid(group[0])}`);
  throw refuse(
    `its slices are of several grids: ${shown.join("; ")}${groups.length > 4 ? "; ..." : ""}`,
    `put the files of one grid into a folder of their own; one that differs is ${groups[1][0].file}`,
  );
}

function sameGrid(a: PlacedSlice, b: PlacedSlice): boolean {
  const near = (one: Vector, other: Vector) => one.every((value, i) => Math.abs(value - other[i]) <= SAME);
  return a.format.rows === b.format.rows && a.format.columns === b.format.columns &&
    a.place.spacing.every((one, i) => Math.abs(one / b.place.spacing[i] - 1) <= SAME) &&
    near(a.place.orientation.row, b.place.orientation.row) &&
    near(a.place.orientation.column, b.place.orientation.column);
}

function describeGrid({ format, place: { spacing, orientation } }: PlacedSlice): string {
  const cosines = [...orientation.row, ...orientation.column].map((one) => Number(one.toFixed(3)));
  return `${format.columns} x ${format.rows}, pixels ${Number(spacing[0].toFixed(4))} x ${
    Number(spacing[1].toFixed(4))
  } mm, directions ${cosines.join(" ")}`;
}

const along = ({ place: { position } }: PlacedSlice, normal: Vector): number => dot(position, normal);

function difference(a: PlacedSlice, b: PlacedSlice): Vector {
  const [p, q] = [a.place.position, b.place.position];
  return [p[0] - q[0], p[1] - q[1], p[2] - q[2]];
}

/** Refuses slices that are no even row of planes, which have to be in order; gives warnings. */
function requireEven(slices: readonly PlacedSlice[], normal: Vector, refuse: Refuse): string[] {
  const gaps = slices.slice(1).map((slice, i) => along(slice, normal) - along(slices[i], normal));
  if (gaps.length === 0) return [];
  const usual = gaps.toSorted((a, b) => a - b)[gaps.length >> 1];
  const double = gaps.findIndex((gap) => gap <= Math.max(DOUBLE * usual, 1e-4));
  if (double >= 0) throw refuse(...doubleSlices(slices, gaps, usual, double));
  requireNoTilt(slices, normal, refuse);
  const whole = difference(slices[slices.length - 1], slices[0]);
  const distance = length(whole) / gaps.length;
  let [most, sideways, worst] = [0, 0, 0];
  slices.forEach((slice, i) => {
    const from = difference(slice, slices[0]);
    const off = from.map((value, axis) => value - whole[axis] * i / gaps.length);
    const offAlong = Math.abs(dot([off[0], off[1], off[2]], normal));
    if (offAlong > most) [most, worst] = [offAlong, i];
    sideways = Math.max(sideways, length(cross([off[0], off[1], off[2]], normal)));
  });
  if (most > MOST_OFF * distance) throw refuse(...unevenSlices(slices, gaps, usual));
  const [{ place: { spacing } }] = slices;
  if (sideways > MOST_OFF * Math.min(...spacing)) {
    throw refuse(
      `its slices are shifted sideways against each other, by up to ${sideways.toFixed(3)} mm`,
      "resample it with a tool that is made for this",
    );
  }
  if (most <= SOME_OFF * distance) return [];
  return [
    `slices are up to ${most.toFixed(3)} mm off the even distance of ${distance.toFixed(4)} mm, ${
      slices[worst].file
    } the most; taken as even`,
  ];
}

function requireNoTilt(slices: readonly PlacedSlice[], normal: Vector, refuse: Refuse): void {
  const line = difference(slices[slices.length - 1], slices[0]);
  const shift = length(cross(line, normal));
  const degrees = Math.atan2(shift, Math.abs(dot(line, normal))) * 180 / Math.PI;
  const [{ place: { spacing } }] = slices;
  if (degrees <= MOST_TILT || shift <= MOST_OFF * Math.min(...spacing)) return;
  throw refuse(
    `its slices are not stacked at a right angle (gantry tilt of ${
      degrees.toFixed(2)
    } degrees): they make no rectangular grid`,
    "resample it first with a tool that corrects the tilt, as dcm2niix",
  );
}

function doubleSlices(
  slices: readonly PlacedSlice[],
  gaps: readonly number[],
  usual: number,
  at: number,
): [problem: string, remedy: string] {
  const count = gaps.filter((gap) => gap <= Math.max(DOUBLE * usual, 1e-4)).length;
  const [one, other] = [slices[at], slices[at + 1]];
  const differing = Object.keys({ ...one.marks, ...other.marks })
    .filter((name) => one.marks[name] !== other.marks[name])
    .map((name) => `${name} ${one.marks[name] ?? "none"} and ${other.marks[name] ?? "none"}`);
  const what = one.sopInstance !== "" && one.sopInstance === other.sopInstance && one.frame === other.frame
    ? "the same slice"
    : "slices at one place";
  const files = one.file === other.file
    ? `frames ${one.frame + 1} and ${other.frame + 1} of ${one.file}`
    : `${one.file} and ${other.file}`;
  return [
    `${what} twice${count > 1 ? `, in ${count} places` : ""}: ${files}${
      differing.length > 0 ? ` (${differing.join(", ")})` : ""
    }`,
    differing.length > 0
      ? "put the files of each phase, echo or time into a folder of its own"
      : "remove the copies, or put each volume into a folder of its own",
  ];
}

function unevenSlices(
  slices: readonly PlacedSlice[],
  gaps: readonly number[],
  usual: number,
): [problem: string, remedy: string] {
  const wide = gaps.map((gap, i) => ({ i, planes: Math.round(gap / usual), gap }));
  const odd = wide.filter(({ gap }) => Math.abs(gap - usual) > MOST_OFF * usual);
  const missing = odd.every(({ planes, gap }) => planes >= 2 && Math.abs(gap / usual - planes) <= MOST_OFF);
  const [{ i }] = odd.length > 0 ? odd : wide;
  const between = `between ${slices[i].file} and ${slices[i + 1].file}`;
  const mm = (value: number) => `${Number(value.toFixed(4))} mm`;
  if (missing && odd.length > 0) {
    const count = odd.reduce((sum, { planes }) => sum + planes - 1, 0);
    return [
      `${count === 1 ? "a slice is" : `${count} slices are`} missing, ${odd.length > 1 ? "first " : ""}${between}: ${
        mm(gaps[i])
      } apart where others are ${mm(usual)}`,
      "export the whole series again",
    ];
  }
  const [least, most] = [Math.min(...gaps), Math.max(...gaps)];
  return [
    `its slices are unevenly spaced, ${mm(least)} to ${mm(most)} apart, first ${between}`,
    "resample it first with a tool that is made for this; nothing is interpolated here",
  ];
}

/** Frames of one file keep their order where it is the exact reverse, as in ITK, whose slice axis then points the other way. */
function asStored(
  stored: readonly PlacedSlice[],
  ordered: readonly PlacedSlice[],
): { readonly slices: readonly PlacedSlice[]; readonly sign: 1 | -1 } {
  const [first] = stored;
  const reversed = stored.length > 1 &&
    stored.every(({ file }, i) => file === first.file && stored[i] === ordered[ordered.length - 1 - i]);
  return reversed ? { slices: stored, sign: -1 } : { slices: ordered, sign: 1 };
}
