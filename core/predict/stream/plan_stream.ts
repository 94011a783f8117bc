/**
 * How one case is streamed through the network, decided before anything is allocated: the axis tiles advance along, which planes
 * of logits are open when, how many samples a run takes, what stays in memory, and what all of it will take in bytes and seconds.
 * None of these choices changes a label: each voxel's sum is made in the same order (row, fold, tile, mirroring).
 */
import { describeBytes } from "../../base/describe_bytes.ts";
import { UserError } from "../../base/errors.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { AxisTable } from "../../engine/volume.ts";
import { type Candidate, candidateBatches, cheapestThatFits } from "./stream_candidates.ts";
import type { Range, RingPlacement, StreamInputs, StreamPlan, TileRow, TileWindow } from "./stream.ts";

/**
 * The plan that is forecast to be fastest among those that fit.
 * @throws UserError if none fits the limit, naming every part and the limit that would do.
 */
export function planStream(inputs: StreamInputs): StreamPlan {
  const axes = streamAxes(inputs);
  const size: Vec3 = [inputs.grid[axes[0]], inputs.grid[axes[1]], inputs.grid[axes[2]]];
  const { only } = inputs;
  const candidates: Candidate[] = [];
  for (const placement of placements(inputs)) {
    const windows = tileWindows(inputs, axes, placement);
    for (const grouping of groupings(inputs, axes)) {
      const { rows, planes } = tileRows(inputs, axes, grouping);
      const batches = only?.batch === undefined ? candidateBatches(inputs, rows, windows) : [only.batch];
      for (const batch of batches) {
        for (const foldsResident of residencies(inputs)) {
          candidates.push({ axes, size, rows, windows, planes, placement, batch, foldsResident });
        }
      }
    }
  }
  const { limit, aim = limit } = inputs;
  const wanted = aim === undefined ? inputs : { ...inputs, limit: Math.min(aim, limit ?? aim) };
  const best = cheapestThatFits(wanted, candidates);
  if (limit !== undefined && best.memory.total > limit) throw doesNotFit(inputs, best, limit);
  return best;
}

/** The stream axis first: the one with the largest image / patch ratio, which keeps the smallest share of the volume open. */
function streamAxes({ grid, patch, avoidAxis }: StreamInputs): Vec3 {
  let stream = -1;
  for (let axis = 0; axis < 3; axis++) {
    if (axis === avoidAxis) continue;
    if (stream < 0 || grid[axis] / patch[axis] > grid[stream] / patch[stream]) stream = axis;
  }
  const [row, column] = [0, 1, 2].filter((axis) => axis !== stream);
  return [stream, row, column];
}

function residencies({ folds, only }: StreamInputs): readonly boolean[] {
  if (only?.foldsResident !== undefined) return [only.foldsResident];
  return folds > 1 ? [true, false] : [true];
}

function placements({ tables, limit, aim, only }: StreamInputs): readonly RingPlacement[] {
  if (only?.placement !== undefined) return [only.placement];
  return tables && (limit ?? aim) !== undefined ? ["memory", "strips", "patches"] : ["memory"];
}

/** How many stream positions make a row: several where patches are single planes, so that a run's batch can be filled. */
function groupings({ patch, tiles }: StreamInputs, axes: Vec3): readonly number[] {
  if (patch[axes[0]] > 1) return [1];
  return [1, 2, 4, 8, 16].filter((n) => n === 1 || n <= tiles[axes[0]].length);
}

/** The rows of tiles, and how many planes have to be kept: those open and those that later output planes still read. */
function tileRows(
  { grid, patch, tiles, tables }: StreamInputs,
  axes: Vec3,
  grouping: number,
): { readonly rows: readonly TileRow[]; readonly planes: number } {
  const depth = grid[axes[0]];
  const positions = tiles[axes[0]];
  const table = tables?.[axes[0]];
  const rows: TileRow[] = [];
  let [opened, closed, emitted, kept, planes] = [0, 0, 0, 0, 1];
  for (let at = 0; at < positions.length; at += grouping) {
    const group = positions.slice(at, at + grouping);
    const next = positions[at + grouping];
    const openTo = Math.min(depth, group[group.length - 1] + patch[axes[0]]);
    const closeTo = next === undefined ? depth : Math.max(0, next);
    planes = Math.max(planes, openTo - kept);
    let emitTo = emitted;
    if (table) { while (emitTo < table.first.length && lastSource(table, emitTo) < closeTo) emitTo++; }
    rows.push({ positions: group, opens: [opened, openTo], closes: [closed, closeTo], emits: [emitted, emitTo] });
    [opened, closed, emitted] = [openTo, closeTo, emitTo];
    kept = closeTo;
    if (table && emitTo < table.first.length) kept = Math.min(kept, firstSource(table, emitTo));
  }
  return { rows, planes: table ? planes : depth };
}

function firstSource(table: AxisTable, j: number): number {
  return Math.min(table.first[j], table.second[j]);
}

function lastSource(table: AxisTable, j: number): number {
  return Math.max(table.first[j], table.second[j]);
}

function tileWindows({ grid, patch, tiles }: StreamInputs, axes: Vec3, placement: RingPlacement): TileWindow[] {
  const [, rowAxis, columnAxis] = axes;
  const within = (axis: number, origin: number): Range => [
    Math.max(0, origin),
    Math.min(grid[axis], origin + patch[axis]),
  ];
  const allRows: Range = [0, grid[rowAxis]];
  const allColumns: Range = [0, grid[columnAxis]];
  const windows: TileWindow[] = [];
  const all: [number, number][] = [];
  for (const u of tiles[rowAxis]) {
    const strip = tiles[columnAxis].map((v): [number, number] => [u, v]);
    all.push(...strip);
    if (placement === "strips") windows.push({ rows: within(rowAxis, u), columns: allColumns, origins: strip });
    if (placement !== "patches") continue;
    for (const origin of strip) {
      windows.push({ rows: within(rowAxis, u), columns: within(columnAxis, origin[1]), origins: [origin] });
    }
  }
  return placement === "memory" ? [{ rows: allRows, columns: allColumns, origins: all }] : windows;
}

function doesNotFit(inputs: StreamInputs, best: StreamPlan, limit: number): UserError {
  const { total, ...parts } = best.memory;
  const list = Object.entries(parts).filter(([, bytes]) => bytes > 0)
    .map(([part, bytes]) => `${part} ${describeBytes(bytes)}`).join(", ");
  const whole = inputs.tables ? "" : ", because the plans' resampling of probabilities needs all logits at once";
  const cut = inputs.fixed.image + inputs.fixed.labels > total / 2 ? ", or cut the image into smaller ones" : "";
  return new UserError({
    doing: "planning the memory of the prediction",
    caseId: inputs.caseId,
    problem: `the least it can do with is ${describeBytes(total)} (${list}), ` +
      `but ${describeBytes(limit)} ${inputs.limitIsTheMachines ? "are free on this machine" : "may be used"}${whole}`,
    remedy: inputs.limitIsTheMachines
      ? `close other programs, or use a machine with more memory${cut}`
      : `give it --max-memory ${Math.ceil(total / 2 ** 20)}M or more on a machine that has it${cut}`,
  });
}
