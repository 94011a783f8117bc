@group(0) @binding(0) var<storage, read> input_0: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> input_1: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights_0: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output_0: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output_1: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> input_norm_0: array<vec4<f32>>;
struct Parameters {
  start: u32,
  end: u32,
  input_0: u32,
  input_1: u32,
  weights_0: u32,
  output_0: u32,
  output_1: u32,
  input_norm_0: u32,
}
@group(0) @binding(6) var<uniform> p: Parameters;
fn load_input(i: u32) -> vec4<f32> {
  if (i >= p.input_1) { return vec4<f32>(input_1[i - p.input_1]); } else { return vec4<f32>(input_0[i - p.input_0]); }
}
fn load_weights(i: u32) -> vec4<f32> {
  { return vec4<f32>(weights_0[i - p.weights_0]); }
}
fn load_output(i: u32) -> vec4<f32> {
  if (i >= p.output_1) { return vec4<f32>(output_1[i - p.output_1]); } else { return vec4<f32>(output_0[i - p.output_0]); }
}
fn store_output(i: u32, value: vec4<f32>) {
  if (i >= p.output_1) { output_1[i - p.output_1] = vec4<f32>(value); } else { output_0[i - p.output_0] = vec4<f32>(value); }
}
fn load_input_norm(i: u32) -> vec4<f32> {
  { return vec4<f32>(input_norm_0[i - p.input_norm_0]); }
}

fn normalise(value: vec4f, scale: vec4f, shift: vec4f, slope: vec4f) -> vec4f {
  let t = fma(value, scale, shift);
  return max(t, t * slope);
}

/// The input voxel under the first tap of an output voxel; far outside for rows beyond the last.
fn place_of(row: u32) -> vec3i {
  if (row >= 512u) { return vec3i(-1000000); }
  let at = vec3u(row / 64u, row / 8u % 8u, row % 8u);
  return vec3i(at * vec3u(1u, 1u, 1u)) - vec3i(0, 0, 0);
}

fn tap_offset(tap: u32) -> vec3i {
  return vec3i(vec3u(tap / 1u, tap / 1u % 1u, tap % 1u));
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
  if (i >= p.input_1) { return input_1[i - p.input_1]; } else { return input_0[i - p.input_0]; }
}

/// The first voxel of the output that an input voxel becomes.
fn corner_of(sample: u32, row: u32) -> u32 {
  let at = vec3u(row / 64u, row / 8u % 8u, row % 8u) * vec3u(1u, 2u, 2u);
  return ((sample * 8u + at.x) * 16u + at.y) * 16u + at.z;
}


fn fetch_b(k: u32, column: u32) -> vec4f {
  if (k >= 16u || column >= 16u) { return vec4f(0.0); }
  return load_weights(k * 16u + column);
}

/// Slices of A, [row][k4], and of B, [k][column]. Nested: a constant index is not checked, and the other one checked once for all.
var<workgroup> shared_a: array<array<vec4f, 3>, 32>;
var<workgroup> shared_b: array<array<vec4f, 4>, 8>;

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
  for (var step = 0u; step <= 2u; step++) {
    var a_0 = vec4<f32>(); var inside_0 = false;
    var scale = vec4f(0.0);
    var shift = vec4f(0.0);
    var slope = vec4f(0.0);
    var b_0 = vec4f(0.0);
    if (step < 2u) {
      let k4 = step * 2u + lane % 2u;
      let tap = k4 / 4u;
      let block = k4 % 4u;
      let offset = tap_offset(tap);
      let norm_at = sample * 12u + 0u + block;
      scale = load_input_norm(norm_at);
      shift = load_input_norm(norm_at + 4u);
      slope = load_input_norm(norm_at + 8u);
      inside_0 = tap < 1u && is_inside(place_0 + offset); a_0 = raw_input(select(p.input_0, element_of(sample, place_0 + offset) + block, inside_0));
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
      shared_a[(lane + 0u) / 2u][lane % 2u] = select(vec4f(0.0), normalise(vec4f(a_0), scale, shift, slope), inside_0);
      if (lane + 0u < 32u) { shared_b[(lane + 0u) / 4u][(lane + 0u) % 4u] = b_0; }
    }
    workgroupBarrier();
  }
  let corner_0 = corner_of(sample, row0 + ty + 0u);
  let corner_1 = corner_of(sample, row0 + ty + 16u);
  if (column0 + tx + 0u < 16u) {
    let tap = (column0 + tx + 0u) / 4u;
    let block = (column0 + tx + 0u) % 4u;
    let voxel = (tap / 4u * 16u + tap / 2u % 2u) * 16u + tap % 2u;
    let bias = load_weights(256u + block);
    if (row0 + ty + 0u < 512u) { store_output((corner_0 + voxel) * 4u + 0u + block, c_0_0 + bias); }
    if (row0 + ty + 16u < 512u) { store_output((corner_1 + voxel) * 4u + 0u + block, c_1_0 + bias); }
  }
}
