@group(0) @binding(0) var<storage, read> sums_0: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradient_0: array<f32>;
struct Parameters {
  start: u32,
  end: u32,
  inputs: u32,
  padded: u32,
  matrix: u32,
  parts: u32,
  sums_0: u32,
  gradient_0: u32,
}
@group(0) @binding(2) var<uniform> p: Parameters;
fn load_sums(i: u32) -> f32 {
  { return f32(sums_0[i - p.sums_0]); }
}
fn load_gradient(i: u32) -> f32 {
  { return f32(gradient_0[i - p.gradient_0]); }
}
fn store_gradient(i: u32, value: f32) {
  { gradient_0[i - p.gradient_0] = f32(value); }
}

const taps_z = array<f32, 18>(f32(0.9403122067451477), f32(0), f32(0), f32(-0.5951866507530212), f32(-0.4091908037662506), f32(-0.28131869435310364), f32(-0.5951866507530212), f32(0.4091908037662506), f32(-0.28131869435310364), f32(0.1250305324792862), f32(0.1875457912683487), f32(0.28131869435310364), f32(0.1250305324792862), f32(-0.1875457912683487), f32(0.28131869435310364), f32(0), f32(0), f32(1));
const taps_y = array<f32, 18>(f32(0.9403122067451477), f32(0), f32(0), f32(-0.5951866507530212), f32(-0.4091908037662506), f32(-0.28131869435310364), f32(-0.5951866507530212), f32(0.4091908037662506), f32(-0.28131869435310364), f32(0.1250305324792862), f32(0.1875457912683487), f32(0.28131869435310364), f32(0.1250305324792862), f32(-0.1875457912683487), f32(0.28131869435310364), f32(0), f32(0), f32(1));

fn input_position(channel: u32) -> u32 { return select(channel, channel + 0u, channel >= 8u); }

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let thread = p.start + id.x;
  if (thread >= p.end) { return; }
  let first = thread / p.inputs * p.padded + input_position(thread % p.inputs);
  var sum_0 = 0.0; var sum_1 = 0.0; var sum_2 = 0.0; var sum_3 = 0.0; var sum_4 = 0.0; var sum_5 = 0.0; var sum_6 = 0.0; var sum_7 = 0.0; var sum_8 = 0.0; var sum_9 = 0.0; var sum_10 = 0.0; var sum_11 = 0.0; var sum_12 = 0.0; var sum_13 = 0.0; var sum_14 = 0.0; var sum_15 = 0.0; var sum_16 = 0.0; var sum_17 = 0.0; var sum_18 = 0.0; var sum_19 = 0.0; var sum_20 = 0.0; var sum_21 = 0.0; var sum_22 = 0.0; var sum_23 = 0.0; var sum_24 = 0.0; var sum_25 = 0.0; var sum_26 = 0.0;
  for (var z = 0u; z < 6u; z++) {
    var plane_0 = 0.0; var plane_1 = 0.0; var plane_2 = 0.0; var plane_3 = 0.0; var plane_4 = 0.0; var plane_5 = 0.0; var plane_6 = 0.0; var plane_7 = 0.0; var plane_8 = 0.0;
    for (var y = 0u; y < 6u; y++) {
      var m_0 = 0.0; var m_1 = 0.0; var m_2 = 0.0; var m_3 = 0.0; var m_4 = 0.0; var m_5 = 0.0;
      for (var part = 0u; part < p.parts; part++) {
        let at = ((part * 6u + z) * 6u + y) * 6u * p.matrix + first;
        m_0 += load_sums(at + 0u * p.matrix);
        m_1 += load_sums(at + 1u * p.matrix);
        m_2 += load_sums(at + 2u * p.matrix);
        m_3 += load_sums(at + 3u * p.matrix);
        m_4 += load_sums(at + 4u * p.matrix);
        m_5 += load_sums(at + 5u * p.matrix);
      }
      let t_0 = f32(0.9403122067451477) * m_0 + f32(-0.5951866507530212) * m_1 + f32(-0.5951866507530212) * m_2 + f32(0.1250305324792862) * m_3 + f32(0.1250305324792862) * m_4;
      let t_1 = f32(-0.4091908037662506) * m_1 + f32(0.4091908037662506) * m_2 + f32(0.1875457912683487) * m_3 + f32(-0.1875457912683487) * m_4;
      let t_2 = f32(-0.28131869435310364) * m_1 + f32(-0.28131869435310364) * m_2 + f32(0.28131869435310364) * m_3 + f32(0.28131869435310364) * m_4 + f32(1) * m_5;
      { let factor = taps_y[y * 3u + 0u]; plane_0 = fma(factor, t_0, plane_0); plane_1 = fma(factor, t_1, plane_1); plane_2 = fma(factor, t_2, plane_2); }
      { let factor = taps_y[y * 3u + 1u]; plane_3 = fma(factor, t_0, plane_3); plane_4 = fma(factor, t_1, plane_4); plane_5 = fma(factor, t_2, plane_5); }
      { let factor = taps_y[y * 3u + 2u]; plane_6 = fma(factor, t_0, plane_6); plane_7 = fma(factor, t_1, plane_7); plane_8 = fma(factor, t_2, plane_8); }
    }
    { let factor = taps_z[z * 3u + 0u]; sum_0 = fma(factor, plane_0, sum_0); sum_1 = fma(factor, plane_1, sum_1); sum_2 = fma(factor, plane_2, sum_2); sum_3 = fma(factor, plane_3, sum_3); sum_4 = fma(factor, plane_4, sum_4); sum_5 = fma(factor, plane_5, sum_5); sum_6 = fma(factor, plane_6, sum_6); sum_7 = fma(factor, plane_7, sum_7); sum_8 = fma(factor, plane_8, sum_8); }
    { let factor = taps_z[z * 3u + 1u]; sum_9 = fma(factor, plane_0, sum_9); sum_10 = fma(factor, plane_1, sum_10); sum_11 = fma(factor, plane_2, sum_11); sum_12 = fma(factor, plane_3, sum_12); sum_13 = fma(factor, plane_4, sum_13); sum_14 = fma(factor, plane_5, sum_14); sum_15 = fma(factor, plane_6, sum_15); sum_16 = fma(factor, plane_7, sum_16); sum_17 = fma(factor, plane_8, sum_17); }
    { let factor = taps_z[z * 3u + 2u]; sum_18 = fma(factor, plane_0, sum_18); sum_19 = fma(factor, plane_1, sum_19); sum_20 = fma(factor, plane_2, sum_20); sum_21 = fma(factor, plane_3, sum_21); sum_22 = fma(factor, plane_4, sum_22); sum_23 = fma(factor, plane_5, sum_23); sum_24 = fma(factor, plane_6, sum_24); sum_25 = fma(factor, plane_7, sum_25); sum_26 = fma(factor, plane_8, sum_26); }
  }
  let weight = thread * 27u;
  store_gradient(weight + 0u, sum_0);
  store_gradient(weight + 1u, sum_1);
  store_gradient(weight + 2u, sum_2);
  store_gradient(weight + 3u, sum_3);
  store_gradient(weight + 4u, sum_4);
  store_gradient(weight + 5u, sum_5);
  store_gradient(weight + 6u, sum_6);
  store_gradient(weight + 7u, sum_7);
  store_gradient(weight + 8u, sum_8);
  store_gradient(weight + 9u, sum_9);
  store_gradient(weight + 10u, sum_10);
  store_gradient(weight + 11u, sum_11);
  store_gradient(weight + 12u, sum_12);
  store_gradient(weight + 13u, sum_13);
  store_gradient(weight + 14u, sum_14);
  store_gradient(weight + 15u, sum_15);
  store_gradient(weight + 16u, sum_16);
  store_gradient(weight + 17u, sum_17);
  store_gradient(weight + 18u, sum_18);
  store_gradient(weight + 19u, sum_19);
  store_gradient(weight + 20u, sum_20);
  store_gradient(weight + 21u, sum_21);
  store_gradient(weight + 22u, sum_22);
  store_gradient(weight + 23u, sum_23);
  store_gradient(weight + 24u, sum_24);
  store_gradient(weight + 25u, sum_25);
  store_gradient(weight + 26u, sum_26);
}
