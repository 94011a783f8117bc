@group(0) @binding(0) var<storage, read> v_0: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> weights_0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> m_0: array<vec2<u32>>;
struct Parameters {
  start: u32,
  end: u32,
  rows: u32,
  v_0: u32,
  weights_0: u32,
  m_0: u32,
  unused_0: u32,
  unused_1: u32,
}
@group(0) @binding(3) var<uniform> p: Parameters;
fn load_v(i: u32) -> vec2<u32> {
  { return vec2<u32>(v_0[i - p.v_0]); }
}
fn load_weights(i: u32) -> vec4<f32> {
  { return vec4<f32>(weights_0[i - p.weights_0]); }
}
fn load_m(i: u32) -> vec2<u32> {
  { return vec2<u32>(m_0[i - p.m_0]); }
}
fn store_m(i: u32, value: vec2<u32>) {
  { m_0[i - p.m_0] = vec2<u32>(value); }
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


fn fetch_v(first: u32, row: u32, k4: u32) -> vec2<u32> {
  if (row >= p.rows || k4 >= 4u) { return vec2u(0x80002000u); }
  return load_v((first + row) * 4u + k4);
}
var<private> matrix: u32;


fn fetch_b(k: u32, column: u32) -> vec4f {
  if (k >= 16u || column >= 4u) { return vec4f(0.0); }
  return load_weights(matrix + k * 4u + column);
}

/// Slices of A, [row][k4], and of B, [k][column]. Nested: a constant index is not checked, and the other one checked once for all.
var<workgroup> shared_a: array<array<vec4f, 3>, 32>;
var<workgroup> shared_b: array<array<vec4f, 4>, 8>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tx = lane % 4u;
  let ty = lane / 4u;
  let column0 = group.x * 4u;
  let point = p.start + group.z;
  let row0 = group.y * 32u;
  let first = point * 16u;
  matrix = point * 64u;
  let row_0 = row0 + (lane + 0u) / 2u;
  var c_0_0 = vec4f(0.0);
  var c_1_0 = vec4f(0.0);
  // Step s fetches slice s and multiplies slice s - 1, which is in workgroup memory by then.
  for (var step = 0u; step <= 2u; step++) {
    var a_0 = vec2u(0x80002000u);
    var b_0 = vec4f(0.0);
    if (step < 2u) {
      let k4 = step * 2u + lane % 2u;
      a_0 = fetch_v(first, row_0, k4);
      if (lane + 0u < 32u) { b_0 = fetch_b(step * 8u + (lane + 0u) / 4u, column0 + (lane + 0u) % 4u); }
    }
    if (step > 0u) {
      {
        let b_0_0 = shared_b[0u][tx + 0u];
        let b_1_0 = shared_b[1u][tx + 0u];
        let b_2_0 = shared_b[2u][tx + 0u];
        let b_3_0 = shared_b[3u][tx + 0u];
        { let a = shared_a[ty + 0u][0u]; c_0_0 = fma(vec4f(a.w), b_3_0, fma(vec4f(a.z), b_2_0, fma(vec4f(a.y), b_1_0, fma(vec4f(a.x), b_0_0, c_0_0)))); }
        { let a = shared_a[ty + 16u][0u]; c_1_0 = fma(vec4f(a.w), b_3_0, fma(vec4f(a.z), b_2_0, fma(vec4f(a.y), b_1_0, fma(vec4f(a.x), b_0_0, c_1_0)))); }
      }
      {
        let b_0_0 = shared_b[4u][tx + 0u];
        let b_1_0 = shared_b[5u][tx + 0u];
        let b_2_0 = shared_b[6u][tx + 0u];
        let b_3_0 = shared_b[7u][tx + 0u];
        { let a = shared_a[ty + 0u][1u]; c_0_0 = fma(vec4f(a.w), b_3_0, fma(vec4f(a.z), b_2_0, fma(vec4f(a.y), b_1_0, fma(vec4f(a.x), b_0_0, c_0_0)))); }
        { let a = shared_a[ty + 16u][1u]; c_1_0 = fma(vec4f(a.w), b_3_0, fma(vec4f(a.z), b_2_0, fma(vec4f(a.y), b_1_0, fma(vec4f(a.x), b_0_0, c_1_0)))); }
      }
    }
    workgroupBarrier();
    if (step < 2u) {
      shared_a[(lane + 0u) / 2u][lane % 2u] = unpack_block(a_0);
      if (lane + 0u < 32u) { shared_b[(lane + 0u) / 4u][(lane + 0u) % 4u] = b_0; }
    }
    workgroupBarrier();
  }
  if (row0 + ty + 0u < p.rows && column0 + tx + 0u < 4u) { store_m((first + row0 + ty + 0u) * 4u + column0 + tx + 0u, pack_block(c_0_0)); }
  if (row0 + ty + 16u < p.rows && column0 + tx + 0u < 4u) { store_m((first + row0 + ty + 16u) * 4u + column0 + tx + 0u, pack_block(c_1_0)); }
}
