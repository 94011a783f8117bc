@group(0) @binding(0) var<storage, read> input_0: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> v_0: array<vec4<f32>>;
struct Parameters {
  start: u32,
  end: u32,
  chunk: u32,
  input_0: u32,
  v_0: u32,
  unused_0: u32,
  unused_1: u32,
  unused_2: u32,
}
@group(0) @binding(2) var<uniform> p: Parameters;
fn load_input(i: u32) -> vec4<f32> {
  { return vec4<f32>(input_0[i - p.input_0]); }
}
fn load_v(i: u32) -> vec4<f32> {
  { return vec4<f32>(v_0[i - p.v_0]); }
}
fn store_v(i: u32, value: vec4<f32>) {
  { v_0[i - p.v_0] = vec4<f32>(value); }
}

const last_block = 3u;


fn voxel_at(sample: u32, at: vec3i, block: u32) -> vec4f {
  let u = vec3u(at);
  let inside = u.x < 8u && u.y < 8u && u.z < 8u;
  if (!inside || block > last_block || sample >= 2u) { return vec4f(0.0); }
  return load_input((((sample * 8u + u.x) * 8u + u.y) * 8u + u.z) * 4u + 0u + block);
}

var<workgroup> shared_v: array<vec4f, 576>;

@compute @workgroup_size(144)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let unit = lane % 4u;
  let line = lane / 4u;
  let block = group.x * 4u + unit % 4u;
  // Tiles are counted over samples; the chunk's first is p.chunk.
  let tile = (p.start + group.y) * 1u + unit / 4u;
  let row = tile - p.chunk;
  let sample = tile / 8u;
  let of_sample = tile % 8u;
  // Beyond the last tile z is beyond the grid.
  let tile_at = vec3u(of_sample / 4u, of_sample / 2u % 2u, of_sample % 2u);
  let corner = vec3i(tile_at * vec3u(4u, 4u, 4u)) - vec3i(0, 0, 0);
  // phase_0: lines along x
  if (line < 16u) {
    let at_z = line / 4u;
    let at_y = line % 4u;
    let phase_0_in_0 = voxel_at(sample, vec3i(corner.x + i32(at_z), corner.y + i32(at_y), corner.z + 0), block);
    let phase_0_in_1 = voxel_at(sample, vec3i(corner.x + i32(at_z), corner.y + i32(at_y), corner.z + 1), block);
    let phase_0_in_2 = voxel_at(sample, vec3i(corner.x + i32(at_z), corner.y + i32(at_y), corner.z + 2), block);
    let phase_0_in_3 = voxel_at(sample, vec3i(corner.x + i32(at_z), corner.y + i32(at_y), corner.z + 3), block);
    let phase_0_out_0 = phase_0_in_0;
    let phase_0_out_even_1 = fma(vec4f(f32(0.47265625)), phase_0_in_2, phase_0_in_0);
    let phase_0_out_odd_1 = fma(vec4f(f32(0.324951171875)), phase_0_in_3, f32(0.6875) * phase_0_in_1);
    let phase_0_out_1 = phase_0_out_even_1 + phase_0_out_odd_1;
    let phase_0_out_2 = phase_0_out_even_1 - phase_0_out_odd_1;
    let phase_0_out_even_3 = fma(vec4f(f32(2.25)), phase_0_in_2, phase_0_in_0);
    let phase_0_out_odd_3 = fma(vec4f(f32(3.375)), phase_0_in_3, f32(1.5) * phase_0_in_1);
    let phase_0_out_3 = phase_0_out_even_3 + phase_0_out_odd_3;
    let phase_0_out_4 = phase_0_out_even_3 - phase_0_out_odd_3;
    let phase_0_out_5 = phase_0_in_3;
    shared_v[((at_z * 6u + at_y) * 6u + 0u) * 4u + unit] = phase_0_out_0;
    shared_v[((at_z * 6u + at_y) * 6u + 1u) * 4u + unit] = phase_0_out_1;
    shared_v[((at_z * 6u + at_y) * 6u + 2u) * 4u + unit] = phase_0_out_2;
    shared_v[((at_z * 6u + at_y) * 6u + 3u) * 4u + unit] = phase_0_out_3;
    shared_v[((at_z * 6u + at_y) * 6u + 4u) * 4u + unit] = phase_0_out_4;
    shared_v[((at_z * 6u + at_y) * 6u + 5u) * 4u + unit] = phase_0_out_5;
  }
  workgroupBarrier();
  // phase_1: lines along y
  if (line < 24u) {
    let at_z = line / 6u;
    let at_x = line % 6u;
    let phase_1_in_0 = shared_v[((at_z * 6u + 0u) * 6u + at_x) * 4u + unit];
    let phase_1_in_1 = shared_v[((at_z * 6u + 1u) * 6u + at_x) * 4u + unit];
    let phase_1_in_2 = shared_v[((at_z * 6u + 2u) * 6u + at_x) * 4u + unit];
    let phase_1_in_3 = shared_v[((at_z * 6u + 3u) * 6u + at_x) * 4u + unit];
    let phase_1_out_0 = phase_1_in_0;
    let phase_1_out_even_1 = fma(vec4f(f32(0.47265625)), phase_1_in_2, phase_1_in_0);
    let phase_1_out_odd_1 = fma(vec4f(f32(0.324951171875)), phase_1_in_3, f32(0.6875) * phase_1_in_1);
    let phase_1_out_1 = phase_1_out_even_1 + phase_1_out_odd_1;
    let phase_1_out_2 = phase_1_out_even_1 - phase_1_out_odd_1;
    let phase_1_out_even_3 = fma(vec4f(f32(2.25)), phase_1_in_2, phase_1_in_0);
    let phase_1_out_odd_3 = fma(vec4f(f32(3.375)), phase_1_in_3, f32(1.5) * phase_1_in_1);
    let phase_1_out_3 = phase_1_out_even_3 + phase_1_out_odd_3;
    let phase_1_out_4 = phase_1_out_even_3 - phase_1_out_odd_3;
    let phase_1_out_5 = phase_1_in_3;
    shared_v[((at_z * 6u + 0u) * 6u + at_x) * 4u + unit] = phase_1_out_0;
    shared_v[((at_z * 6u + 1u) * 6u + at_x) * 4u + unit] = phase_1_out_1;
    shared_v[((at_z * 6u + 2u) * 6u + at_x) * 4u + unit] = phase_1_out_2;
    shared_v[((at_z * 6u + 3u) * 6u + at_x) * 4u + unit] = phase_1_out_3;
    shared_v[((at_z * 6u + 4u) * 6u + at_x) * 4u + unit] = phase_1_out_4;
    shared_v[((at_z * 6u + 5u) * 6u + at_x) * 4u + unit] = phase_1_out_5;
  }
  workgroupBarrier();
  // phase_2: lines along z
  if (line < 36u) {
    let at_y = line / 6u;
    let at_x = line % 6u;
    let phase_2_in_0 = shared_v[((0u * 6u + at_y) * 6u + at_x) * 4u + unit];
    let phase_2_in_1 = shared_v[((1u * 6u + at_y) * 6u + at_x) * 4u + unit];
    let phase_2_in_2 = shared_v[((2u * 6u + at_y) * 6u + at_x) * 4u + unit];
    let phase_2_in_3 = shared_v[((3u * 6u + at_y) * 6u + at_x) * 4u + unit];
    let phase_2_out_0 = phase_2_in_0;
    let phase_2_out_even_1 = fma(vec4f(f32(0.47265625)), phase_2_in_2, phase_2_in_0);
    let phase_2_out_odd_1 = fma(vec4f(f32(0.324951171875)), phase_2_in_3, f32(0.6875) * phase_2_in_1);
    let phase_2_out_1 = phase_2_out_even_1 + phase_2_out_odd_1;
    let phase_2_out_2 = phase_2_out_even_1 - phase_2_out_odd_1;
    let phase_2_out_even_3 = fma(vec4f(f32(2.25)), phase_2_in_2, phase_2_in_0);
    let phase_2_out_odd_3 = fma(vec4f(f32(3.375)), phase_2_in_3, f32(1.5) * phase_2_in_1);
    let phase_2_out_3 = phase_2_out_even_3 + phase_2_out_odd_3;
    let phase_2_out_4 = phase_2_out_even_3 - phase_2_out_odd_3;
    let phase_2_out_5 = phase_2_in_3;
    if (block <= last_block) { store_v((((0u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, phase_2_out_0); }
    if (block <= last_block) { store_v((((1u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, phase_2_out_1); }
    if (block <= last_block) { store_v((((2u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, phase_2_out_2); }
    if (block <= last_block) { store_v((((3u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, phase_2_out_3); }
    if (block <= last_block) { store_v((((4u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, phase_2_out_4); }
    if (block <= last_block) { store_v((((5u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, phase_2_out_5); }
  }
}
