enable f16;
@group(0) @binding(0) var<storage, read> m_0: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> weights_0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output_0: array<vec4<f16>>;
@group(0) @binding(3) var<storage, read_write> statistics_0: array<f32>;
struct Parameters {
  start: u32,
  end: u32,
  chunk: u32,
  m_0: u32,
  weights_0: u32,
  output_0: u32,
  statistics_0: u32,
  unused_0: u32,
}
@group(0) @binding(4) var<uniform> p: Parameters;
fn load_m(i: u32) -> vec2<u32> {
  { return vec2<u32>(m_0[i - p.m_0]); }
}
fn load_weights(i: u32) -> vec4<f32> {
  { return vec4<f32>(weights_0[i - p.weights_0]); }
}
fn load_output(i: u32) -> vec4<f32> {
  { return vec4<f32>(output_0[i - p.output_0]); }
}
fn store_output(i: u32, value: vec4<f32>) {
  { output_0[i - p.output_0] = vec4<f16>(value); }
}
fn load_statistics(i: u32) -> f32 {
  { return f32(statistics_0[i - p.statistics_0]); }
}
fn store_statistics(i: u32, value: f32) {
  { statistics_0[i - p.statistics_0] = f32(value); }
}

const last_block = 3u;
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


/// Voxels of a tile that are inside the grid.
fn voxels_of(tile: u32) -> u32 {
  let t = tile % 8u;
  let first = vec3u(t / 4u, t / 2u % 2u, t % 2u)
    * vec3u(4u, 4u, 4u);
  let grid = vec3u(8u, 8u, 8u);
  let extent = min(grid - min(first, grid), vec3u(4u, 4u, 4u));
  return extent.x * extent.y * extent.z;
}

var<workgroup> shared_m: array<vec4f, 576>;

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
  let bias = load_weights(13824u + min(block, last_block));
  var out_0 = vec4f(0.0); var out_1 = vec4f(0.0); var out_2 = vec4f(0.0); var out_3 = vec4f(0.0);
  // phase_0: lines along z
  if (line < 36u) {
    let at_y = line / 6u;
    let at_x = line % 6u;
    let phase_0_in_0 = unpack_block(load_m((((0u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + min(block, last_block)));
    let phase_0_in_1 = unpack_block(load_m((((1u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + min(block, last_block)));
    let phase_0_in_2 = unpack_block(load_m((((2u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + min(block, last_block)));
    let phase_0_in_3 = unpack_block(load_m((((3u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + min(block, last_block)));
    let phase_0_in_4 = unpack_block(load_m((((4u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + min(block, last_block)));
    let phase_0_in_5 = unpack_block(load_m((((5u * 6u + at_y) * 6u + at_x) * 16u + row) * 4u + min(block, last_block)));
    let phase_0_out_0 = ((((phase_0_in_0 + phase_0_in_1) + phase_0_in_2) + phase_0_in_3) + phase_0_in_4);
    let phase_0_out_1 = fma(vec4f(f32(-1.5)), phase_0_in_4, fma(vec4f(f32(1.5)), phase_0_in_3, fma(vec4f(f32(-0.6875)), phase_0_in_2, f32(0.6875) * phase_0_in_1)));
    let phase_0_out_2 = fma(vec4f(f32(2.25)), phase_0_in_4, fma(vec4f(f32(2.25)), phase_0_in_3, fma(vec4f(f32(0.47265625)), phase_0_in_2, f32(0.47265625) * phase_0_in_1)));
    let phase_0_out_3 = fma(vec4f(f32(-3.375)), phase_0_in_4, fma(vec4f(f32(3.375)), phase_0_in_3, fma(vec4f(f32(-0.324951171875)), phase_0_in_2, fma(vec4f(f32(0.324951171875)), phase_0_in_1, phase_0_in_5))));
    shared_m[((0u * 6u + at_y) * 6u + at_x) * 4u + unit] = phase_0_out_0;
    shared_m[((1u * 6u + at_y) * 6u + at_x) * 4u + unit] = phase_0_out_1;
    shared_m[((2u * 6u + at_y) * 6u + at_x) * 4u + unit] = phase_0_out_2;
    shared_m[((3u * 6u + at_y) * 6u + at_x) * 4u + unit] = phase_0_out_3;
  }
  workgroupBarrier();
  // phase_1: lines along y
  if (line < 24u) {
    let at_z = line / 6u;
    let at_x = line % 6u;
    let phase_1_in_0 = shared_m[((at_z * 6u + 0u) * 6u + at_x) * 4u + unit];
    let phase_1_in_1 = shared_m[((at_z * 6u + 1u) * 6u + at_x) * 4u + unit];
    let phase_1_in_2 = shared_m[((at_z * 6u + 2u) * 6u + at_x) * 4u + unit];
    let phase_1_in_3 = shared_m[((at_z * 6u + 3u) * 6u + at_x) * 4u + unit];
    let phase_1_in_4 = shared_m[((at_z * 6u + 4u) * 6u + at_x) * 4u + unit];
    let phase_1_in_5 = shared_m[((at_z * 6u + 5u) * 6u + at_x) * 4u + unit];
    let phase_1_out_0 = ((((phase_1_in_0 + phase_1_in_1) + phase_1_in_2) + phase_1_in_3) + phase_1_in_4);
    let phase_1_out_1 = fma(vec4f(f32(-1.5)), phase_1_in_4, fma(vec4f(f32(1.5)), phase_1_in_3, fma(vec4f(f32(-0.6875)), phase_1_in_2, f32(0.6875) * phase_1_in_1)));
    let phase_1_out_2 = fma(vec4f(f32(2.25)), phase_1_in_4, fma(vec4f(f32(2.25)), phase_1_in_3, fma(vec4f(f32(0.47265625)), phase_1_in_2, f32(0.47265625) * phase_1_in_1)));
    let phase_1_out_3 = fma(vec4f(f32(-3.375)), phase_1_in_4, fma(vec4f(f32(3.375)), phase_1_in_3, fma(vec4f(f32(-0.324951171875)), phase_1_in_2, fma(vec4f(f32(0.324951171875)), phase_1_in_1, phase_1_in_5))));
    shared_m[((at_z * 6u + 0u) * 6u + at_x) * 4u + unit] = phase_1_out_0;
    shared_m[((at_z * 6u + 1u) * 6u + at_x) * 4u + unit] = phase_1_out_1;
    shared_m[((at_z * 6u + 2u) * 6u + at_x) * 4u + unit] = phase_1_out_2;
    shared_m[((at_z * 6u + 3u) * 6u + at_x) * 4u + unit] = phase_1_out_3;
  }
  workgroupBarrier();
  // phase_2: lines along x
  if (line < 16u) {
    let at_z = line / 4u;
    let at_y = line % 4u;
    let phase_2_in_0 = shared_m[((at_z * 6u + at_y) * 6u + 0u) * 4u + unit];
    let phase_2_in_1 = shared_m[((at_z * 6u + at_y) * 6u + 1u) * 4u + unit];
    let phase_2_in_2 = shared_m[((at_z * 6u + at_y) * 6u + 2u) * 4u + unit];
    let phase_2_in_3 = shared_m[((at_z * 6u + at_y) * 6u + 3u) * 4u + unit];
    let phase_2_in_4 = shared_m[((at_z * 6u + at_y) * 6u + 4u) * 4u + unit];
    let phase_2_in_5 = shared_m[((at_z * 6u + at_y) * 6u + 5u) * 4u + unit];
    let phase_2_out_0 = ((((phase_2_in_0 + phase_2_in_1) + phase_2_in_2) + phase_2_in_3) + phase_2_in_4);
    let phase_2_out_1 = fma(vec4f(f32(-1.5)), phase_2_in_4, fma(vec4f(f32(1.5)), phase_2_in_3, fma(vec4f(f32(-0.6875)), phase_2_in_2, f32(0.6875) * phase_2_in_1)));
    let phase_2_out_2 = fma(vec4f(f32(2.25)), phase_2_in_4, fma(vec4f(f32(2.25)), phase_2_in_3, fma(vec4f(f32(0.47265625)), phase_2_in_2, f32(0.47265625) * phase_2_in_1)));
    let phase_2_out_3 = fma(vec4f(f32(-3.375)), phase_2_in_4, fma(vec4f(f32(3.375)), phase_2_in_3, fma(vec4f(f32(-0.324951171875)), phase_2_in_2, fma(vec4f(f32(0.324951171875)), phase_2_in_1, phase_2_in_5))));
    out_0 = phase_2_out_0 + bias;
    out_1 = phase_2_out_1 + bias;
    out_2 = phase_2_out_2 + bias;
    out_3 = phase_2_out_3 + bias;
  }
  // This thread's line of outputs: its first voxel, and how many of them are inside the grid.
  let voxel = vec3u(tile_at.x * 4u + line / 4u, tile_at.y * 4u + line % 4u, tile_at.z * 4u + 0u);
  let grid = vec3u(8u, 8u, 8u);
  var within = 0u;
  if (line < 16u && all(voxel < grid)) { within = min(4u, grid.z - voxel.z); }
  if (block <= last_block && within > 0u) {
    let at = (((sample * grid.x + voxel.x) * grid.y + voxel.y) * grid.z + voxel.z) * 4u
      + 0u + block;
    if (0u < within) { store_output(at + 0u, out_0); }
    if (1u < within) { store_output(at + 4u, out_1); }
    if (2u < within) { store_output(at + 8u, out_2); }
    if (3u < within) { store_output(at + 12u, out_3); }
  }
  workgroupBarrier();
  let count = f32(voxels_of(tile - unit / 4u + 0u));
  var sum_0 = vec4f(0.0);
  if (0u < within) { sum_0 += out_0; }
  if (1u < within) { sum_0 += out_1; }
  if (2u < within) { sum_0 += out_2; }
  if (3u < within) { sum_0 += out_3; }
  shared_m[line * 4u + unit] = sum_0;
  workgroupBarrier();
  var mean_0 = vec4f(0.0);
  mean_0 += shared_m[0u + unit % 4u];
  mean_0 += shared_m[4u + unit % 4u];
  mean_0 += shared_m[8u + unit % 4u];
  mean_0 += shared_m[12u + unit % 4u];
  mean_0 += shared_m[16u + unit % 4u];
  mean_0 += shared_m[20u + unit % 4u];
  mean_0 += shared_m[24u + unit % 4u];
  mean_0 += shared_m[28u + unit % 4u];
  mean_0 += shared_m[32u + unit % 4u];
  mean_0 += shared_m[36u + unit % 4u];
  mean_0 += shared_m[40u + unit % 4u];
  mean_0 += shared_m[44u + unit % 4u];
  mean_0 += shared_m[48u + unit % 4u];
  mean_0 += shared_m[52u + unit % 4u];
  mean_0 += shared_m[56u + unit % 4u];
  mean_0 += shared_m[60u + unit % 4u];
  mean_0 /= count;
  workgroupBarrier();
  var square_0 = vec4f(0.0);
  if (0u < within) { { let apart = out_0 - mean_0; square_0 = fma(apart, apart, square_0); } }
  if (1u < within) { { let apart = out_1 - mean_0; square_0 = fma(apart, apart, square_0); } }
  if (2u < within) { { let apart = out_2 - mean_0; square_0 = fma(apart, apart, square_0); } }
  if (3u < within) { { let apart = out_3 - mean_0; square_0 = fma(apart, apart, square_0); } }
  shared_m[line * 4u + unit] = square_0;
  workgroupBarrier();
  if (lane < 4u) {
    let at = (p.start + group.y) * 33u;
    {
      let block = block;
      if (block == 0u) { store_statistics(at, count); }
      if (block < 4u) {
        var m2 = vec4f(0.0);
        m2 += shared_m[0u + unit % 4u];
        m2 += shared_m[4u + unit % 4u];
        m2 += shared_m[8u + unit % 4u];
        m2 += shared_m[12u + unit % 4u];
        m2 += shared_m[16u + unit % 4u];
        m2 += shared_m[20u + unit % 4u];
        m2 += shared_m[24u + unit % 4u];
        m2 += shared_m[28u + unit % 4u];
        m2 += shared_m[32u + unit % 4u];
        m2 += shared_m[36u + unit % 4u];
        m2 += shared_m[40u + unit % 4u];
        m2 += shared_m[44u + unit % 4u];
        m2 += shared_m[48u + unit % 4u];
        m2 += shared_m[52u + unit % 4u];
        m2 += shared_m[56u + unit % 4u];
        m2 += shared_m[60u + unit % 4u];
        store_statistics(at + 1u + 4u * block, mean_0[0]); store_statistics(at + 17u + 4u * block, m2[0]);
        store_statistics(at + 2u + 4u * block, mean_0[1]); store_statistics(at + 18u + 4u * block, m2[1]);
        store_statistics(at + 3u + 4u * block, mean_0[2]); store_statistics(at + 19u + 4u * block, m2[2]);
        store_statistics(at + 4u + 4u * block, mean_0[3]); store_statistics(at + 20u + 4u * block, m2[3]);
      }
    }
  }
}
