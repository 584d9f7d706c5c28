// recordLosses: keeps the losses of the last ROWS steps on the GPU, so that the host reads them now and then only.
//
// ring   [ROWS, 4]
// a..d   []
// state  [4] u32, first word = step
// grid   one invocation
// reference: src/train/step.ts
@group(0) @binding(0) var<storage, read_write> ring: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read> d: array<f32>;
@group(0) @binding(5) var<storage, read> state: array<u32>;
#params

@compute @workgroup_size(1)
fn main() {
  let row = (state[0] % params.rows) * 4u;
  ring[row] = a[0];
  ring[row + 1u] = b[0];
  ring[row + 2u] = c[0];
  ring[row + 3u] = d[0];
}
