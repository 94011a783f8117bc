/**
 * Packs the weights of direct and transposed convolutions on all threads, to the bit as tapPacker does, and those of
 * data gradients: some of the taps, flipped. An item is one panel of eight output channels and sixteen input channels.
 */
import { type I32, i32, i64 } from "../emit/expression.ts";
import { kernelOf, type Local } from "../emit/module_builder.ts";
import type { KernelCall, Packing } from "../kernel.ts";
import { at, listParams, type ParamTypes } from "../params.ts";
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";
import { PANEL } from "./gemm_kernels.ts";
import { padToPanel } from "./layout.ts";
import { ceilDiv, productOf, sum } from "../../operators/arithmetic.ts";

/** Input channels an item packs. */
const CHUNK = 16;

const PACK_DIRECT_PARAMS = {
  source: "address",
  weights: "address",
  bias: "address",
  biasSource: "address",
  /** 1: the bias is written, 2: as zeros. */
  packsBias: "i32",
  outputs: "i32",
  panelChannels: "i32",
  taps: "axes",
  /** Channels of this part of the input, real and as they lie in the packed weights; where the part starts there and in torch's. */
  partInputs: "i32",
  partWidth: "i32",
  firstInput: "i32",
  firstPosition: "i32",
  /** The first of torch's floats that is packed, and floats between neighbours: its output and input channels and taps. */
  first: "i32",
  outputStep: "i32",
  inputStep: "i32",
  step: "axes",
  /** Floats between packed panels and taps. */
  panelStep: "i32",
  tapStep: "i32",
} as const satisfies ParamTypes;

const wide = (value: I32) => i64.extendS(value);

export const packDirectKernel = kernelOf("conv_direct_pack", PACK_DIRECT_PARAMS, (f, p, item) => {
  f.if(i32.and(i32.gtS(p.packsBias, 0), i32.eqz(item)), () => {
    f.zeroBytes(p.bias, i64.shl(wide(p.panelChannels), 2));
    f.if(i32.eq(p.packsBias, 1), () => f.copyBytes(p.bias, p.biasSource, i64.shl(wide(p.outputs), 2)));
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
  const bytesOf = (floats: Local<"i32">) => f.local("i64", i64.shl(wide(floats), 2));
  const [inputStep, stepZ, stepY, stepX] = [p.inputStep, p.stepZ, p.stepY, p.stepX].map(bytesOf);
  const [target, from, into] = [f.local("i64", to), f.local("i64"), f.local("i64")];
  const [plane, line] = f.locals("i64", 2);
  f.countdown(i32.mul(i32.mul(p.tapsZ, p.tapsY), p.tapsX), () => {
    f.zeroBytes(target, i64.mul(wide(width), PANEL * 4));
    f.add(target, tapBytes);
  });
  f.for(0, lanes, 1, (lane) => {
    const output = i64.mul(wide(i32.add(i32.mul(panel, PANEL), lane)), wide(p.outputStep));
    const input = i64.mul(wide(i32.add(p.firstInput, first)), wide(p.inputStep));
    const start = i64.add(wide(p.first), i64.add(output, input));
    const row = f.local("i64", i64.add(p.source, i64.shl(start, 2)));
    f.set(target, i64.add(to, i64.shl(wide(lane), 2)));
    f.countdown(real, () => {
      f.set(plane, row);
      f.set(into, target);
      f.countdown(p.tapsZ, () => {
        f.set(line, plane);
        f.countdown(p.tapsY, () => {
          f.set(from, line);
          f.countdown(p.tapsX, () => {
            f.storeI32(into, i32.load(from));
            f.set(from, i64.add(from, stepX));
            f.set(into, i64.add(into, tapBytes));
          });
          f.set(line, i64.add(line, stepY));
        });
        f.set(plane, i64.add(plane, stepZ));
      });
      f.set(row, i64.add(row, inputStep));
      f.add(target, PANEL * 4);
    });
  });
});

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
      taps: [1, 1, taps],
      first: 0,
      step: [0, 0, 1],
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

/** Weights of a direct data gradient. */
export interface GradientPacking {
  readonly sourceSlot: string;
  readonly weightSlot: string;
  readonly biasOffset: number;
  readonly inputs: number;
  readonly staged: number;
  readonly outputs: number;
  readonly taps: Vec3;
  /** Floats, see {@link PACK_DIRECT_PARAMS}. */
  readonly first: number;
  readonly outputStep: number;
  readonly inputStep: number;
  readonly tapSteps: Vec3;
}

export function gradientPackingCall(g: GradientPacking): KernelCall {
  const panelChannels = padToPanel(g.outputs);
  const params = listParams(PACK_DIRECT_PARAMS, {
    source: at(g.sourceSlot),
    weights: at(g.weightSlot),
    bias: at(g.weightSlot, g.biasOffset),
    biasSource: at(g.sourceSlot),
    packsBias: 2,
    outputs: g.outputs,
    panelChannels,
    taps: g.taps,
    partInputs: g.inputs,
    partWidth: g.staged,
    firstInput: 0,
    firstPosition: 0,
    first: g.first,
    outputStep: g.outputStep,
    inputStep: g.inputStep,
    step: g.tapSteps,
    panelStep: productOf(g.taps) * g.staged * PANEL,
    tapStep: g.staged * PANEL,
  });
  const items = panelChannels / PANEL * ceilDiv(g.staged, CHUNK);
  return { kernel: packDirectKernel.name, params, items, scratchBytes: 0 };
}
