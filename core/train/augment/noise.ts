/**
 * Normal noise by counter: the value of a voxel depends on the seed and the voxel's index only.
 * Sources: batchgeneratorsv2/transforms/intensity/gaussian_noise.py (0.3.6) for what it is; Marsaglia and Tsang, "The ziggurat method
 * for generating random variables" (J. Stat. Softw. 2000) with separate bits for layer, sign and value (Doornik 2005); the hash is
 * lowbias32 of Wellons, "Prospecting for hash functions" (2018).
 */

const LAYERS = 128;
/** Right edge of the lowest layer that is a rectangle, and the area of each layer. */
const EDGE = 3.442619855899;
const AREA = 9.91256303526217e-3;
/** Values are of 24 bits with their sign. */
const STEP = 2 ** -23;

/** Adds independent normal values of standard deviation `sigma` to an image. */
export function addNoise(image: Float32Array, sigma: number, seed: number): void {
  const { edges, heights } = layers();
  const steps = edges.map((edge) => edge * STEP);
  for (let i = 0; i < image.length; i++) {
    const word = hash(Math.imul(i, 0x9e3779b1) ^ seed);
    const layer = word & (LAYERS - 1);
    // The upper bits are value and sign: a branch on a random sign would be guessed wrong every other time.
    const x = (word >> 8) * steps[layer];
    const value = Math.abs(x) < edges[layer + 1] ? x : outsideCore(word, layer, x, edges, heights);
    image[i] += sigma * value;
  }
}

/** Edges of the layers from the base up, and the density there. The base is as wide as its area needs. */
function layers(): { readonly edges: Float64Array; readonly heights: Float64Array } {
  const edges = new Float64Array(LAYERS + 1);
  edges[0] = AREA / Math.exp(-0.5 * EDGE * EDGE);
  edges[1] = EDGE;
  for (let i = 2; i < LAYERS; i++) {
    edges[i] = Math.sqrt(-2 * Math.log(AREA / edges[i - 1] + Math.exp(-0.5 * edges[i - 1] ** 2)));
  }
  return { edges, heights: edges.map((x) => Math.exp(-0.5 * x * x)) };
}

/** Of one value in a hundred: the tail, the edge of a layer, or a new draw. */
function outsideCore(word: number, layer: number, x: number, edges: Float64Array, heights: Float64Array): number {
  for (;;) {
    word = hash(word + 0x9e3779b9);
    if (layer === 0) {
      const tail = -Math.log(unit(word)) / EDGE;
      word = hash(word + 0x9e3779b9);
      if (-2 * Math.log(unit(word)) >= tail * tail) return x < 0 ? -EDGE - tail : EDGE + tail;
      continue;
    }
    const y = heights[layer] + unit(word) * (heights[layer + 1] - heights[layer]);
    if (y < Math.exp(-0.5 * x * x)) return x;
    word = hash(word + 0x9e3779b9);
    layer = word & (LAYERS - 1);
    x = (word >> 8) * STEP * edges[layer];
    if (Math.abs(x) < edges[layer + 1]) return x;
  }
}

/** In (0, 1). */
function unit(word: number): number {
  return ((word >>> 0) + 0.5) * 2 ** -32;
}

function hash(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x7feb352d);
  word = Math.imul(word ^ (word >>> 15), 0x846ca68b);
  return word ^ (word >>> 16);
}
