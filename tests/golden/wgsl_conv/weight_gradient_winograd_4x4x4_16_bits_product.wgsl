@group(0) @binding(0) var<storage, read> gradients_0: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> inputs_0: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> sums_0: array<vec4<f32>>;
struct Parameters {
  start: u32,
  end: u32,
  rows: u32,
  accumulate: u32,
  gradients_0: u32,
  inputs_0: u32,
  sums_0: u32,
  unused_0: u32,
}
@group(0) @binding(3) var<uniform> p: Parameters;
fn load_gradients(i: u32) -> vec2<u32> {
  { return vec2<u32>(gradients_0[i - p.gradients_0]); }
}
fn load_inputs(i: u32) -> vec2<u32> {
  { return vec2<u32>(inputs_0[i - p.inputs_0]); }
}
fn load_sums(i: u32) -> vec4<f32> {
  { return vec4<f32>(sums_0[i - p.sums_0]); }
}
fn store_sums(i: u32, value: vec4<f32>) {
  { sums_0[i - p.sums_0] = vec4<f32>(value); }
}

/// Four multiples of a step, 14 bits each above -8192, and 8 bits for the step.
fn pack_block(value: vec4f) -> vec2u {
  let bits = bitcast<vec4u>(value) & vec4u(0x7fffffffu);
  // A little more, so that rounding up has room.
  let largest = (max(max(bits.x, bits.y), max(bits.z, bits.w)) + 1024u) >> 21u;
  let code = clamp(largest, 415u, 670u) - 415u;
  let inverse = 1.0 / bitcast<f32>((code + 364u) << 21u);
  let m = bitcast<vec4u>(fma(value, vec4f(inverse), vec4f(8396800.0)));
  return (m.yw << vec2u(18u)) | (vec2u(code & 15u, code >> 4u) << vec2u(14u)) | (m.xz & vec2u(0x3fffu));
}

fn unpack_block(block: vec2u) -> vec4f {
  let code = (block >> vec2u(14u)) & vec2u(15u);
  let of_step = code.x | (code.y << 4u);
  let step = bitcast<f32>(select(of_step + 364u, 1022u, of_step == 255u) << 21u);
  let low = block & vec2u(0x3fffu);
  let high = block >> vec2u(18u);
  // 2^23 and more: what is stored is the last bits of these f32.
  return (bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y) | vec4u(0x4b000000u)) - vec4f(8396800.0)) * step;
}

fn gradients_at(point: u32, row: u32, block: u32) -> vec2<u32> {
  if (row >= p.rows || block >= 4u) { return vec2u(0x80002000u); }
  return load_gradients((point * 16u + row) * 4u + block);
}

fn inputs_at(point: u32, row: u32, block: u32) -> vec2<u32> {
  if (row >= p.rows || block >= 4u) { return vec2u(0x80002000u); }
  return load_inputs((point * 16u + row) * 4u + block);
}

fn add_up(at: u32, value: vec4f) {
  if (p.accumulate == 0u) { store_sums(at, value); } else { store_sums(at, load_sums(at) + value); }
}


/// Slices of A and then of B, [k][block]; at the end the sums of shares.
var<workgroup> shared_ab: array<vec4f, 256>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first_a = group.x / 1u * 4u;
  let first_b = group.x % 1u * 4u;
  let share = lane / 4u;
  let ta = lane % 4u / 2u;
  let tb = lane % 2u;
  let point = group.z;
  let first = group.y * 32u;
  let matrix = (group.y * 216u + point) * 64u;
  var c_0_0 = vec4f(0.0);
  var c_0_1 = vec4f(0.0);
  var c_1_0 = vec4f(0.0);
  var c_1_1 = vec4f(0.0);
  var c_2_0 = vec4f(0.0);
  var c_2_1 = vec4f(0.0);
  var c_3_0 = vec4f(0.0);
  var c_3_1 = vec4f(0.0);
  var c_4_0 = vec4f(0.0);
  var c_4_1 = vec4f(0.0);
  var c_5_0 = vec4f(0.0);
  var c_5_1 = vec4f(0.0);
  var c_6_0 = vec4f(0.0);
  var c_6_1 = vec4f(0.0);
  var c_7_0 = vec4f(0.0);
  var c_7_1 = vec4f(0.0);
  // Step s fetches slice s and multiplies slice s - 1, which is in workgroup memory by then.
  for (var step = 0u; step <= 1u; step++) {
    var fetched_a_0 = vec2u(0x80002000u); var fetched_a_1 = vec2u(0x80002000u);
    var fetched_b_0 = vec2u(0x80002000u); var fetched_b_1 = vec2u(0x80002000u);
    if (step < 1u) {
      let k0 = step * 32u;
      fetched_a_0 = gradients_at(point, first + k0 + (lane + 0u) / 4u, first_a + (lane + 0u) % 4u);
      fetched_a_1 = gradients_at(point, first + k0 + (lane + 64u) / 4u, first_a + (lane + 64u) % 4u);
      fetched_b_0 = inputs_at(point, first + k0 + (lane + 0u) / 4u, first_b + (lane + 0u) % 4u);
      fetched_b_1 = inputs_at(point, first + k0 + (lane + 64u) / 4u, first_b + (lane + 64u) % 4u);
    }
    if (step > 0u) {
      for (var k = share; k < 32u; k += 32u) {
        {
          let a_0 = shared_ab[(k + 0u) * 4u + 0u + ta];
          let a_1 = shared_ab[(k + 0u) * 4u + 2u + ta];
          let b_0 = shared_ab[(k + 0u) * 4u + 128u + tb];
          let b_1 = shared_ab[(k + 0u) * 4u + 130u + tb];
          c_0_0 = fma(vec4f(a_0.x), b_0, c_0_0);
          c_0_1 = fma(vec4f(a_0.x), b_1, c_0_1);
          c_1_0 = fma(vec4f(a_0.y), b_0, c_1_0);
          c_1_1 = fma(vec4f(a_0.y), b_1, c_1_1);
          c_2_0 = fma(vec4f(a_0.z), b_0, c_2_0);
          c_2_1 = fma(vec4f(a_0.z), b_1, c_2_1);
          c_3_0 = fma(vec4f(a_0.w), b_0, c_3_0);
          c_3_1 = fma(vec4f(a_0.w), b_1, c_3_1);
          c_4_0 = fma(vec4f(a_1.x), b_0, c_4_0);
          c_4_1 = fma(vec4f(a_1.x), b_1, c_4_1);
          c_5_0 = fma(vec4f(a_1.y), b_0, c_5_0);
          c_5_1 = fma(vec4f(a_1.y), b_1, c_5_1);
          c_6_0 = fma(vec4f(a_1.z), b_0, c_6_0);
          c_6_1 = fma(vec4f(a_1.z), b_1, c_6_1);
          c_7_0 = fma(vec4f(a_1.w), b_0, c_7_0);
          c_7_1 = fma(vec4f(a_1.w), b_1, c_7_1);
        }
        {
          let a_0 = shared_ab[(k + 16u) * 4u + 0u + ta];
          let a_1 = shared_ab[(k + 16u) * 4u + 2u + ta];
          let b_0 = shared_ab[(k + 16u) * 4u + 128u + tb];
          let b_1 = shared_ab[(k + 16u) * 4u + 130u + tb];
          c_0_0 = fma(vec4f(a_0.x), b_0, c_0_0);
          c_0_1 = fma(vec4f(a_0.x), b_1, c_0_1);
          c_1_0 = fma(vec4f(a_0.y), b_0, c_1_0);
          c_1_1 = fma(vec4f(a_0.y), b_1, c_1_1);
          c_2_0 = fma(vec4f(a_0.z), b_0, c_2_0);
          c_2_1 = fma(vec4f(a_0.z), b_1, c_2_1);
          c_3_0 = fma(vec4f(a_0.w), b_0, c_3_0);
          c_3_1 = fma(vec4f(a_0.w), b_1, c_3_1);
          c_4_0 = fma(vec4f(a_1.x), b_0, c_4_0);
          c_4_1 = fma(vec4f(a_1.x), b_1, c_4_1);
          c_5_0 = fma(vec4f(a_1.y), b_0, c_5_0);
          c_5_1 = fma(vec4f(a_1.y), b_1, c_5_1);
          c_6_0 = fma(vec4f(a_1.z), b_0, c_6_0);
          c_6_1 = fma(vec4f(a_1.z), b_1, c_6_1);
          c_7_0 = fma(vec4f(a_1.w), b_0, c_7_0);
          c_7_1 = fma(vec4f(a_1.w), b_1, c_7_1);
        }
      }
    }
    workgroupBarrier();
    if (step < 1u) {
      shared_ab[0u + (lane + 0u)] = unpack_block(fetched_a_0);
      shared_ab[0u + (lane + 64u)] = unpack_block(fetched_a_1);
      shared_ab[128u + (lane + 0u)] = unpack_block(fetched_b_0);
      shared_ab[128u + (lane + 64u)] = unpack_block(fetched_b_1);
    }
    workgroupBarrier();
  }
  if (share >= 8u && share < 16u) {
    shared_ab[0u + lane % 32u] = c_0_0;
    shared_ab[32u + lane % 32u] = c_0_1;
    shared_ab[64u + lane % 32u] = c_1_0;
    shared_ab[96u + lane % 32u] = c_1_1;
    shared_ab[128u + lane % 32u] = c_2_0;
    shared_ab[160u + lane % 32u] = c_2_1;
    shared_ab[192u + lane % 32u] = c_3_0;
    shared_ab[224u + lane % 32u] = c_3_1;
  }
  workgroupBarrier();
  if (share < 8u) {
    c_0_0 += shared_ab[0u + lane % 32u];
    c_0_1 += shared_ab[32u + lane % 32u];
    c_1_0 += shared_ab[64u + lane % 32u];
    c_1_1 += shared_ab[96u + lane % 32u];
    c_2_0 += shared_ab[128u + lane % 32u];
    c_2_1 += shared_ab[160u + lane % 32u];
    c_3_0 += shared_ab[192u + lane % 32u];
    c_3_1 += shared_ab[224u + lane % 32u];
  }
  workgroupBarrier();
  if (share >= 8u && share < 16u) {
    shared_ab[0u + lane % 32u] = c_4_0;
    shared_ab[32u + lane % 32u] = c_4_1;
    shared_ab[64u + lane % 32u] = c_5_0;
    shared_ab[96u + lane % 32u] = c_5_1;
    shared_ab[128u + lane % 32u] = c_6_0;
    shared_ab[160u + lane % 32u] = c_6_1;
    shared_ab[192u + lane % 32u] = c_7_0;
    shared_ab[224u + lane % 32u] = c_7_1;
  }
  workgroupBarrier();
  if (share < 8u) {
    c_4_0 += shared_ab[0u + lane % 32u];
    c_4_1 += shared_ab[32u + lane % 32u];
    c_5_0 += shared_ab[64u + lane % 32u];
    c_5_1 += shared_ab[96u + lane % 32u];
    c_6_0 += shared_ab[128u + lane % 32u];
    c_6_1 += shared_ab[160u + lane % 32u];
    c_7_0 += shared_ab[192u + lane % 32u];
    c_7_1 += shared_ab[224u + lane % 32u];
  }
  workgroupBarrier();
  if (share >= 4u && share < 8u) {
    shared_ab[0u + lane % 16u] = c_0_0;
    shared_ab[16u + lane % 16u] = c_0_1;
    shared_ab[32u + lane % 16u] = c_1_0;
    shared_ab[48u + lane % 16u] = c_1_1;
    shared_ab[64u + lane % 16u] = c_2_0;
    shared_ab[80u + lane % 16u] = c_2_1;
    shared_ab[96u + lane % 16u] = c_3_0;
    shared_ab[112u + lane % 16u] = c_3_1;
    shared_ab[128u + lane % 16u] = c_4_0;
    shared_ab[144u + lane % 16u] = c_4_1;
    shared_ab[160u + lane % 16u] = c_5_0;
    shared_ab[176u + lane % 16u] = c_5_1;
    shared_ab[192u + lane % 16u] = c_6_0;
    shared_ab[208u + lane % 16u] = c_6_1;
    shared_ab[224u + lane % 16u] = c_7_0;
    shared_ab[240u + lane % 16u] = c_7_1;
  }
  workgroupBarrier();
  if (share < 4u) {
    c_0_0 += shared_ab[0u + lane % 16u];
    c_0_1 += shared_ab[16u + lane % 16u];
    c_1_0 += shared_ab[32u + lane % 16u];
    c_1_1 += shared_ab[48u + lane % 16u];
    c_2_0 += shared_ab[64u + lane % 16u];
    c_2_1 += shared_ab[80u + lane % 16u];
    c_3_0 += shared_ab[96u + lane % 16u];
    c_3_1 += shared_ab[112u + lane % 16u];
    c_4_0 += shared_ab[128u + lane % 16u];
    c_4_1 += shared_ab[144u + lane % 16u];
    c_5_0 += shared_ab[160u + lane % 16u];
    c_5_1 += shared_ab[176u + lane % 16u];
    c_6_0 += shared_ab[192u + lane % 16u];
    c_6_1 += shared_ab[208u + lane % 16u];
    c_7_0 += shared_ab[224u + lane % 16u];
    c_7_1 += shared_ab[240u + lane % 16u];
  }
  workgroupBarrier();
  if (share >= 2u && share < 4u) {
    shared_ab[0u + lane % 8u] = c_0_0;
    shared_ab[8u + lane % 8u] = c_0_1;
    shared_ab[16u + lane % 8u] = c_1_0;
    shared_ab[24u + lane % 8u] = c_1_1;
    shared_ab[32u + lane % 8u] = c_2_0;
    shared_ab[40u + lane % 8u] = c_2_1;
    shared_ab[48u + lane % 8u] = c_3_0;
    shared_ab[56u + lane % 8u] = c_3_1;
    shared_ab[64u + lane % 8u] = c_4_0;
    shared_ab[72u + lane % 8u] = c_4_1;
    shared_ab[80u + lane % 8u] = c_5_0;
    shared_ab[88u + lane % 8u] = c_5_1;
    shared_ab[96u + lane % 8u] = c_6_0;
    shared_ab[104u + lane % 8u] = c_6_1;
    shared_ab[112u + lane % 8u] = c_7_0;
    shared_ab[120u + lane % 8u] = c_7_1;
  }
  workgroupBarrier();
  if (share < 2u) {
    c_0_0 += shared_ab[0u + lane % 8u];
    c_0_1 += shared_ab[8u + lane % 8u];
    c_1_0 += shared_ab[16u + lane % 8u];
    c_1_1 += shared_ab[24u + lane % 8u];
    c_2_0 += shared_ab[32u + lane % 8u];
    c_2_1 += shared_ab[40u + lane % 8u];
    c_3_0 += shared_ab[48u + lane % 8u];
    c_3_1 += shared_ab[56u + lane % 8u];
    c_4_0 += shared_ab[64u + lane % 8u];
    c_4_1 += shared_ab[72u + lane % 8u];
    c_5_0 += shared_ab[80u + lane % 8u];
    c_5_1 += shared_ab[88u + lane % 8u];
    c_6_0 += shared_ab[96u + lane % 8u];
    c_6_1 += shared_ab[104u + lane % 8u];
    c_7_0 += shared_ab[112u + lane % 8u];
    c_7_1 += shared_ab[120u + lane % 8u];
  }
  workgroupBarrier();
  if (share >= 1u && share < 2u) {
    shared_ab[0u + lane % 4u] = c_0_0;
    shared_ab[4u + lane % 4u] = c_0_1;
    shared_ab[8u + lane % 4u] = c_1_0;
    shared_ab[12u + lane % 4u] = c_1_1;
    shared_ab[16u + lane % 4u] = c_2_0;
    shared_ab[20u + lane % 4u] = c_2_1;
    shared_ab[24u + lane % 4u] = c_3_0;
    shared_ab[28u + lane % 4u] = c_3_1;
    shared_ab[32u + lane % 4u] = c_4_0;
    shared_ab[36u + lane % 4u] = c_4_1;
    shared_ab[40u + lane % 4u] = c_5_0;
    shared_ab[44u + lane % 4u] = c_5_1;
    shared_ab[48u + lane % 4u] = c_6_0;
    shared_ab[52u + lane % 4u] = c_6_1;
    shared_ab[56u + lane % 4u] = c_7_0;
    shared_ab[60u + lane % 4u] = c_7_1;
  }
  workgroupBarrier();
  if (share < 1u) {
    c_0_0 += shared_ab[0u + lane % 4u];
    c_0_1 += shared_ab[4u + lane % 4u];
    c_1_0 += shared_ab[8u + lane % 4u];
    c_1_1 += shared_ab[12u + lane % 4u];
    c_2_0 += shared_ab[16u + lane % 4u];
    c_2_1 += shared_ab[20u + lane % 4u];
    c_3_0 += shared_ab[24u + lane % 4u];
    c_3_1 += shared_ab[28u + lane % 4u];
    c_4_0 += shared_ab[32u + lane % 4u];
    c_4_1 += shared_ab[36u + lane % 4u];
    c_5_0 += shared_ab[40u + lane % 4u];
    c_5_1 += shared_ab[44u + lane % 4u];
    c_6_0 += shared_ab[48u + lane % 4u];
    c_6_1 += shared_ab[52u + lane % 4u];
    c_7_0 += shared_ab[56u + lane % 4u];
    c_7_1 += shared_ab[60u + lane % 4u];
  }
  workgroupBarrier();
  if (share == 0u) {
    if ((first_a + 0u + ta) * 4u + 0u < 16u && first_b + 0u + tb < 4u) { add_up(matrix + ((first_a + 0u + ta) * 4u + 0u) * 4u + first_b + 0u + tb, c_0_0); }
    if ((first_a + 0u + ta) * 4u + 0u < 16u && first_b + 2u + tb < 4u) { add_up(matrix + ((first_a + 0u + ta) * 4u + 0u) * 4u + first_b + 2u + tb, c_0_1); }
    if ((first_a + 0u + ta) * 4u + 1u < 16u && first_b + 0u + tb < 4u) { add_up(matrix + ((first_a + 0u + ta) * 4u + 1u) * 4u + first_b + 0u + tb, c_1_0); }
    if ((first_a + 0u + ta) * 4u + 1u < 16u && first_b + 2u + tb < 4u) { add_up(matrix + ((first_a + 0u + ta) * 4u + 1u) * 4u + first_b + 2u + tb, c_1_1); }
    if ((first_a + 0u + ta) * 4u + 2u < 16u && first_b + 0u + tb < 4u) { add_up(matrix + ((first_a + 0u + ta) * 4u + 2u) * 4u + first_b + 0u + tb, c_2_0); }
    if ((first_a + 0u + ta) * 4u + 2u < 16u && first_b + 2u + tb < 4u) { add_up(matrix + ((first_a + 0u + ta) * 4u + 2u) * 4u + first_b + 2u + tb, c_2_1); }
    if ((first_a + 0u + ta) * 4u + 3u < 16u && first_b + 0u + tb < 4u) { add_up(matrix + ((first_a + 0u + ta) * 4u + 3u) * 4u + first_b + 0u + tb, c_3_0); }
    if ((first_a + 0u + ta) * 4u + 3u < 16u && first_b + 2u + tb < 4u) { add_up(matrix + ((first_a + 0u + ta) * 4u + 3u) * 4u + first_b + 2u + tb, c_3_1); }
    if ((first_a + 2u + ta) * 4u + 0u < 16u && first_b + 0u + tb < 4u) { add_up(matrix + ((first_a + 2u + ta) * 4u + 0u) * 4u + first_b + 0u + tb, c_4_0); }
    if ((first_a + 2u + ta) * 4u + 0u < 16u && first_b + 2u + tb < 4u) { add_up(matrix + ((first_a + 2u + ta) * 4u + 0u) * 4u + first_b + 2u + tb, c_4_1); }
    if ((first_a + 2u + ta) * 4u + 1u < 16u && first_b + 0u + tb < 4u) { add_up(matrix + ((first_a + 2u + ta) * 4u + 1u) * 4u + first_b + 0u + tb, c_5_0); }
    if ((first_a + 2u + ta) * 4u + 1u < 16u && first_b + 2u + tb < 4u) { add_up(matrix + ((first_a + 2u + ta) * 4u + 1u) * 4u + first_b + 2u + tb, c_5_1); }
    if ((first_a + 2u + ta) * 4u + 2u < 16u && first_b + 0u + tb < 4u) { add_up(matrix + ((first_a + 2u + ta) * 4u + 2u) * 4u + first_b + 0u + tb, c_6_0); }
    if ((first_a + 2u + ta) * 4u + 2u < 16u && first_b + 2u + tb < 4u) { add_up(matrix + ((first_a + 2u + ta) * 4u + 2u) * 4u + first_b + 2u + tb, c_6_1); }
    if ((first_a + 2u + ta) * 4u + 3u < 16u && first_b + 0u + tb < 4u) { add_up(matrix + ((first_a + 2u + ta) * 4u + 3u) * 4u + first_b + 0u + tb, c_7_0); }
    if ((first_a + 2u + ta) * 4u + 3u < 16u && first_b + 2u + tb < 4u) { add_up(matrix + ((first_a + 2u + ta) * 4u + 3u) * 4u + first_b + 2u + tb, c_7_1); }
  }
}
