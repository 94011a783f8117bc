/**
 * Where parameters lie: chunks of moderate size, laid out alike for the parameters, their gradients and their momentum. Those with a gradient
 * have chunks of their own, so that the optimizer walks whole chunks; what is between parameters is zero and stays zero.
 */
import type { Graph } from "../../core/graph/graph.ts";
import { weightShapes } from "../../core/graph/weight_shapes.ts";
import type { PlacedParameter } from "../../core/lowering/parameter_values.ts";
import { BINDING_ALIGNMENT, roundUp } from "../buffers.ts";

export interface ChunkedParameter extends PlacedParameter {
  readonly chunk: number;
}

export interface ParameterChunk {
  readonly floats: number;
  readonly trained: boolean;
}

export interface ParameterLayout {
  /** In the order of the graph's nodes. */
  readonly parameters: readonly ChunkedParameter[];
  readonly chunks: readonly ParameterChunk[];
}

/** Chunks are about this large, so that no allocation is a huge one. */
const CHUNK_BYTES = 64 * 2 ** 20;
/** Those of a share of a batch, whose gradients cross while others are computed. */
export const SHARE_CHUNK_BYTES = 16 * 2 ** 20;

/**
 * No two nodes share a parameter. The running statistics of a batch norm are among those without a gradient.
 * @param trained names of the parameters that get a gradient
 */
export function layOutParameters(
  graph: Graph,
  trained: ReadonlySet<string>,
  maxBindingBytes: number,
  chunkBytes = CHUNK_BYTES,
): ParameterLayout {
  const shapes = weightShapes(graph);
  const chunks: { floats: number; readonly trained: boolean }[] = [];
  const most = Math.min(chunkBytes, maxBindingBytes) / 4;
  const places = new Map<string, { readonly chunk: number; readonly offset: number; readonly length: number }>();
  for (const wanted of [true, false]) {
    for (const { name, shape } of shapes.filter((parameter) => trained.has(parameter.name) === wanted)) {
      const length = shape.reduce((a, b) => a * b, 1);
      const floats = roundUp(length * 4, BINDING_ALIGNMENT) / 4;
      const last = chunks.at(-1);
      const fits = last && last.trained === wanted && last.floats + floats <= most;
      const chunk = fits ? last : { floats: 0, trained: wanted };
      if (!fits) chunks.push(chunk);
      places.set(name, { chunk: chunks.length - 1, offset: chunk.floats, length });
      chunk.floats += floats;
    }
  }
  const parameters = shapes.flatMap(({ name, shape }): ChunkedParameter[] => {
    const place = places.get(name);
    return place ? [{ name, shape, hasGradient: trained.has(name), ...place }] : [];
  });
  return { parameters, chunks };
}
