@group(0) @binding(0) var<storage, read> input_0: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weights_0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output_0: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> input_norm_0: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> statistics_0: array<f32>;
struct Parameters {
  start: u32,
  end: u32,
  input_0: u32,
  weights_0: u32,
  output_0: u32,
  input_norm_0: u32,
  statistics_0: u32,
  unused_0: u32,
}
@group(0) @binding(5) var<uniform> p: Parameters;
fn load_input(i: u32) -> vec4<f32> {
  { return vec4<f32>(input_0[i - p.input_0]); }
}
fn load_weights(i: u32) -> vec4<f32> {
  { return vec4<f32>(weights_0[i - p.weights_0]); }
}
fn load_output(i: u32) -> vec4<f32> {
  { return vec4<f32>(output_0[i - p.output_0]); }
}
fn store_output(i: u32, value: vec4<f32>) {
  { output_0[i - p.output_0] = vec4<f32>(value); }
}
fn load_input_norm(i: u32) -> vec4<f32> {
  { return vec4<f32>(input_norm_0[i - p.input_norm_0]); }
}
fn load_statistics(i: u32) -> f32 {
  { return f32(statistics_0[i - p.statistics_0]); }
}
fn store_statistics(i: u32, value: f32) {
  { statistics_0[i - p.statistics_0] = f32(value); }
}

fn normalise(value: vec4f, scale: vec4f, shift: vec4f, slope: vec4f) -> vec4f {
  let t = fma(value, scale, shift);
  return max(t, t * slope);
}

/// The input voxel under the first tap of an output voxel; far outside for rows beyond the last.
fn place_of(row: u32) -> vec3i {
  if (row >= 512u) { return vec3i(-1000000); }
  let at = vec3u(row / 64u, row / 8u % 8u, row % 8u);
  return vec3i(at * vec3u(1u, 1u, 1u)) - vec3i(1, 1, 1);
}

fn tap_offset(tap: u32) -> vec3i {
  return vec3i(vec3u(tap / 9u, tap / 3u % 3u, tap % 3u));
}

fn is_inside(at: vec3i) -> bool {
  let u = vec3u(at);
  return u.x < 8u && u.y < 8u && u.z < 8u;
}

fn element_of(sample: u32, at: vec3i) -> u32 {
  let u = vec3u(at);
  return (((sample * 8u + u.x) * 8u + u.y) * 8u + u.z) * 4u + 0u;
}

/// As stored, without conversion.
fn raw_input(i: u32) -> vec4<f32> {
  { return input_0[i - p.input_0]; }
}


fn fetch_b(k: u32, column: u32) -> vec4f {
  if (k >= 432u || column >= 4u) { return vec4f(0.0); }
  return load_weights(k * 4u + column);
}

/// Slices of A, [row][k4], and of B, [k][column]. Nested: a constant index is not checked, and the other one checked once for all.
var<workgroup> shared_a: array<array<vec4f, 3>, 32>;
var<workgroup> shared_b: array<array<vec4f, 4>, 16>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tx = lane % 4u;
  let ty = lane / 4u;
  let column0 = group.x * 4u;
  let number = p.start + group.y;
  let sample = number / 16u;
  let row0 = number % 16u * 32u;
  let place_0 = place_of(row0 + (lane + 0u) / 2u);
  var c_0_0 = vec4f(0.0);
  var c_1_0 = vec4f(0.0);
  // Step s fetches slice s and multiplies slice s - 1, which is in workgroup memory by then.
  for (var step = 0u; step <= 54u; step++) {
    var a_0 = vec4<f32>(); var inside_0 = false;
    var scale = vec4f(0.0);
    var shift = vec4f(0.0);
    var slope = vec4f(0.0);
    var b_0 = vec4f(0.0);
    if (step < 54u) {
      let k4 = step * 2u + lane % 2u;
      let tap = k4 / 4u;
      let block = k4 % 4u;
      let offset = tap_offset(tap);
      let norm_at = sample * 12u + 0u + block;
      scale = load_input_norm(norm_at);
      shift = load_input_norm(norm_at + 4u);
      slope = load_input_norm(norm_at + 8u);
      inside_0 = tap < 27u && is_inside(place_0 + offset); a_0 = raw_input(select(p.input_0, element_of(sample, place_0 + offset) + block, inside_0));
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
    if (step < 54u) {
      shared_a[(lane + 0u) / 2u][lane % 2u] = select(vec4f(0.0), normalise(vec4f(a_0), scale, shift, slope), inside_0);
      if (lane + 0u < 32u) { shared_b[(lane + 0u) / 4u][(lane + 0u) % 4u] = b_0; }
    }
    workgroupBarrier();
  }
  if (column0 + tx + 0u < 4u) {
    let bias = load_weights(1728u + column0 + tx + 0u);
    c_0_0 += bias; c_1_0 += bias;
    if (row0 + ty + 0u < 512u) { store_output((sample * 512u + row0 + ty + 0u) * 4u + 0u + column0 + tx + 0u, c_0_0); }
    if (row0 + ty + 16u < 512u) { store_output((sample * 512u + row0 + ty + 16u) * 4u + 0u + column0 + tx + 0u, c_1_0); }
  }
  let count = f32(min(32u, 512u - row0));
  var sum_0 = vec4f(0.0);
  if (row0 + ty + 0u < 512u) { sum_0 += c_0_0; }
  if (row0 + ty + 16u < 512u) { sum_0 += c_1_0; }
  shared_b[ty][tx + 0u] = sum_0;
  workgroupBarrier();
  var mean_0 = vec4f(0.0);
  mean_0 += shared_b[0u][tx + 0u];
  mean_0 += shared_b[1u][tx + 0u];
  mean_0 += shared_b[2u][tx + 0u];
  mean_0 += shared_b[3u][tx + 0u];
  mean_0 += shared_b[4u][tx + 0u];
  mean_0 += shared_b[5u][tx + 0u];
  mean_0 += shared_b[6u][tx + 0u];
  mean_0 += shared_b[7u][tx + 0u];
  mean_0 += shared_b[8u][tx + 0u];
  mean_0 += shared_b[9u][tx + 0u];
  mean_0 += shared_b[10u][tx + 0u];
  mean_0 += shared_b[11u][tx + 0u];
  mean_0 += shared_b[12u][tx + 0u];
  mean_0 += shared_b[13u][tx + 0u];
  mean_0 += shared_b[14u][tx + 0u];
  mean_0 += shared_b[15u][tx + 0u];
  mean_0 /= count;
  workgroupBarrier();
  var square_0 = vec4f(0.0);
  if (row0 + ty + 0u < 512u) { { let apart = c_0_0 - mean_0; square_0 = fma(apart, apart, square_0); } }
  if (row0 + ty + 16u < 512u) { { let apart = c_1_0 - mean_0; square_0 = fma(apart, apart, square_0); } }
  shared_b[ty][tx + 0u] = square_0;
  workgroupBarrier();
  if (ty == 0u) {
    let at = (number) * 33u;
    {
      let block = column0 + tx + 0u;
      if (block == 0u) { store_statistics(at, count); }
      if (block < 4u) {
        var m2 = vec4f(0.0);
        m2 += shared_b[0u][tx + 0u];
        m2 += shared_b[1u][tx + 0u];
        m2 += shared_b[2u][tx + 0u];
        m2 += shared_b[3u][tx + 0u];
        m2 += shared_b[4u][tx + 0u];
        m2 += shared_b[5u][tx + 0u];
        m2 += shared_b[6u][tx + 0u];
        m2 += shared_b[7u][tx + 0u];
        m2 += shared_b[8u][tx + 0u];
        m2 += shared_b[9u][tx + 0u];
        m2 += shared_b[10u][tx + 0u];
        m2 += shared_b[11u][tx + 0u];
        m2 += shared_b[12u][tx + 0u];
        m2 += shared_b[13u][tx + 0u];
        m2 += shared_b[14u][tx + 0u];
        m2 += shared_b[15u][tx + 0u];
        store_statistics(at + 1u + 4u * block, mean_0[0]); store_statistics(at + 17u + 4u * block, m2[0]);
        store_statistics(at + 2u + 4u * block, mean_0[1]); store_statistics(at + 18u + 4u * block, m2[1]);
        store_statistics(at + 3u + 4u * block, mean_0[2]); store_statistics(at + 19u + 4u * block, m2[2]);
        store_statistics(at + 4u + 4u * block, mean_0[3]); store_statistics(at + 20u + 4u * block, m2[3]);
      }
    }
  }
}
