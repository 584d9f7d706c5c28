// hardMean: mean over images of sum / count.
//
// x, threshold  not read: they are inputs of the op for its gradient's sake
// stats         [N, 2]  sum, count
// y             []
// grid          one invocation
// reference: src/detectorOps/hardMean.ts
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
#params

@compute @workgroup_size(1)
fn main() {
  var total = 0.0;
  for (var image = 0u; image < params.images; image++) {
    total += stats[image * 2u] / stats[image * 2u + 1u];
  }
  y[0] = total / f32(params.images);
}
