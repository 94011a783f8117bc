/**
 * Packs torch's weights for direct data gradients as packDirect lays them out: a chosen subset of the taps, in any order, channels in and
 * out swapped or not, the bias as zeros. An item is one panel of eight output channels and sixteen input channels.
 */
import { i32, i64 } from "../emit/expression.ts";
import type { Kernel } from "../emit/module_builder.ts";
import type { KernelCall } from "../kernel.ts";
import type { Vec3 } from "../../../core/base/shape.ts";
import { at, listParams, type ParamTypes } from "../params.ts";
import { PANEL } from "./gemm_kernels.ts";
import { ceilDiv, padToPanel } from "./layout.ts";
import { wide } from "./winograd_block.ts";

/** Input channels an item packs. */
const CHUNK = 16;

export const PACK_GRADIENT_PARAMS = {
  source: "address",
  weights: "address",
  bias: "address",
  inputs: "i32",
  /** Channels of a tap in the packed weights, at least `inputs`. */
  staged: "i32",
  outputs: "i32",
  panelChannels: "i32",
  tapsZ: "i32",
  tapsY: "i32",
  tapsX: "i32",
  /** Of torch's weight, floats: the first tap of the first channels, and the distances of channels and taps. */
  first: "i32",
  outputStep: "i32",
  inputStep: "i32",
  stepZ: "i32",
  stepY: "i32",
  stepX: "i32",
} as const satisfies ParamTypes;

export const packGradientKernel: Kernel = {
  name: "conv_data_gradient_pack",
  emit: (m) =>
    m.kernel("conv_data_gradient_pack", (f, params, item) => {
      const p = f.readParams(params, PACK_GRADIENT_PARAMS);
      f.if(i32.eqz(item), () => f.zeroBytes(p.bias, i64.shl(wide(p.panelChannels), 2)));
      const chunks = f.local("i32", i32.divU(i32.add(p.staged, CHUNK - 1), CHUNK));
      const first = f.local("i32", i32.mul(i32.remU(item, chunks), CHUNK));
      const panel = f.local("i32", i32.divU(item, chunks));
      const width = f.local("i32", i32.min(f.local("i32", i32.sub(p.staged, first)), CHUNK));
      const real = f.local("i32", i32.min(f.local("i32", i32.sub(p.inputs, first)), CHUNK));
      const lanes = f.local("i32", i32.min(f.local("i32", i32.sub(p.outputs, i32.mul(panel, PANEL))), PANEL));
      const bytes = (floats: Parameters<typeof wide>[0]) => f.local("i64", i64.shl(wide(floats), 2));
      const [stepZ, stepY, stepX, inputStep] = [p.stepZ, p.stepY, p.stepX, p.inputStep].map(bytes);
      const tapBytes = bytes(i32.mul(p.staged, PANEL));
      const taps = i32.mul(i32.mul(p.tapsZ, p.tapsY), p.tapsX);
      const panelAt = i64.mul(i64.mul(wide(panel), wide(taps)), tapBytes);
      const to = f.local("i64", i64.add(i64.add(p.weights, panelAt), i64.mul(wide(first), PANEL * 4)));
      const [row, plane, line, from, into] = Array.from({ length: 5 }, () => f.local("i64"));
      f.set(into, to);
      f.countdown(taps, () => {
        f.zeroBytes(into, i64.mul(wide(width), PANEL * 4));
        f.set(into, i64.add(into, tapBytes));
      });
      f.for(0, lanes, 1, (lane) => {
        const output = i64.mul(wide(i32.add(i32.mul(panel, PANEL), lane)), wide(p.outputStep));
        const input = i64.mul(wide(first), wide(p.inputStep));
        f.set(row, i64.add(p.source, i64.shl(i64.add(wide(p.first), i64.add(output, input)), 2)));
        const target = f.local("i64", i64.add(to, i64.shl(wide(lane), 2)));
        f.countdown(real, () => {
          f.set(into, target);
          f.set(plane, row);
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
    }),
};

export interface GradientPacking {
  readonly sourceSlot: string;
  readonly weightSlot: string;
  readonly biasOffset: number;
  readonly inputs: number;
  readonly staged: number;
  readonly outputs: number;
  readonly taps: Vec3;
  /** Floats, see {@link PACK_GRADIENT_PARAMS}. */
  readonly first: number;
  readonly outputStep: number;
  readonly inputStep: number;
  readonly tapSteps: Vec3;
}

export function gradientPackingCall(g: GradientPacking): KernelCall {
  const panelChannels = padToPanel(g.outputs);
  const params = listParams(PACK_GRADIENT_PARAMS, {
    source: at(g.sourceSlot),
    weights: at(g.weightSlot),
    bias: at(g.weightSlot, g.biasOffset),
    inputs: g.inputs,
    staged: g.staged,
    outputs: g.outputs,
    panelChannels,
    tapsZ: g.taps[0],
    tapsY: g.taps[1],
    tapsX: g.taps[2],
    first: g.first,
    outputStep: g.outputStep,
    inputStep: g.inputStep,
    stepZ: g.tapSteps[0],
    stepY: g.tapSteps[1],
    stepX: g.tapSteps[2],
  });
  const items = panelChannels / PANEL * ceilDiv(g.staged, CHUNK);
  return { kernel: packGradientKernel.name, params, items, scratchBytes: 0 };
}
