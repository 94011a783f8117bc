@group(0) @binding(0) var<storage, read> parts_0: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradient_0: array<f32>;
struct Parameters {
  start: u32,
  end: u32,
  walked_channels: u32,
  walked_padded: u32,
  reached_channels: u32,
  reached_padded: u32,
  taps: u32,
  count: u32,
  matrix: u32,
  chunks: u32,
  parts_0: u32,
  gradient_0: u32,
}
@group(0) @binding(2) var<uniform> p: Parameters;
fn load_parts(i: u32) -> f32 {
  { return f32(parts_0[i - p.parts_0]); }
}
fn load_gradient(i: u32) -> f32 {
  { return f32(gradient_0[i - p.gradient_0]); }
}
fn store_gradient(i: u32, value: f32) {
  { gradient_0[i - p.gradient_0] = f32(value); }
}

fn walked_position(channel: u32) -> u32 { return channel; }
fn reached_position(channel: u32) -> u32 { return select(channel, channel + 0u, channel >= 8u); }

var<workgroup> halves: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Threads follow each other as the parts do, whose reads are more than the one write.
  let weight = (p.start + id.x) / 256u * 256u + lane % 256u;
  let b = weight % p.reached_channels;
  let a = weight / p.reached_channels % p.walked_channels;
  let tap = weight / p.reached_channels / p.walked_channels;
  let first = (tap * p.walked_padded + walked_position(a)) * p.reached_padded + reached_position(b);
  var sum = 0.0;
  if (weight < p.count) {
    for (var chunk = lane / 256u; chunk < p.chunks; chunk += 1u) {
      sum += load_parts(chunk * p.matrix + first);
    }
  }
  halves[lane] = sum;
  workgroupBarrier();
  if (lane < 256u && weight < p.count) {
    store_gradient((a * p.reached_channels + b) * p.taps + tap, halves[lane]);
  }
}
