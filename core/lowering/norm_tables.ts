/** Which norm tables a fused network needs: one for every way in which a step looks at tensors, with entries for each of them. */
import { padToFour } from "../base/shape.ts";
import { type FusedNetwork, type TensorId, type View, type ViewPart, viewsOf } from "../graph/fuse.ts";

/** The part of a table that is about one tensor, and how the table's readers see it. */
export interface TableEntry {
  readonly part: ViewPart;
  readonly normSlot: string;
  readonly channelOffset: number;
  readonly totalChannels: number;
}

export interface NormTables {
  /** Of the views that need one. */
  readonly slots: ReadonlyMap<View, string>;
  /** By tensor, in the order of the tables. */
  readonly entries: ReadonlyMap<TensorId, readonly TableEntry[]>;
}

/**
 * Collects the tables of a network. An entry is f32 [batch][3][channels from channelOffset on].
 * @param covers what the channels of a table are: those of the view, or all of the group that the view is a part of
 */
export function collectNormTables(network: FusedNetwork, covers: "view" | "group"): NormTables {
  const slots = new Map<View, string>();
  const known = new Map<string, string>();
  const entries = new Map<TensorId, TableEntry[]>();
  for (const view of network.steps.flatMap(viewsOf)) {
    if (view.every(({ norm, slope }) => !norm && slope === 1)) continue;
    const key = JSON.stringify(view.map(({ tensor, norm, slope }) => [tensor, norm ?? null, slope]));
    const found = known.get(key);
    const normSlot = found ?? `table:${known.size}`;
    slots.set(view, normSlot);
    if (found !== undefined) continue;
    known.set(key, normSlot);
    const padded = view.map(({ tensor }) => padToFour(network.tensors[tensor].channels));
    const viewChannels = padded.reduce((a, b) => a + b, 0);
    let before = 0;
    view.forEach((part, i) => {
      const { group, channelOffset } = network.tensors[part.tensor];
      const range = covers === "view"
        ? { channelOffset: before, totalChannels: viewChannels }
        : { channelOffset, totalChannels: network.groups[group].channelStride };
      before += padded[i];
      entries.set(part.tensor, [...entries.get(part.tensor) ?? [], { part, normSlot, ...range }]);
    });
  }
  return { slots, entries };
}
