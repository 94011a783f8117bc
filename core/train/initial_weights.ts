/**
 * The weights a training starts from. Source: InitWeights_He(1e-2) and init_last_bn_before_add_to_0 of
 * dynamic_network_architectures 0.3.1; torch.nn.init.kaiming_normal_ (fan_in, leaky_relu).
 */
import { createRandomStream, type RandomStream } from "../base/random_stream.ts";
import type { WeightShape } from "../graph/weight_shapes.ts";

const NEGATIVE_SLOPE = 1e-2;
/** Purpose of the stream; see STREAM of augment/sample_choice.ts for the others. */
const PURPOSE = 255;

/** Values of all weights of a network, from its own stream for each, so that one layer's do not depend on another's. */
export function initialWeights(shapes: readonly WeightShape[], seed: number): Map<string, Float32Array> {
  return new Map(shapes.map(({ name, shape }, index) => {
    const values = new Float32Array(shape.reduce((product, n) => product * n, 1));
    if (/\.conv2\.norm\.weight$/.test(name)) values.fill(0); // the last norm of a residual block
    else if (/\.norm\.(weight|running_var)$/.test(name)) values.fill(1);
    else if (name.endsWith(".weight")) {
      const stream = createRandomStream({ seed, epoch: 0, iteration: 0, sample: index, purpose: PURPOSE });
      // torch counts the second axis as inputs, also of transposed convolutions, where it is the outputs.
      const fanIn = shape.slice(1).reduce((product, n) => product * n, 1);
      fillNormal(values, Math.sqrt(2 / (1 + NEGATIVE_SLOPE ** 2) / fanIn), stream);
    }
    return [name, values];
  }));
}

/** Normal values of mean 0. Source: Box and Muller, 1958. */
function fillNormal(values: Float32Array, deviation: number, stream: RandomStream): void {
  for (let i = 0; i < values.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - stream.uniform(0, 1)));
    const angle = 2 * Math.PI * stream.uniform(0, 1);
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}
