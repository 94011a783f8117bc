/** The distinct convolutions of a network that benches time (core/cases/networks.ts). */
import type { Vec3 } from "../../core/base/shape.ts";
import type { NetworkSize } from "../../core/cases/networks.ts";
import { inferShapes } from "../../core/graph/graph.ts";

export interface Layer {
  /** "32+32->32 3x3x3 of 64x64x64". */
  readonly name: string;
  /** How often it occurs. */
  times: number;
  /** Of its input. */
  readonly grid: Vec3;
  /** Channels of the concatenated inputs. */
  readonly parts: readonly number[];
  readonly outputs: number;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly transposed: boolean;
  /** Its input has a norm that is applied on load, and what follows has one that needs statistics. */
  readonly norm: boolean;
  readonly statistics: boolean;
}

export function layersOf({ graph, patch }: NetworkSize): Layer[] {
  const shapes = inferShapes(graph, patch);
  const layers = new Map<string, Layer>();
  graph.nodes.forEach((node, id) => {
    if (node.kind !== "conv" && node.kind !== "transposedConv") return;
    const source = graph.nodes[node.input];
    const parts = (source.kind === "concat" ? source.inputs : [node.input]).map((input) => shapes[input].channels);
    const { input, channels: outputs, stride } = node;
    const transposed = node.kind === "transposedConv";
    const kernel = node.kind === "conv" ? node.kernel : stride;
    const { grid } = shapes[input];
    const strided = stride.some((n) => n > 1) ? `/${stride.join("x")}` : "";
    const name = `${transposed ? "transposed " : ""}${parts.join("+")}->${outputs} ${kernel.join("x")}${strided} of ${
      grid.join("x")
    }`;
    const known = layers.get(name);
    if (known) known.times++;
    else {
      const norm = source.kind !== "input";
      const statistics = graph.nodes.some((next) => next.kind === "instanceNorm" && next.input === id);
      layers.set(name, { name, times: 1, grid, parts, outputs, kernel, stride, transposed, norm, statistics });
    }
  });
  return [...layers.values()];
}
