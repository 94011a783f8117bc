/** A checkpoint's weights brought to the device: as they are, to be packed there; what no kernel packs is packed on the host. */
import { UserError } from "../core/base/errors.ts";
import type { WeightSource } from "../core/engine/engine.ts";
import { torchWeights } from "../core/lowering/weights.ts";
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
import { BINDING_ALIGNMENT, type DeviceBuffer, holdBuffers, oneSegment, roundUp, type Segments } from "./buffers.ts";
import { checkFits } from "./commands.ts";
import type { DeviceWeights, Tools } from "./program.ts";
import { packBlock, type PackedWeights, rawBytes, type WeightBlock, type WeightLayout } from "./weight_layout.ts";
import { RAW_BIAS, RAW_WEIGHT } from "./weight_packing.ts";

/** Bytes of weights that may wait to be copied to the device. */
const WAITING_BYTES = 256 * 2 ** 20;

/** A block that the device packs. */
interface RawBlock {
  readonly block: WeightBlock & PackedWeights;
  readonly kernels: readonly WgslDispatch[];
}

/** Packs a checkpoint's weights. @throws UserError if there is not enough memory or the checkpoint lacks a tensor */
export async function loadWeights(tools: Tools, layout: WeightLayout, source: WeightSource): Promise<DeviceWeights> {
  const { gpu, buffers } = tools;
  const held = holdBuffers(buffers);
  try {
    const places = layout.buffers.map((bytes) => held.take(bytes, "the network's weights"));
    await gpu.settleErrors();
    const slots = slotsOf(layout, places);
    await fillSlots(tools, layout, slots, source);
    return {
      signature: layout.signature,
      get alive() {
        return held.alive;
      },
      slot: (name) => slots.get(name),
      [Symbol.dispose]: () => held[Symbol.dispose](),
    };
  } catch (error) {
    held[Symbol.dispose]();
    throw error instanceof RangeError ? notPacked(error) : error;
  }
}

function slotsOf({ blocks }: WeightLayout, held: readonly DeviceBuffer[]): Map<string, Segments> {
  return new Map(blocks.map(({ slot, bytes, segmentBytes, places }): [string, Segments] => {
    if (places.length === 1) return [slot, oneSegment(held[places[0].buffer], bytes, places[0].offset)];
    const ranges = places.map(({ buffer, offset, bytes }) => ({ buffer: held[buffer], offset, bytes }));
    return [slot, { ranges, segmentBytes, bytes }];
  }));
}

async function fillSlots(
  tools: Tools,
  { blocks, stagingBytes }: WeightLayout,
  slots: ReadonlyMap<string, Segments>,
  source: WeightSource,
): Promise<void> {
  const raw: RawBlock[] = [];
  const pace = writingPace(tools);
  for (const block of blocks) {
    const kernels = block.kind === "packed" ? block.kernels() : undefined;
    if (block.kind === "packed" && kernels) {
      raw.push({ block, kernels });
      continue;
    }
    const data = packBlock(block, source);
    const { ranges, segmentBytes } = segmentsOf(slots, block.slot);
    ranges.forEach((range, segment) => {
      tools.commands.write(range, new Uint8Array(data.buffer, segment * segmentBytes, range.bytes));
    });
    await pace(block.bytes);
  }
  const { gpu, buffers, commands, pipelines } = tools;
  const kernels = raw.flatMap((one) => one.kernels);
  for (const kernel of kernels) checkFits(kernel, gpu);
  await Promise.all(kernels.map((kernel) => pipelines.compile(kernel)));
  const staging = buffers.take(stagingBytes, "weights to be packed");
  try {
    await gpu.settleErrors();
    for (const group of groupsOf(raw, stagingBytes)) {
      // Everything is written before anything is packed: every change between the two is a submission.
      const packing = group.map((one) => stage(tools, staging, one, slots, source));
      packing.forEach((pack) => pack());
      await pace(stagingBytes);
    }
    commands.submit();
  } finally {
    buffers.give(staging);
  }
}

/** A block of a group, and where its weight begins in the staging buffer. */
interface StagedBlock extends RawBlock {
  readonly offset: number;
}

/** Blocks in their order, as many at a time as the staging buffer holds. */
function groupsOf(raw: readonly RawBlock[], stagingBytes: number): StagedBlock[][] {
  const groups: StagedBlock[][] = [];
  let end = Infinity;
  for (const one of raw) {
    const bytes = rawBytes(one.block);
    if (end + bytes > stagingBytes) {
      groups.push([]);
      end = 0;
    }
    groups.at(-1)?.push({ ...one, offset: end });
    end += bytes;
  }
  return groups;
}

/** Writes a block's weight and bias to the staging buffer. @returns what packs them */
function stage(
  { commands, pipelines }: Tools,
  staging: DeviceBuffer,
  { block, kernels, offset }: StagedBlock,
  slots: ReadonlyMap<string, Segments>,
  source: WeightSource,
): () => void {
  const { weight, bias } = torchWeights(block, source);
  const own = new Map<string, Segments>();
  let end = offset;
  for (const [slot, data] of [[RAW_WEIGHT, weight], [RAW_BIAS, bias]] as const) {
    if (!data) continue;
    const place = { buffer: staging, offset: end, bytes: data.byteLength };
    commands.write(place, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    own.set(slot, oneSegment(staging, place.bytes, place.offset));
    end += roundUp(data.byteLength, BINDING_ALIGNMENT);
    source.release?.(data);
  }
  const operator = {
    algorithm: "weight packing",
    dispatches: kernels,
    temporaries: {},
    flops: 0,
    bytes: block.bytes + end - offset,
  };
  return () => commands.operator(operator, pipelines.ready, (slot) => own.get(slot) ?? segmentsOf(slots, slot));
}

function segmentsOf(slots: ReadonlyMap<string, Segments>, slot: string): Segments {
  const found = slots.get(slot);
  if (!found) throw new RangeError(`Loading weights: there is no slot ${slot}`);
  return found;
}

/** Counts bytes that were written, and waits before there are too many of them. */
function writingPace({ gpu, commands }: Tools): (bytes: number) => Promise<void> {
  let waiting = 0;
  return async (bytes) => {
    waiting += bytes;
    if (waiting < WAITING_BYTES) return;
    waiting = 0;
    await commands.wait();
    gpu.check();
  };
}

/** V8 throws a RangeError where an array cannot be had. */
function notPacked(error: RangeError): Error {
  if (!/allocation|array length/i.test(error.message)) return error;
  return new UserError({
    doing: "packing the network's weights",
    problem: `there is not enough main memory (${error.message})`,
    remedy: "close other programs, or use fewer folds (-f)",
  }, { cause: error });
}
