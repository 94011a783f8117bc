/** The input transform of a chunk of tiles as dispatches: for a convolution's input, and for both sides of its weight gradient. */
import { normViews } from "../elementwise/operand.ts";
import { dispatchOf, kernelHeader, u32 } from "../emit/thread_kernel.ts";
import type { ThreadRange } from "../emit/ranges.ts";
import { wholeView } from "../emit/views.ts";
import type { WgslDispatch } from "../kernel.ts";
import { type ConvLimits } from "./problem.ts";
import { ceilDiv } from "../../operators/arithmetic.ts";
import type { TileStorage } from "./tile_storage.ts";
import { cutGroups, tensorView } from "./touched.ts";
import { inputTransformText } from "./winograd_kernels.ts";
import { type InputSide, tileBox } from "./winograd_shape.ts";

/** Texts of kernels by their headers: chunks differ in uniforms, so each text is made once. */
export function createTexts() {
  const texts = new Map<string, string>();
  return (kernel: string, header: string, make: (header: string) => string): string => {
    const key = `${kernel}\n${header}`;
    const text = texts.get(key) ?? make(header);
    texts.set(key, text);
    return text;
  };
}

export interface TransformPlan {
  /** For errors, and for timings. */
  readonly name: string;
  readonly kernel: string;
  readonly side: InputSide;
  /** [point][tile of the chunk][channel]. */
  readonly slot: string;
  readonly storage: TileStorage;
  /** Tiles of a chunk, whole groups. */
  readonly chunk: number;
  readonly limits: ConvLimits;
  readonly texts: ReturnType<typeof createTexts>;
}

/** Tiles of a range of groups, none beyond the last. */
export const tilesOf = ({ start, end }: ThreadRange, tiles: number, all: number): ThreadRange => ({
  start: start * tiles,
  end: Math.min(end * tiles, all),
});

/** Transforms tiles [first, end), counted over samples: a chunk. */
export function planInputTransform(plan: TransformPlan, first: number, end: number): WgslDispatch[] {
  const { side, chunk, storage } = plan;
  const { operand, grid, batch, sampleTiles, group: { tiles, blocks } } = side;
  const groups = { start: first / tiles, end: ceilDiv(end, tiles) };
  const all = batch * sampleTiles;
  const viewsOf = (range: ThreadRange) => [
    tensorView("input", operand, "read", grid, tileBox(side, tilesOf(range, tiles, all))),
    wholeView("v", plan.slot, storage.element, "read_write"),
    ...normViews("input", operand),
  ];
  const grain = sampleTiles % tiles === 0 ? sampleTiles / tiles : 1;
  return cutGroups(plan.name, groups, grain, plan.limits, viewsOf).map(({ range, views }) => {
    const header = kernelHeader(views, range, { chunk: u32(first) });
    const code = plan.texts(plan.kernel, header.text, (text) => inputTransformText(text, side, chunk, storage));
    return dispatchOf(plan.kernel, header, [ceilDiv(side.blocks, blocks), range.end - range.start, 1], code);
  });
}
