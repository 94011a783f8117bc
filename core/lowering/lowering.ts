/** A network being lowered: what all its parts are made from, and how the operators of a step see its tensors. */
import type { ConvStep } from "../graph/backward.ts";
import type { FusedNetwork, TensorId, View } from "../graph/fuse.ts";
import type { EngineTypes, Kernels, Operand, Target, TensorRange } from "./kernels.ts";
import { collectNormTables, type NormTables } from "./norm_tables.ts";
import { createSchedule, type Schedule } from "./schedule.ts";

/** Of a tensor: its values, or their gradient. */
export type Role = "tensor" | "tensorGradient";

/** Where a tensor lies, and the block of memory that it is in. */
export interface StoredAt<E extends EngineTypes> {
  readonly place: E["place"];
  readonly slot: string;
  readonly bytes: number;
  /** Bytes of a binding, where the block spans several. */
  readonly segmentBytes?: number;
}

/** An engine's layout of tensors. */
export interface Storage<E extends EngineTypes> {
  at(tensor: TensorId, role: Role): StoredAt<E>;
  /** Where all parts of a view lie, if that is not where the first one does. */
  viewPlace?(view: View): E["place"];
}

/** A convolution before its step is added. */
export interface PlannedConv<E extends EngineTypes> {
  readonly step: ConvStep;
  readonly name: string;
  readonly weightSlot: string;
  readonly operator: E["conv"];
}

export interface Lowering<E extends EngineTypes> {
  readonly network: FusedNetwork;
  readonly batch: number;
  readonly schedule: Schedule<E["operator"]>;
  readonly tables: NormTables;
  /** How many parts a tensor's statistics come in, noted by the convolution that writes them. */
  readonly statisticsParts: Map<TensorId, number>;
  /** By number of the fused network's step. */
  readonly convs: Map<number, PlannedConv<E>>;
  readonly kernels: Kernels<E>;
  readonly storage: Storage<E>;
}

/** What an engine starts from: see {@link createLowering}. */
export type LoweringStart<E extends EngineTypes> = Omit<Lowering<E>, "kernels" | "storage">;

/** An empty list of steps for a network. @param tables what an engine's norm tables cover, see {@link collectNormTables} */
export function createLowering<E extends EngineTypes>(
  network: FusedNetwork,
  batch: number,
  tables: "view" | "group",
): LoweringStart<E> {
  return {
    network,
    batch,
    schedule: createSchedule(),
    tables: collectNormTables(network, tables),
    statisticsParts: new Map(),
    convs: new Map(),
  };
}

/** Notes that the next step uses a tensor. */
export function touchTensor<E extends EngineTypes>(lowering: Lowering<E>, tensor: TensorId): void {
  rangeOf(lowering, tensor, "tensor");
}

/** Notes that the next step reads a view. */
export function touchView<E extends EngineTypes>(lowering: Lowering<E>, view: View): void {
  for (const { tensor } of view) touchTensor(lowering, tensor);
  const table = lowering.tables.slots.get(view);
  if (table !== undefined) lowering.schedule.touch(table);
}

/** A tensor's channel range, used by the next step. */
export function rangeOf<E extends EngineTypes>(
  { network, storage, schedule }: Lowering<E>,
  tensor: TensorId,
  role: Role,
): TensorRange<E> {
  const { place, slot, bytes, segmentBytes } = storage.at(tensor, role);
  schedule.touch(slot, bytes, segmentBytes);
  return { ...place, channels: network.tensors[tensor].channels };
}

/** A view as an operand; notes nothing. */
export function operandOf<E extends EngineTypes>({ network, storage, tables }: Lowering<E>, view: View): Operand<E> {
  const table = tables.slots.get(view);
  const place = storage.viewPlace?.(view) ?? storage.at(view[0].tensor, "tensor").place;
  const parts = view.map(({ tensor }) => network.tensors[tensor].channels);
  return { ...place, parts, ...(table !== undefined && { normSlot: table }) };
}

/** A tensor as a target; notes nothing. */
export function targetOf<E extends EngineTypes>({ network, storage }: Lowering<E>, tensor: TensorId): Target<E> {
  const { channels, statistics } = network.tensors[tensor];
  const { place } = storage.at(tensor, "tensor");
  return { ...place, channels, ...(statistics && { statisticsSlot: statisticsOf(tensor) }) };
}

/** A view as an operand of the next step. */
export function read<E extends EngineTypes>(lowering: Lowering<E>, view: View): Operand<E> {
  touchView(lowering, view);
  return operandOf(lowering, view);
}

/** A tensor as the target of the next step. */
export function write<E extends EngineTypes>(lowering: Lowering<E>, tensor: TensorId): Target<E> {
  touchTensor(lowering, tensor);
  return targetOf(lowering, tensor);
}

/** Slot of a tensor's statistics for its norm. */
export const statisticsOf = (tensor: TensorId): string => `statistics:${tensor}`;

/** "32 128x128x128". */
export function describeTensor({ tensors }: FusedNetwork, tensor: TensorId): string {
  const { channels, grid } = tensors[tensor];
  return `${channels} ${grid.join("x")}`;
}

/** "decoder.stages.0.convs.1.conv". */
export const describeWeight = ({ weight }: Pick<ConvStep, "weight">): string =>
  weight?.replace(/\.weight$/, "") ?? "copy";

/** What a tensor is written by: a convolution's name, "add", "the input". */
export function describeWriter({ steps }: FusedNetwork, tensor: TensorId): string {
  const writer = steps.find((step) => step.output === tensor);
  if (!writer) return "the input";
  return writer.kind === "conv" || writer.kind === "transposedConv" ? describeWeight(writer) : writer.kind;
}

/** "conv decoder.stages.0.convs.1.conv 64->32 128x128x128". */
export function describeConv(network: FusedNetwork, conv: ConvStep): string {
  const from = conv.input.map(({ tensor }) => network.tensors[tensor].channels).join("+");
  const kind = conv.kind === "conv" ? "conv" : "transposed conv";
  return `${kind} ${describeWeight(conv)} ${from}->${describeTensor(network, conv.output)}`;
}
