/** From an output's sums to its loss and the coefficients of its gradient: one thread, a few numbers. */
import { f32, f32Literal, u32, type Uniform } from "../emit/thread_kernel.ts";
import { wgsl } from "../emit/template.ts";
import { LOSS_QUANTITIES, type LossSums } from "./loss_spec.ts";

/** The Dice loss is a mean over classes and, but with batch Dice, samples; of a share of a batch over all of its samples. */
function diceShape({ batch, batchDice, regions, logits: { channels }, of = batch }: LossSums) {
  const [first, groups] = [regions ? 0 : 1, batchDice ? 1 : batch];
  return { first, groups, terms: (channels - first) * (groups * of / batch) };
}

/** What differs from output to output. */
export function totalUniforms(spec: LossSums): Record<string, Uniform> {
  const weight = spec.outputWeight * spec.diceWeight / diceShape(spec).terms;
  return {
    result: u32(spec.resultIndex),
    dice_weight: f32(weight),
    nominator_weight: f32(-2 * weight),
    entropy_weight: f32(spec.outputWeight * spec.crossEntropyWeight),
  };
}

/** The kernel behind its header, with {@link totalUniforms}. Coefficients are multiplied by the loss scale, the loss is not. */
export function totalText(header: string, spec: LossSums, padded: number): string {
  const { batch, regions, logits: { channels }, of = batch } = spec;
  const { first, groups } = diceShape(spec);
  const samples = batch / groups;
  const counted = !regions
    ? ""
    : spec.ignores
    ? `counted = max(counted, ${f32Literal(1e-8)});`
    : `counted *= ${f32Literal(channels)};`;
  const ofWhole = of === batch ? "" : `counted *= ${f32Literal(of / batch)};`;
  return wgsl`
${header}

fn total(sample: u32, quantity: u32, channel: u32) -> f32 {
  return load_totals((sample * ${LOSS_QUANTITIES}u + quantity) * ${padded}u + channel);
}

@compute @workgroup_size(1)
fn main() {
  let loss_scale = load_options(0u);
  for (var i = 0u; i < ${batch * 2 * padded}u; i++) { store_coefficients(i, 0.0); }
  var dice = 0.0;
  for (var group = 0u; group < ${groups}u; group++) {
    for (var channel = ${first}u; channel < ${channels}u; channel++) {
      var intersection = 0.0;
      var volumes = ${f32Literal(spec.smooth)};
      for (var i = 0u; i < ${samples}u; i++) {
        let sample = group * ${samples}u + i;
        intersection += total(sample, 0u, channel);
        volumes += total(sample, 1u, channel) + total(sample, 2u, channel);
      }
      let nominator = 2.0 * intersection + ${f32Literal(spec.smooth)};
      let denominator = max(volumes, ${f32Literal(1e-8)});
      dice += nominator / denominator;
      let a = p.nominator_weight / denominator;
      // Where the denominator is clipped it does not depend on the prediction.
      let b = select(p.dice_weight * (nominator / denominator) / denominator, 0.0, volumes < ${f32Literal(1e-8)});
      for (var i = 0u; i < ${samples}u; i++) {
        let at = (group * ${samples}u + i) * ${2 * padded}u + channel;
        store_coefficients(at, a * loss_scale);
        store_coefficients(at + ${padded}u, b * loss_scale);
      }
    }
  }
  var entropy = 0.0;
  var counted = 0.0;
  for (var sample = 0u; sample < ${batch}u; sample++) {
    for (var channel = 0u; channel < ${channels}u; channel++) { entropy += total(sample, 3u, channel); }
    counted += total(sample, 4u, 0u);
  }
  ${counted}${ofWhole}
  // 0 / 0 voxels give 0.
  var per_voxel = 0.0;
  if (counted > 0.0) { per_voxel = p.entropy_weight / counted; }
  for (var i = 0u; i < 4u; i++) { store_coefficients(${batch * 2 * padded}u + i, per_voxel * loss_scale); }
  store_results(p.result, per_voxel * entropy - p.dice_weight * dice);
}
`;
}
