/**
 * Tensors as operators see them. They are (batch, z, y, x, channels), channels padded to four, padding lanes holding zeros; a tensor may be
 * a channel range of a wider one (a concat). Where its elements are is the engine's own: a slot, or a slot in segments.
 */
import { padToFour } from "../../core/base/shape.ts";

/** A range of channels in a (possibly wider) tensor. */
export interface ChannelRange {
  /** Channels of the wider tensor, padded to four: the distance of two voxels. */
  readonly channelStride: number;
  /** First channel of the range; a multiple of four. */
  readonly channelOffset: number;
}

/**
 * An input operand. The stored tensor is raw; the consumer applies y = v * scale + shift, then max(y, y * slope), per channel on load,
 * and pads with zeros after it.
 */
export interface OperandRange extends ChannelRange {
  /** Channels of each concatenated part, not padded; in memory every part is padded to four on its own. */
  readonly parts: readonly number[];
  /** f32 [batch][3][padded channels]: scales, shifts, slopes; absent: values are used as stored. */
  readonly normSlot?: string;
}

/** A stored tensor or gradient. */
export interface TensorRange extends ChannelRange {
  readonly channels: number;
}

/** An output operand; always written raw. */
export interface TargetRange extends TensorRange {
  /**
   * Where a convolution leaves statistics of what it wrote: f32 [batch][parts][1 + 2 * padded channels], a part being voxel count, means,
   * M2s. {@link OutputStatistics} says how many parts there are.
   */
  readonly statisticsSlot?: string;
}

/** Size of the statistics a convolution leaves. */
export interface OutputStatistics {
  /** Of each sample. */
  readonly parts: number;
  readonly bytes: number;
}

/** Size of statistics of `parts` parts a sample. */
export function statisticsOf(batch: number, parts: number, paddedChannels: number): OutputStatistics {
  return { parts, bytes: batch * parts * (1 + 2 * paddedChannels) * 4 };
}

/** An operand's channels in memory: every concatenated part padded to four on its own. */
export interface ChannelLayout {
  readonly padded: number;
  /** Where in memory each real channel is. */
  readonly positions: readonly number[];
}

export function channelLayout(parts: readonly number[]): ChannelLayout {
  let padded = 0;
  const positions = parts.flatMap((channels) => {
    const start = padded;
    padded += padToFour(channels);
    return Array.from({ length: channels }, (_, c) => start + c);
  });
  return { padded, positions };
}

/** Channels that an operand spans in memory. */
export function paddedChannels({ parts }: Pick<OperandRange, "parts">): number {
  return parts.reduce((sum, part) => sum + padToFour(part), 0);
}
