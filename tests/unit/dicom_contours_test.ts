/** Outlines of structure sets: what is inside of them is the segment, for programs that take pixels by their centres and for those that round. */
import { type Polygon, tracePolygons } from "../../core/formats/dicom/rtstruct_contours.ts";
import { type LabelsOnSlices, segmentPlaces } from "../../core/formats/dicom/seg_places.ts";
import { assert, assertEquals } from "../assert.ts";

const LABEL = 3;

function slice(rows: number, columns: number, isIn: (row: number, column: number) => boolean): LabelsOnSlices {
  const data = Uint8Array.from(
    { length: rows * columns },
    (_, i) => isIn(Math.floor(i / columns), i % columns) ? LABEL : 0,
  );
  return { data, slices: 1, rows, columns, offset: 0, strides: [rows * columns, columns, 1] };
}

function drawn(...lines: readonly string[]): LabelsOnSlices {
  return slice(lines.length, lines[0].length, (row, column) => lines[row][column] === "#");
}

function polygonsOf(labels: LabelsOnSlices): Polygon[] {
  return (segmentPlaces(labels).get(LABEL) ?? []).flatMap((place) => tracePolygons(labels, LABEL, place));
}

/** Pixels whose centres are inside an odd number of times. */
function insideByCentre(polygons: readonly Polygon[], { rows, columns }: LabelsOnSlices): string {
  return Array.from({ length: rows * columns }, (_, i) => {
    const [x, y] = [i % columns, Math.floor(i / columns)];
    let odd = false;
    for (const polygon of polygons) {
      for (let a = 0; a < polygon.length; a += 2) {
        const b = (a + 2) % polygon.length;
        const [xa, ya, xb, yb] = [polygon[a], polygon[a + 1], polygon[b], polygon[b + 1]];
        if (ya > y !== yb > y && x < xa + (y - ya) / (yb - ya) * (xb - xa)) odd = !odd;
      }
    }
    return odd ? "#" : ".";
  }).join("");
}

/** Pixels on the polygons of rounded corners, which OpenCV's fillPoly fills as well. */
function roundedBorders(polygons: readonly Polygon[], columns: number): Set<number> {
  const pixels = new Set<number>();
  for (const polygon of polygons) {
    const corners = Array.from(polygon, Math.round);
    for (let a = 0; a < corners.length; a += 2) {
      const b = (a + 2) % corners.length;
      const [dx, dy] = [corners[a] - corners[b], corners[a + 1] - corners[b + 1]];
      assert(dx === 0 || dy === 0 || Math.abs(dx) === Math.abs(dy), "a line goes along rows, columns or diagonals");
      const steps = Math.max(Math.abs(dx), Math.abs(dy));
      for (let i = 0; i <= steps; i++) {
        pixels.add((corners[b + 1] + i * Math.sign(dy)) * columns + corners[b] + i * Math.sign(dx));
      }
    }
  }
  return pixels;
}

/** Pieces whose pixels have a side in common. */
function pieces({ data, rows, columns }: LabelsOnSlices): number {
  const left = new Set(data.keys().filter((i) => data[i] === LABEL));
  let count = 0;
  for (let start = [...left].at(0); start !== undefined; start = [...left].at(0), count++) {
    const open = [start];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (!left.delete(at)) continue;
      const [x, y] = [at % columns, Math.floor(at / columns)];
      if (x > 0) open.push(at - 1);
      if (x < columns - 1) open.push(at + 1);
      if (y > 0) open.push(at - columns);
      if (y < rows - 1) open.push(at + columns);
    }
  }
  return count;
}

function checkOutlines(labels: LabelsOnSlices): void {
  const polygons = polygonsOf(labels);
  assertEquals(insideByCentre(polygons, labels), Array.from(labels.data, (one) => one === LABEL ? "#" : ".").join(""));
  for (const pixel of roundedBorders(polygons, labels.columns)) assertEquals(labels.data[pixel], LABEL);
  assertEquals(polygons.length, pieces(labels), "one polygon a piece, its holes joined to it");
}

Deno.test("the outlines of any segment hold the centres of its pixels and no others, a polygon for each piece", () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let round = 0; round < 200; round++) {
    const share = random();
    checkOutlines(slice(1 + Math.floor(random() * 20), 1 + Math.floor(random() * 20), () => random() < share));
  }
});

Deno.test("a hole is joined to the outline, a piece inside of a hole is a polygon of its own", () => {
  const labels = drawn("#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######");
  checkOutlines(labels);
  assertEquals(polygonsOf(labels).length, 2);
  checkOutlines(drawn("#########", "#.#.#.#.#", "#########", "#..#...##", "#########"));
});

Deno.test("corners on a straight line are left out", () => {
  assertEquals(polygonsOf(drawn("....", ".##.", ".##.", "....")).map((one) => one.length / 2), [8]);
  assertEquals(polygonsOf(drawn("#")).map((one) => [...one]), [[-0.49, 0, 0, -0.49, 0.49, 0, 0, 0.49]]);
});

Deno.test("labels whose slices, rows and columns lie in another order give the same outlines", () => {
  const labels = drawn("##..", "#.#.", ".###");
  const { rows, columns, data } = labels;
  const turned = Uint8Array.from({ length: data.length }, (_, i) => {
    const [row, column] = [rows - 1 - i % rows, columns - 1 - Math.floor(i / rows)];
    return data[row * columns + column];
  });
  const view = { ...labels, data: turned, offset: data.length - 1, strides: [data.length, -1, -rows] as const };
  assertEquals(polygonsOf(view), polygonsOf(labels));
});
