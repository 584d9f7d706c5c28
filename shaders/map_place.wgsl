// mapPlace: the anomaly map on the pixels of an image of any size.
//
// EXACT      position i is centered on pixel stride i + offset of the network's side x side input; the margin repeats the nearest one.
// otherwise  (the published code's placement) margin positions of the value around on every side, stretched over the image.
// REGION     the input shows a part of the image: that of the points which a homography takes into the unit square. All others get
//            the bits OUTSIDE.
//
// x     [N, 1, mapSide, mapSide]
// y     [N, 1, H, W]
// grid  one invocation per output, folded
// reference: src/detectorOps/maps.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
#if REGION
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
#else
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#end
#params
#include grid

fn valueAt(base: u32, row: i32, column: i32) -> f32 {
  let n = i32(params.mapSide);
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

// Coordinate on the map, in steps from its first position, of one in the unit square.
fn coordinate(unit: f32) -> f32 {
#if EXACT
  return clamp((unit * f32(params.side) - params.offset - 0.5) / params.stride, 0.0, f32(params.mapSide - 1u));
#else
  return clamp(unit * f32(params.mapSide + 2u * params.margin) - 0.5, 0.0, f32(params.mapSide + 2u * params.margin - 1u));
#end
}

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let center = vec2f(vec2u(index % params.width, index / params.width % params.height)) + 0.5;
#if REGION
  let w = params.wi * center.x + params.wj * center.y + params.w1;
  let unit = vec2f(params.xi * center.x + params.xj * center.y + params.x1, params.yi * center.x + params.yj * center.y + params.y1) / w;
  if (w <= 0.0 || any(unit < vec2f(0.0)) || any(unit > vec2f(1.0))) {
    y[index] = ${OUTSIDE}u;
    return;
  }
#else
  let unit = center / vec2f(vec2u(params.width, params.height));
#end
  let fx = coordinate(unit.x);
  let fy = coordinate(unit.y);
  let base = index / (params.width * params.height) * params.mapSide * params.mapSide;
  let column = i32(floor(fx));
  let row = i32(floor(fy));
  let tx = fx - floor(fx);
  let ty = fy - floor(fy);
  let top = mix(valueAt(base, row, column), valueAt(base, row, column + 1), tx);
  let bottom = mix(valueAt(base, row + 1, column), valueAt(base, row + 1, column + 1), tx);
#if REGION
  y[index] = bitcast<u32>(mix(top, bottom, ty));
#else
  y[index] = mix(top, bottom, ty);
#end
}
