// mapPlace: the anomaly map on the pixels of an image of any size.
//
// EXACT      cell i is centerd on pixel stride i + firstCell of the network's side x side input; the margin repeats the nearest cell.
// otherwise  (the published code's placement) margin cells of the value around on every side, stretched over the image.
//
// x     [N, 1, CELLS, CELLS]
// y     [N, 1, H, W]
// grid  one invocation per output, folded
// reference: src/detectorOps/maps.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params
#include grid

fn cell(base: u32, row: i32, column: i32) -> f32 {
  let n = i32(params.cells);
#if EXACT
  return x[base + u32(clamp(row, 0, n - 1) * n + clamp(column, 0, n - 1))];
#else
  // Past the last of them the weight is 0.
  let m = i32(params.margin);
  if (row < m || column < m || row >= n + m || column >= n + m) {
    return params.around;
  }
  return x[base + u32((row - m) * n + column - m)];
#end
}

// Position in cells of the center of output pixel `p` of `size`.
fn position(p: u32, size: u32) -> f32 {
  let unit = (f32(p) + 0.5) / f32(size);
#if EXACT
  return clamp((unit * f32(params.side) - params.firstCell - 0.5) / params.stride, 0.0, f32(params.cells - 1u));
#else
  return clamp(unit * f32(params.cells + 2u * params.margin) - 0.5, 0.0, f32(params.cells + 2u * params.margin - 1u));
#end
}

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let fx = position(index % params.width, params.width);
  let fy = position(index / params.width % params.height, params.height);
  let base = index / (params.width * params.height) * params.cells * params.cells;
  let column = i32(floor(fx));
  let row = i32(floor(fy));
  let tx = fx - floor(fx);
  let ty = fy - floor(fy);
  let top = mix(cell(base, row, column), cell(base, row, column + 1), tx);
  let bottom = mix(cell(base, row + 1, column), cell(base, row + 1, column + 1), tx);
  y[index] = mix(top, bottom, ty);
}
