/**
 * Marching cubes as a table: the triangles between eight voxels, some of which belong to the object, for all 256 cases. The table is made
 * by its rule, not copied: on each face of the cube the surface follows the corners that are outside, so that voxels of the object that
 * touch along an edge are joined. The rule looks at a face alone and two cubes agree on the face between them: the surface has no holes.
 *
 * Corner i is at x = bit 0 of i, y = bit 1, z = bit 2; a surface's vertices are the middles of cube edges. Source of the method: Lorensen
 * and Cline, "Marching cubes", 1987.
 */

/** A cube edge by the sum of its ends' positions, so in half voxels from corner 0: x, y, z in 0..2, one of them 1. */
export interface CubeEdge {
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** By case (bit i: corner i is inside): three edges a triangle, counterclockwise seen from outside of the object where x, y, z are right-handed. */
export interface CubeTable {
  readonly edges: readonly CubeEdge[];
  readonly triangles: readonly Uint8Array[];
}

/** A way along a face from one edge to another. */
type Links = Map<number, number>;

export function makeCubeTable(): CubeTable {
  const edges: CubeEdge[] = [];
  /** By both corners. */
  const edgeOf = new Map<string, number>();
  for (let a = 0; a < 8; a++) {
    for (const bit of [1, 2, 4]) {
      if (a & bit) continue;
      const b = a | bit;
      edgeOf.set(`${a} ${b}`, edges.length).set(`${b} ${a}`, edges.length);
      const sum = (axis: number) => (a >> axis & 1) + (b >> axis & 1);
      edges.push({ x: sum(0), y: sum(1), z: sum(2) });
    }
  }
  const faces = cubeFaces();
  const triangles = Array.from({ length: 256 }, (_, inside) => {
    const links: Links = new Map();
    for (const face of faces) linkFace(face, inside, edgeOf, links);
    return Uint8Array.from(loopsOf(links).flatMap((loop) => cutIntoTriangles(loop, edges)));
  });
  return { edges, triangles };
}

/** The corners of each face, clockwise seen from outside of the cube. */
function cubeFaces(): number[][] {
  return [0, 1, 2].flatMap((axis) => {
    const [u, v] = [1 << (axis + 1) % 3, 1 << (axis + 2) % 3];
    const low = [0, v, u | v, u];
    return [low.toReversed(), low.map((corner) => corner | 1 << axis)];
  });
}

/** Adds the surface's ways over a face: each from an edge by which the face's outline leaves the object to the one by which it comes back. */
function linkFace(face: readonly number[], inside: number, edgeOf: ReadonlyMap<string, number>, links: Links): void {
  const isInside = (i: number) => (inside >> face[i & 3] & 1) === 1;
  for (let i = 0; i < 4; i++) {
    if (!isInside(i) || isInside(i + 1)) continue;
    let end = i + 1;
    while (!isInside(end + 1)) end++;
    const edge = (at: number) => edgeOf.get(`${face[at & 3]} ${face[at + 1 & 3]}`) ?? -1;
    links.set(edge(i), edge(end));
  }
}

function loopsOf(links: Links): number[][] {
  const loops: number[][] = [];
  const left = new Set(links.keys());
  for (const first of left) {
    const loop: number[] = [];
    for (let at = first; left.delete(at); at = links.get(at) ?? first) loop.push(at);
    loops.push(loop);
  }
  return loops;
}

interface Cut {
  readonly triangles: readonly number[];
  /** Sixfold, between the triangles and corner 0, in cubes of half a voxel. */
  readonly volume: number;
}

/**
 * Triangles of a loop: of all ways to cut it the one that encloses most, so that the volume is the same however the image is turned. None of
 * the lines between them lies in a face of the cube, where the cube next to it could have the same one: then four triangles would meet there.
 */
function cutIntoTriangles(loop: readonly number[], edges: readonly CubeEdge[]): readonly number[] {
  const liesInFace = (a: number, b: number) =>
    (["x", "y", "z"] as const).some((axis) => edges[a][axis] === edges[b][axis] && edges[a][axis] !== 1);
  const cut = (from: number, to: number): Cut | undefined => {
    if (to - from < 2) return { triangles: [], volume: 0 };
    let best: Cut | undefined;
    for (let tip = from + 1; tip < to; tip++) {
      const sides = [[from, tip], [tip, to]] as const;
      if (sides.some(([a, b]) => b - a > 1 && liesInFace(loop[a], loop[b]))) continue;
      const [before, after] = [cut(from, tip), cut(tip, to)];
      if (!before || !after) continue;
      const corners = [loop[from], loop[tip], loop[to]];
      const [a, b, c] = corners.map((edge) => edges[edge]);
      const volume = before.volume + after.volume + tripleProduct(a, b, c);
      if (best && volume <= best.volume) continue;
      best = { triangles: [...before.triangles, ...corners, ...after.triangles], volume };
    }
    return best;
  };
  const found = cut(0, loop.length - 1);
  if (!found) throw new RangeError(`a loop of ${loop.length} edges can't be cut into triangles`);
  return found.triangles;
}

function tripleProduct(a: CubeEdge, b: CubeEdge, c: CubeEdge): number {
  return a.x * (b.y * c.z - b.z * c.y) + a.y * (b.z * c.x - b.x * c.z) + a.z * (b.x * c.y - b.y * c.x);
}
