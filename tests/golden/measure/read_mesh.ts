/** Reads mesh files as their formats say, and what must hold of a closed surface. */

export type Vertex = readonly [number, number, number];
export type Triangle = readonly [Vertex, Vertex, Vertex];

/** @param path Of a binary STL or an OBJ */
export async function readMesh(path: string): Promise<Triangle[]> {
  return path.endsWith(".obj") ? readObj(await Deno.readTextFile(path)) : readStl(await Deno.readFile(path));
}

function readStl(bytes: Uint8Array<ArrayBuffer>): Triangle[] {
  const view = new DataView(bytes.buffer);
  const count = view.getUint32(80, true);
  if (bytes.length !== 84 + 50 * count) throw new Error(`${bytes.length} bytes for ${count} triangles`);
  return Array.from({ length: count }, (_, i): Triangle => {
    const vector = (at: number): Vertex => {
      const number = (axis: number) => view.getFloat32(84 + 50 * i + at + 4 * axis, true);
      return [number(0), number(1), number(2)];
    };
    const triangle: Triangle = [vector(12), vector(24), vector(36)];
    const normal = cross(difference(triangle[1], triangle[0]), difference(triangle[2], triangle[0]));
    const cosine = dot(normal, vector(0)) / Math.hypot(...normal);
    if (Math.abs(cosine - 1) > 1e-3) throw new Error(`triangle ${i} has a normal that is not its own`);
    return triangle;
  });
}

function readObj(text: string): Triangle[] {
  const vertices: Vertex[] = [];
  const triangles: Triangle[] = [];
  for (const line of text.split("\n")) {
    const [kind, ...fields] = line.split(" ");
    const [a, b, c] = fields.map(Number);
    if (kind === "v") vertices.push([a, b, c]);
    else if (kind === "f") {
      if (Math.max(a, b, c) > vertices.length) throw new Error(`a triangle before its vertices: ${line}`);
      triangles.push([vertices[a - 1], vertices[b - 1], vertices[c - 1]]);
    } else if (kind !== "#" && line !== "") throw new Error(`a line of another kind: ${line}`);
  }
  return triangles;
}

/** What keeps triangles from being a closed surface of one orientation: every edge must be there once in each direction. */
export function surfaceProblems(triangles: readonly Triangle[]): string[] {
  const edges = new Map<string, number>();
  for (const triangle of triangles) {
    triangle.forEach((from, i) => {
      const edge = `${from} > ${triangle[(i + 1) % 3]}`;
      edges.set(edge, (edges.get(edge) ?? 0) + 1);
    });
  }
  return [...edges].flatMap(([edge, count]) => {
    const back = edges.get(edge.split(" > ").toReversed().join(" > "));
    if (back === undefined) return [`a hole at ${edge}`];
    return count === 1 && back === 1 ? [] : [`${count + back} triangles at ${edge}`];
  });
}

/** Positive where triangles are counterclockwise from outside. */
export function volumeOf(triangles: readonly Triangle[]): number {
  const [[origin]] = triangles;
  const from = (vertex: Vertex) => difference(vertex, origin);
  return triangles.reduce((sum, [a, b, c]) => sum + dot(from(a), cross(from(b), from(c))), 0) / 6;
}

function difference(a: Vertex, b: Vertex): Vertex {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

function cross(a: Vertex, b: Vertex): Vertex {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function dot(a: Vertex, b: Vertex): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
