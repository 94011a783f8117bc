import { assertEquals } from "../../assert.ts";
import type { NetworkArchitecture } from "../../../core/network/architecture.ts";
import { buildGraph } from "../../../core/network/build_graph.ts";
import { weightShapes } from "../../../core/graph/weight_shapes.ts";
import { parameterOrder, torchModules } from "../../../core/network/torch_modules.ts";
import golden from "./modules.json" with { type: "json" };

/** As make_modules.py builds them. */
const COMMON = { convBias: true, norm: { kind: "instance", eps: 1e-5, affine: true }, negativeSlope: 0.01 } as const;
const NETWORKS: Record<keyof typeof golden, { architecture: NetworkArchitecture; channels: number }> = {
  plain: {
    channels: 1,
    architecture: {
      ...COMMON,
      family: "PlainConvUNet",
      dimensions: 3,
      featuresPerStage: [4, 8, 8],
      kernelSizes: [[3, 3, 3], [3, 3, 3], [3, 3, 3]],
      strides: [[1, 1, 1], [2, 2, 2], [1, 2, 2]],
      blocksPerStage: [2, 1, 2],
      convsPerStageDecoder: [1, 2],
      nonlinFirst: false,
    },
  },
  residual: {
    channels: 2,
    architecture: {
      ...COMMON,
      family: "ResidualEncoderUNet",
      dimensions: 3,
      featuresPerStage: [4, 8, 8],
      kernelSizes: [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
      strides: [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
      blocksPerStage: [1, 2, 2],
      convsPerStageDecoder: [1, 1],
      nonlinFirst: false,
    },
  },
  flat: {
    channels: 3,
    architecture: {
      ...COMMON,
      family: "PlainConvUNet",
      dimensions: 2,
      featuresPerStage: [4, 8],
      kernelSizes: [[1, 3, 3], [1, 3, 3]],
      strides: [[1, 1, 1], [1, 2, 2]],
      blocksPerStage: [1, 1],
      convsPerStageDecoder: [1],
      nonlinFirst: true,
    },
  },
};

for (const [name, { architecture, channels }] of Object.entries(NETWORKS)) {
  const expected = golden[name as keyof typeof golden];

  Deno.test(`modules, aliases and parameter order of the ${name} network are torch's`, () => {
    const modules = torchModules(architecture);
    assertEquals(modules.map(({ path, version }) => [path, version]), expected.metadata);
    assertEquals(
      modules.flatMap(({ parameters }) => parameters.map(({ key, name }) => [key, name])),
      expected.keys.map(([key, name]) => [key, name]),
    );
    assertEquals(parameterOrder(modules), expected.parameters);
  });

  Deno.test(`parameters of the ${name} network are those of its graph`, () => {
    const graph = buildGraph(architecture, channels, 3, { deepSupervision: true });
    const names = weightShapes(graph).map(({ name }) => name);
    assertEquals([...parameterOrder(torchModules(architecture))].sort(), names.sort());
  });
}
