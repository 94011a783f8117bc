/**
 * The modules of nnU-Net's two U-Nets as torch holds them: their paths, versions and parameters in the order of state_dict(), with
 * every alias. Source: dynamic_network_architectures 0.3.1, as core/network/build_graph.ts, whose names the parameters have.
 */
import type { NetworkArchitecture } from "./architecture.ts";

export interface TorchModule {
  /** "encoder.stages.0.0.convs.0.conv"; empty for the network itself. */
  readonly path: string;
  /** torch's `_version` of the module. */
  readonly version: 1 | 2;
  /** Name in the state_dict, and the weight of the graph it stands for (but for num_batches_tracked, which no graph has). */
  readonly parameters: readonly { readonly key: string; readonly name: string }[];
}

/** What torch calls a buffer: kept with the parameters, but not learnt. */
const BUFFERS = ["running_mean", "running_var", "num_batches_tracked"];

/** All modules in the order of torch's state_dict. */
export function torchModules(architecture: NetworkArchitecture): TorchModule[] {
  const { featuresPerStage: features, norm, convBias, negativeSlope, nonlinFirst } = architecture;
  const modules: TorchModule[] = [];
  /** @param owner Path of the module whose parameters they are */
  const add = (path: string, owner = "", parameters: readonly string[] = [], version: 1 | 2 = 1) => {
    const own = parameters.map((parameter) => ({ key: `${path}.${parameter}`, name: `${owner}.${parameter}` }));
    modules.push({ path, version, parameters: own });
  };

  function convolution(path: string, owner: string, bias: boolean): void {
    add(path, owner, bias ? ["weight", "bias"] : ["weight"]);
  }
  /** ConvDropoutNormReLU: its parts, and the same again in a Sequential. */
  function block(path: string, owner: string, bias: boolean, nonlinear: boolean): void {
    type Part = readonly [name: string, add: (path: string) => void];
    const parts: Part[] = [["conv", (at) => convolution(at, `${owner}.conv`, bias)]];
    if (norm.kind !== "none") {
      const held = [...(norm.affine ? ["weight", "bias"] : []), ...(norm.kind === "batch" ? BUFFERS : [])];
      parts.push(["norm", (at) => add(at, `${owner}.norm`, held, 2)]);
    }
    if (nonlinear && negativeSlope !== 1) parts.push(["nonlin", (at) => add(at)]);
    add(path);
    for (const [name, addPart] of parts) addPart(`${path}.${name}`);
    add(`${path}.all_modules`);
    const order = nonlinFirst && parts.length === 3 ? [parts[0], parts[2], parts[1]] : parts;
    order.forEach(([, addPart], index) => addPart(`${path}.all_modules.${index}`));
  }
  /** StackedConvBlocks. */
  function stackedConvs(path: string, owner: string, count: number): void {
    add(path);
    add(`${path}.convs`);
    for (let i = 0; i < count; i++) block(`${path}.convs.${i}`, `${owner}.convs.${i}`, convBias, true);
  }
  /** BasicBlockD. */
  function residualBlock(path: string, owner: string, strided: boolean, projected: boolean): void {
    add(path);
    block(`${path}.conv1`, `${owner}.conv1`, convBias, true);
    block(`${path}.conv2`, `${owner}.conv2`, convBias, false);
    if (negativeSlope !== 1) add(`${path}.nonlin2`);
    if (!strided && !projected) return;
    add(`${path}.skip`);
    if (strided) add(`${path}.skip.0`);
    const index = strided ? 1 : 0;
    if (projected) block(`${path}.skip.${index}`, `${owner}.skip.${index}`, false, false);
  }
  function encoder(path: string): void {
    const owner = "encoder";
    const residual = architecture.family === "ResidualEncoderUNet";
    add(path);
    if (residual) stackedConvs(`${path}.stem`, `${owner}.stem`, 1);
    add(`${path}.stages`);
    let inputs = architecture.stemChannels ?? features[0];
    features.forEach((outputs, stage) => {
      const at = `stages.${stage}`;
      add(`${path}.${at}`);
      const count = architecture.blocksPerStage[stage];
      if (!residual) return stackedConvs(`${path}.${at}.0`, `${owner}.${at}.0`, count);
      add(`${path}.${at}.blocks`);
      const strided = architecture.strides[stage].some((step) => step !== 1);
      for (let i = 0; i < count; i++) {
        const name = `${at}.blocks.${i}`;
        residualBlock(`${path}.${name}`, `${owner}.${name}`, i === 0 && strided, i === 0 && inputs !== outputs);
      }
      inputs = outputs;
    });
  }

  add("");
  encoder("encoder");
  add("decoder");
  encoder("decoder.encoder");
  const levels = Array.from({ length: features.length - 1 }, (_, level) => level);
  add("decoder.stages");
  for (const i of levels) {
    stackedConvs(`decoder.stages.${i}`, `decoder.stages.${i}`, architecture.convsPerStageDecoder[i]);
  }
  add("decoder.transpconvs");
  for (const i of levels) convolution(`decoder.transpconvs.${i}`, `decoder.transpconvs.${i}`, convBias);
  add("decoder.seg_layers");
  for (const i of levels) convolution(`decoder.seg_layers.${i}`, `decoder.seg_layers.${i}`, true);
  return modules;
}

/** Names of the parameters in the order of torch's network.parameters(), by which the optimizer's state counts them. */
export function parameterOrder(modules: readonly TorchModule[]): string[] {
  const names = modules.flatMap(({ parameters }) => parameters.map(({ name }) => name));
  return [...new Set(names)].filter((name) => !BUFFERS.some((buffer) => name.endsWith(`.${buffer}`)));
}
