/** How one case is streamed through the network, and what that is decided from, as plain data; plan_stream.ts decides. */
import type { Vec3 } from "../../base/shape.ts";
import type { EngineCosts } from "../../engine/costs.ts";
import type { OwnMemory, ProgramMemory, StepCost } from "../../engine/engine.ts";
import type { AxisTable } from "../../engine/volume.ts";
import type { TileGrid } from "./tiles.ts";

/** Half-open range [from, to). */
export type Range = readonly [number, number];

/** Memory a case needs, part by part, in bytes. */
export interface MemoryForecast {
  /** The program itself: its code, heaps and threads. */
  readonly runtime: number;
  /** The preprocessed image (and previous stage) on the engine, and the next case beside it. */
  readonly image: number;
  /** The label volume, on the engine and on the host; with probabilities the planes on their way to the file. */
  readonly labels: number;
  /** Open planes of logits and weight sums. */
  readonly ring: number;
  readonly activations: number;
  /** Packed weights of all resident folds. */
  readonly weights: number;
  readonly scratch: number;
  readonly total: number;
}

/** Tiles that are done before any plane becomes final. */
export interface TileRow {
  /** Patch origins along the stream axis. */
  readonly positions: readonly number[];
  /** Planes that this row is the first to touch. */
  readonly opens: Range;
  /** Planes that no later row touches. */
  readonly closes: Range;
  /** Output planes whose source planes are final after this row. */
  readonly emits: Range;
}

/** A part of the cross-section that is in memory at a time, with the patch origins (row, column) whose patches lie in it. */
export interface TileWindow {
  readonly rows: Range;
  readonly columns: Range;
  readonly origins: readonly (readonly [number, number])[];
}

/** Where open planes are: all in memory, or on disk with a strip or a single patch of the cross-section in memory. */
export type RingPlacement = "memory" | "strips" | "patches";

export interface StreamPlan {
  /** Volume axes that planes, rows and columns run along. */
  readonly axes: Vec3;
  /** Size of the volume along them. */
  readonly size: Vec3;
  readonly rows: readonly TileRow[];
  readonly windows: readonly TileWindow[];
  /** Planes open at a time. */
  readonly planes: number;
  readonly placement: RingPlacement;
  readonly batch: number;
  /** All folds' weights stay packed in memory; otherwise they are loaded again for every row. */
  readonly foldsResident: boolean;
  readonly tiles: number;
  /** Samples through the network: tiles x mirrorings x folds. */
  readonly samples: number;
  /** Program runs of `batch` samples. */
  readonly runs: number;
  readonly memory: MemoryForecast;
  /** Forecast of the network part. */
  readonly seconds: number;
}

/** What {@link planStream} goes by. */
export interface StreamInputs {
  readonly caseId: string;
  /** The network's grid (z, y, x). */
  readonly grid: Vec3;
  readonly patch: Vec3;
  readonly tiles: TileGrid;
  readonly inputChannels: number;
  readonly outputChannels: number;
  /** Elements of a voxel in the ring. */
  readonly ringStride: number;
  /** The engine's. */
  readonly costs: EngineCosts;
  /** Voxels that are resampled to. */
  readonly outputVoxels: number;
  readonly mirrorings: number;
  readonly folds: number;
  /** Resampling tables along (z, y, x); undefined where the whole volume of logits is needed at once. */
  readonly tables?: readonly [AxisTable, AxisTable, AxisTable];
  /** An axis that is not streamed along. */
  readonly avoidAxis?: number;
  /** The engine's, where it has some. */
  readonly ownMemory?: OwnMemory;
  readonly forecast: (batch: number) => { readonly memory: ProgramMemory; readonly steps: readonly StepCost[] };
  /** Bytes that do not depend on the plan. */
  readonly fixed: { readonly runtime: number; readonly image: number; readonly labels: number };
  /** Bytes that may be used. */
  readonly limit?: number;
  /** True where the limit is what the machine has, not what the user allows. */
  readonly limitIsTheMachines?: boolean;
  /** Bytes to stay below where any way does; where none does, the way that needs least is taken. */
  readonly aim?: number;
  /** Leaves only these choices; for measuring and tests. */
  readonly only?: StreamChoice;
}

/** Choices that {@link planStream} makes by itself. */
export interface StreamChoice {
  readonly placement?: RingPlacement;
  readonly batch?: number;
  readonly foldsResident?: boolean;
}
