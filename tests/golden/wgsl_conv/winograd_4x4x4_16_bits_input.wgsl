enable f16;
@group(0) @binding(0) var<storage, read> input_0: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> v_0: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> input_norm_0: array<vec4<f32>>;
struct Parameters {
  start: u32,
  end: u32,
  chunk: u32,
  input_0: u32,
  v_0: u32,
  input_norm_0: u32,
  unused_0: u32,
  unused_1: u32,
}
@group(0) @binding(3) var<uniform> p: Parameters;
fn load_input(i: u32) -> vec4<f32> {
  { return vec4<f32>(input_0[i - p.input_0]); }
}
fn load_v(i: u32) -> vec2<u32> {
  { return vec2<u32>(v_0[i - p.v_0]); }
}
fn store_v(i: u32, value: vec2<u32>) {
  { v_0[i - p.v_0] = vec2<u32>(value); }
}
fn load_input_norm(i: u32) -> vec4<f32> {
  { return vec4<f32>(input_norm_0[i - p.input_norm_0]); }
}

const last_block = 3u;

fn normalise(value: vec4f, scale: vec4f, shift: vec4f, slope: vec4f) -> vec4f {
  let t = fma(value, scale, shift);
  return max(t, t * slope);
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


fn voxel_at(sample: u32, at: vec3i, block: u32, scale: vec4f, shift: vec4f, slope: vec4f) -> vec4f {
  let u = vec3u(at);
  let inside = u.x < 8u && u.y < 8u && u.z < 8u;
  if (!inside || block > last_block || sample >= 2u) { return vec4f(0.0); }
  return normalise(load_input((((sample * 8u + u.x) * 8u + u.y) * 8u + u.z) * 4u + 0u + block), scale, shift, slope);
}

var<workgroup> shared_v: array<vec4f, 864>;

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
  let corner = vec3i(tile_at * vec3u(4u, 4u, 4u)) - vec3i(1, 1, 1);
  // phase_0: lines along x
  if (line < 36u) {
    let at_z = line / 6u;
    let at_y = line % 6u;
    let norm_at = min(sample, 1u) * 12u + 0u + min(block, last_block);
    let scale = load_input_norm(norm_at);
    let shift = load_input_norm(norm_at + 4u);
    let slope = load_input_norm(norm_at + 8u);
    let phase_0_in_0 = voxel_at(sample, vec3i(corner.x + i32(at_z), corner.y + i32(at_y), corner.z + 0), block, scale, shift, slope);
    let phase_0_in_1 = voxel_at(sample, vec3i(corner.x + i32(at_z), corner.y + i32(at_y), corner.z + 1), block, scale, shift, slope);
    let phase_0_in_2 = voxel_at(sample, vec3i(corner.x + i32(at_z), corner.y + i32(at_y), corner.z + 2), block, scale, shift, slope);
    let phase_0_in_3 = voxel_at(sample, vec3i(corner.x + i32(at_z), corner.y + i32(at_y), corner.z + 3), block, scale, shift, slope);
    let phase_0_in_4 = voxel_at(sample, vec3i(corner.x + i32(at_z), corner.y + i32(at_y), corner.z + 4), block, scale, shift, slope);
    let phase_0_in_5 = voxel_at(sample, vec3i(corner.x + i32(at_z), corner.y + i32(at_y), corner.z + 5), block, scale, shift, slope);
    let phase_0_out_0 = fma(vec4f(f32(-2.72265625)), phase_0_in_2, fma(vec4f(f32(1.0634765625)), phase_0_in_0, phase_0_in_4));
    let phase_0_out_even_1 = fma(vec4f(f32(-2.25)), phase_0_in_2, phase_0_in_4);
    let phase_0_out_odd_1 = fma(vec4f(f32(0.6875)), phase_0_in_3, f32(-1.546875) * phase_0_in_1);
    let phase_0_out_1 = phase_0_out_even_1 + phase_0_out_odd_1;
    let phase_0_out_2 = phase_0_out_even_1 - phase_0_out_odd_1;
    let phase_0_out_even_3 = fma(vec4f(f32(-0.47265625)), phase_0_in_2, phase_0_in_4);
    let phase_0_out_odd_3 = fma(vec4f(f32(1.5)), phase_0_in_3, f32(-0.708984375) * phase_0_in_1);
    let phase_0_out_3 = phase_0_out_even_3 + phase_0_out_odd_3;
    let phase_0_out_4 = phase_0_out_even_3 - phase_0_out_odd_3;
    let phase_0_out_5 = fma(vec4f(f32(-2.72265625)), phase_0_in_3, fma(vec4f(f32(1.0634765625)), phase_0_in_1, phase_0_in_5));
    shared_v[((at_z * 6u + at_y) * 6u + 0u) * 4u + unit] = phase_0_out_0;
    shared_v[((at_z * 6u + at_y) * 6u + 1u) * 4u + unit] = phase_0_out_1;
    shared_v[((at_z * 6u + at_y) * 6u + 2u) * 4u + unit] = phase_0_out_2;
    shared_v[((at_z * 6u + at_y) * 6u + 3u) * 4u + unit] = phase_0_out_3;
    shared_v[((at_z * 6u + at_y) * 6u + 4u) * 4u + unit] = phase_0_out_4;
    shared_v[((at_z * 6u + at_y) * 6u + 5u) * 4u + unit] = phase_0_out_5;
  }
  workgroupBarrier();
  // phase_1: lines along y
  if (line < 36u) {
    let at_z = line / 6u;
    let at_x = line % 6u;
    let phase_1_in_0 = shared_v[((at_z * 6u + 0u) * 6u + at_x) * 4u + unit];
    let phase_1_in_1 = shared_v[((at_z * 6u + 1u) * 6u + at_x) * 4u + unit];
    let phase_1_in_2 = shared_v[((at_z * 6u + 2u) * 6u + at_x) * 4u + unit];
    let phase_1_in_3 = shared_v[((at_z * 6u + 3u) * 6u + at_x) * 4u + unit];
    let phase_1_in_4 = shared_v[((at_z * 6u + 4u) * 6u + at_x) * 4u + unit];
    let phase_1_in_5 = shared_v[((at_z * 6u + 5u) * 6u + at_x) * 4u + unit];
    let phase_1_out_0 = fma(vec4f(f32(-2.72265625)), phase_1_in_2, fma(vec4f(f32(1.0634765625)), phase_1_in_0, phase_1_in_4));
    let phase_1_out_even_1 = fma(vec4f(f32(-2.25)), phase_1_in_2, phase_1_in_4);
    let phase_1_out_odd_1 = fma(vec4f(f32(0.6875)), phase_1_in_3, f32(-1.546875) * phase_1_in_1);
    let phase_1_out_1 = phase_1_out_even_1 + phase_1_out_odd_1;
    let phase_1_out_2 = phase_1_out_even_1 - phase_1_out_odd_1;
    let phase_1_out_even_3 = fma(vec4f(f32(-0.47265625)), phase_1_in_2, phase_1_in_4);
    let phase_1_out_odd_3 = fma(vec4f(f32(1.5)), phase_1_in_3, f32(-0.708984375) * phase_1_in_1);
    let phase_1_out_3 = phase_1_out_even_3 + phase_1_out_odd_3;
    let phase_1_out_4 = phase_1_out_even_3 - phase_1_out_odd_3;
    let phase_1_out_5 = fma(vec4f(f32(-2.72265625)), phase_1_in_3, fma(vec4f(f32(1.0634765625)), phase_1_in_1, phase_1_in_5));
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
    let phase_2_in_4 = shared_v[((4u * 6u + at_y) * 6u + at_x) * 4u + unit];
    let phase_2_in_5 = shared_v[((5u * 6u + at_y) * 6u + at_x) * 4u + unit];
    let phase_2_out_0 = fma(vec4f(f32(-2.72265625)), phase_2_in_2, fma(vec4f(f32(1.0634765625)), phase_2_in_0, phase_2_in_4));
    let phase_2_out_even_1 = fma(vec4f(f32(-2.25)), phase_2_in_2, phase_2_in_4);
    let phase_2_out_odd_1 = fma(vec4f(f32(0.6875)), phase_2_in_3, f32(-1.546875) * phase_2_in_1);
    let phase_2_out_1 = phase_2_out_even_1 + phase_2_out_odd_1;
    let phase_2_out_2 = phase_2_out_even_1 - phase_2_out_odd_1;
    let phase_2_out_even_3 = fma(vec4f(f32(-0.47265625)), phase_2_in_2, phase_2_in_4);
    let phase_2_out_odd_3 = fma(vec4f(f32(1.5)), phase_2_in_3, f32(-0.708984375) * phase_2_in_1);
    let phase_2_out_3 = phase_2_out_even_3 + phase_2_out_odd_3;
    let phase_2_out_4 = phase_2_out_even_3 - phase_2_out_odd_3;
    let phase_2_out_5 = fma(vec4f(f32(-2.72265625)), phase_2_in_3, fma(vec4f(f32(1.0634765625)), phase_2_in_1, phase_2_in_5));
    if (block <= last_block) { store_v((((0u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, pack_block(phase_2_out_0)); }
    if (block <= last_block) { store_v((((1u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, pack_block(phase_2_out_1)); }
    if (block <= last_block) { store_v((((2u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, pack_block(phase_2_out_2)); }
    if (block <= last_block) { store_v((((3u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, pack_block(phase_2_out_3)); }
    if (block <= last_block) { store_v((((4u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, pack_block(phase_2_out_4)); }
    if (block <= last_block) { store_v((((5u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + block, pack_block(phase_2_out_5)); }
  }
}
