/**
 * Packs the weights of direct and transposed convolutions on all threads, to the bit as packDirect and packTransposed do. An item is one
 * panel of eight output channels and sixteen input channels.
 */
import { type I32, i32, i64 } from "../emit/expression.ts";
import type { Kernel } from "../emit/module_builder.ts";
import type { Packing } from "../kernel.ts";
import { at, listParams, type ParamTypes } from "../params.ts";
import { padToFour } from "../../../core/base/shape.ts";
import { PANEL } from "./gemm_kernels.ts";
import { ceilDiv, padToPanel, sum } from "./layout.ts";

/** Input channels an item packs. */
const CHUNK = 16;

export const PACK_DIRECT_PARAMS = {
  source: "address",
  weights: "address",
  bias: "address",
  biasSource: "address",
  packsBias: "i32",
  outputs: "i32",
  panelChannels: "i32",
  taps: "i32",
  /** Channels of this part of the input, real and as they lie in the packed weights; where the part starts there and in torch's. */
  partInputs: "i32",
  partWidth: "i32",
  firstInput: "i32",
  firstPosition: "i32",
  /** Floats between neighbours: torch's output and input channels, the packed panels and taps. */
  outputStep: "i32",
  inputStep: "i32",
  panelStep: "i32",
  tapStep: "i32",
} as const satisfies ParamTypes;

const wide = (value: I32) => i64.extendS(value);

export const packDirectKernel: Kernel = {
  name: "conv_direct_pack",
  emit: (m) =>
    m.kernel("conv_direct_pack", (f, params, item) => {
      const p = f.readParams(params, PACK_DIRECT_PARAMS);
      f.if(i32.and(p.packsBias, i32.eqz(item)), () => {
        f.zeroBytes(p.bias, i64.shl(wide(p.panelChannels), 2));
        f.copyBytes(p.bias, p.biasSource, i64.shl(wide(p.outputs), 2));
      });
      const chunks = f.local("i32", i32.divU(i32.add(p.partWidth, CHUNK - 1), CHUNK));
      const first = f.local("i32", i32.mul(i32.remU(item, chunks), CHUNK));
      const panel = f.local("i32", i32.divU(item, chunks));
      const width = f.local("i32", i32.min(f.local("i32", i32.sub(p.partWidth, first)), CHUNK));
      const real = f.local("i32", i32.min(f.local("i32", i32.sub(p.partInputs, first)), CHUNK));
      const lanes = f.local("i32", i32.min(f.local("i32", i32.sub(p.outputs, i32.mul(panel, PANEL))), PANEL));
      const position = i64.mul(wide(i32.add(p.firstPosition, first)), PANEL);
      const to = f.local(
        "i64",
        i64.add(p.weights, i64.shl(i64.add(i64.mul(wide(panel), wide(p.panelStep)), position), 2)),
      );
      const tapBytes = f.local("i64", i64.shl(wide(p.tapStep), 2));
      const [target, from, into] = [f.local("i64", to), f.local("i64"), f.local("i64")];
      f.countdown(p.taps, () => {
        f.zeroBytes(target, i64.mul(wide(width), PANEL * 4));
        f.add(target, tapBytes);
      });
      f.for(0, lanes, 1, (lane) => {
        const output = i64.mul(wide(i32.add(i32.mul(panel, PANEL), lane)), wide(p.outputStep));
        const input = i64.mul(wide(i32.add(p.firstInput, first)), wide(p.inputStep));
        const row = f.local("i64", i64.add(p.source, i64.shl(i64.add(output, input), 2)));
        f.set(target, i64.add(to, i64.shl(wide(lane), 2)));
        f.countdown(real, () => {
          f.set(from, row);
          f.set(into, target);
          f.countdown(p.taps, () => {
            f.storeI32(into, i32.load(from));
            f.add(from, 4);
            f.add(into, tapBytes);
          });
          f.set(row, i64.add(row, i64.shl(wide(p.inputStep), 2)));
          f.add(target, PANEL * 4);
        });
      });
    }),
};

/** A direct convolution's or (`transposed`) a transposed one's; `staged` is how many input channels the packed weights have. */
export function directPacking(
  weightSlot: string,
  parts: readonly number[],
  outputs: number,
  taps: number,
  staged: number,
  biasOffset: number,
  transposed: boolean,
): Packing {
  const sourceSlot = `${weightSlot}.torch`;
  const inputs = sum(parts);
  const panelChannels = padToPanel(outputs);
  const steps = transposed
    ? { outputStep: taps, inputStep: outputs * taps, panelStep: staged * PANEL, tapStep: staged * panelChannels }
    : { outputStep: inputs * taps, inputStep: taps, panelStep: taps * staged * PANEL, tapStep: staged * PANEL };
  let [firstInput, firstPosition] = [0, 0];
  const calls = parts.map((partInputs, part) => {
    // A single narrow part is not padded.
    const partWidth = Math.min(padToFour(partInputs), staged);
    const params = listParams(PACK_DIRECT_PARAMS, {
      source: at(sourceSlot),
      weights: at(weightSlot),
      bias: at(weightSlot, biasOffset),
      biasSource: at(sourceSlot, outputs * inputs * taps * 4),
      packsBias: part === 0 ? 1 : 0,
      outputs,
      panelChannels,
      taps,
      partInputs,
      partWidth,
      firstInput,
      firstPosition,
      ...steps,
    });
    firstInput += partInputs;
    firstPosition += partWidth;
    const items = panelChannels / PANEL * ceilDiv(partWidth, CHUNK);
    return { kernel: packDirectKernel.name, params, items, scratchBytes: 0 };
  });
  return { sourceSlot, sourceBytes: (outputs * inputs * taps + outputs) * 4, calls };
}
