/**
 * What a WGSL kernel is to the GPU engine, and how operators are described as dispatches. A kernel is plain data: the whole text of one
 * module with an entry point `main`, what it binds, and how many workgroups it runs.
 *
 * Tensors are (batch, z, y, x, channels), f32 or f16, channels padded to four and read as vec4; padding lanes hold zeros. A tensor may be a
 * channel range of a wider one (a concat), and may span several bindings where a device binds less than it is long.
 */

/** How a slot is seen by a kernel: one storage binding per segment. */
export interface Binding {
  readonly slot: string;
  readonly access: "read" | "read_write";
  /** Which segment of the slot (see {@link SlotLayout}). */
  readonly segment: number;
}

/** Where a slot's vec4 elements are: element i lies in segment i / segmentLength. One segment unless the device's binding limit asks for more. */
export interface SlotLayout {
  readonly slot: string;
  /** Elements of the storage array (vec4 of `type`, or what the kernel says). */
  readonly length: number;
  readonly type: "f32" | "f16";
  readonly segments: number;
  readonly segmentLength: number;
}

/** One dispatch. Dispatches of an operator run in order, each seeing what the former ones wrote. */
export interface WgslDispatch {
  /** For errors and timings: "winograd input transform 4x4x4". */
  readonly name: string;
  /** The module; bindings are @group(0) @binding(0..n-1) in the order of `bindings`, then the uniform block, if any. */
  readonly code: string;
  readonly bindings: readonly Binding[];
  /** Contents of the uniform block, 16-byte aligned in size: start offsets and the like, so that one pipeline serves many dispatches. */
  readonly uniforms?: readonly { readonly type: "u32" | "i32" | "f32"; readonly value: number }[];
  /** Each at most 65535. */
  readonly workgroups: readonly [number, number, number];
}

/** An operator as dispatches over named slots. */
export interface WgslOperator {
  /** "winograd 4x4x4", "direct", ... for reports and the bench. */
  readonly algorithm: string;
  readonly dispatches: readonly WgslDispatch[];
  /** Slots beyond the operands, alive while the operator runs: name -> bytes. Contents undefined at the start. */
  readonly temporaries: Readonly<Record<string, number>>;
  /** Multiplications and additions of the direct form. */
  readonly flops: number;
  /** Bytes of device memory it must at least move. */
  readonly bytes: number;
}

/** An operator with weights: how torch's are packed for it, on the host. */
export interface WeightedWgslOperator extends WgslOperator {
  readonly weightBytes: number;
  pack(weight: Float32Array, bias: Float32Array | undefined, out: Float32Array): void;
}

/** An input whose norm and activation are applied on load: y = max(t, t * slope), t = v * scale + shift; zero padding after it. */
export interface WgslOperand {
  readonly layout: SlotLayout;
  /** Channels of the wider tensor, padded to four. */
  readonly channelStride: number;
  /** First channel; a multiple of four. */
  readonly channelOffset: number;
  /** Channels of each concatenated part; each part is padded to four on its own. */
  readonly parts: readonly number[];
  /** f32 [batch][3][channelStride]: scales, shifts, slopes. */
  readonly normSlot?: string;
}

/** An output, always raw, its padding lanes zeros. */
export interface WgslTarget {
  readonly layout: SlotLayout;
  readonly channelStride: number;
  readonly channelOffset: number;
  readonly channels: number;
  /** f32 [batch][parts][1 + 2 * padded channels]: voxel count, means, M2s of each part, merged in fixed order later. */
  readonly statisticsSlot?: string;
}
