// Winograd input transform of a plane that is resized while it is read: as winograd_input of resize_bilinear, or with HALVES as
// winograd_halves_input of it.
//
// Upwards an invocation reads the window of source values below its tile once, ROWS x COLUMNS of them. The weights of a
// patch's row or column are 1 - |distance| on three neighbors, of which one is zero: where the tile begins between two source
// values decides which. Downwards every value of a patch has four source values of its own.
//
// x     [N, CI, INY, INX]
// v     [CI, A * A, pitch] or, with HALVES, [ceil(CI / 2), A * A, pitch] words of two channels times 2^-SHIFT, T = rows * tilesX of each row used: the tile rows firstRow, ... of all images, counted through the batch
// grid  x: ceil(T / WORKGROUP), y: ceil(CI / CHANNELS); one invocation per tile and CHANNELS input channels
// reference: resizeBilinear, then winogradInputOp in src/kernels/winograd.ts or winogradHalvesInputOp in winogradHalves.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
#if HALVES
@group(0) @binding(1) var<storage, read_write> v: array<u32>;
#else
@group(0) @binding(1) var<storage, read_write> v: array<f32>;
#end
#params
#if HALVES
#include winogradPairs
#include halves
#else
#include winograd
#end

// A source value of a channel, or with HALVES of two of them.
#if HALVES
fn source(base: vec2u, place: u32) -> Value {
  return vec2f(x[base.x + place], x[base.y + place]);
}
#else
fn source(base: u32, place: u32) -> Value {
  return x[base + place];
}
#end

// Of a source value so far away, and nothing where the patch's value is one of the padding.
fn weight(distance: f32, inside: bool) -> f32 {
  return select(0.0, max(1.0 - abs(distance), 0.0), inside);
}

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let tiles = params.rows * params.tilesX;
  let t = group.x * ${WORKGROUP}u + local;
  if (t >= tiles) {
    return;
  }
  let row = params.firstRow + t / params.tilesX;
  let image = row / params.tilesY;
  let top = i32(row % params.tilesY * ${M}u) - params.padding;
  let left = i32(t % params.tilesX * ${M}u) - params.padding;
  // Places of the patch among the source values; clamped indices stand for the clamped places of the definition.
#for i in 0..A
  let placeY${i} = (f32(top + ${i}) + 0.5) * params.scaleY - 0.5;
  let placeX${i} = (f32(left + ${i}) + 0.5) * params.scaleX - 0.5;
  let insideY${i} = top + ${i} >= 0 && top + ${i} < ${OUTY};
  let insideX${i} = left + ${i} >= 0 && left + ${i} < ${OUTX};
#end i
#if UP
  let firstY = i32(floor(placeY0));
  let firstX = i32(floor(placeX0));
#for r in 0..ROWS
  let y${r} = u32(clamp(firstY + ${r}, 0, ${INY - 1})) * ${INX}u;
#end r
#for c in 0..COLUMNS
  let x${c} = u32(clamp(firstX + ${c}, 0, ${INX - 1}));
#end c
#for i in 0..A, k in 0..3
  let wy${i}_${k} = weight(placeY${i} - f32(firstY + ${i * INY / OUTY + k}), insideY${i});
  let wx${i}_${k} = weight(placeX${i} - f32(firstX + ${i * INX / OUTX + k}), insideX${i});
#end i, k
#else
#for i in 0..A
  let firstY${i} = i32(floor(placeY${i}));
  let firstX${i} = i32(floor(placeX${i}));
#for k in 0..2
  let y${i}_${k} = u32(clamp(firstY${i} + ${k}, 0, ${INY - 1})) * ${INX}u;
  let x${i}_${k} = u32(clamp(firstX${i} + ${k}, 0, ${INX - 1}));
  let wy${i}_${k} = weight(placeY${i} - f32(firstY${i} + ${k}), insideY${i});
  let wx${i}_${k} = weight(placeX${i} - f32(firstX${i} + ${k}), insideX${i});
#end k
#end i
#end
  let last = min((group.y + 1u) * ${CHANNELS}u, params.channels);
  for (var channel = group.y * ${CHANNELS}u; channel < last; channel += ${1 + HALVES}u) {
#if HALVES
    // Behind an odd number of channels is one of zeros.
    let isPair = channel + 1u < params.channels;
    let base = (image * params.channels + channel) * ${INY * INX}u + vec2u(0u, select(0u, ${INY * INX}u, isPair));
    let factor = vec2f(1.0, select(0.0, 1.0, isPair)) / ${SCALE}.0;
#else
    let base = (image * params.channels + channel) * ${INY * INX}u;
#end
#if UP
#for r in 0..ROWS
#for c in 0..COLUMNS
    let s${r}_${c} = source(base, y${r} + x${c});
#end c
#for j in 0..A
    let h${r}_${j} = wx${j}_0 * s${r}_${j * INX / OUTX} + wx${j}_1 * s${r}_${j * INX / OUTX + 1} + wx${j}_2 * s${r}_${j * INX / OUTX + 2};
#end j
#end r
#else
#for i in 0..A, k in 0..2, j in 0..A
    let h${2 * i + k}_${j} = wx${j}_0 * source(base, y${i}_${k} + x${j}_0) + wx${j}_1 * source(base, y${i}_${k} + x${j}_1);
#end i, k, j
#end
#for j in 0..A
    let column${j} = inputTransform(Points(
#for i in 0..A
#if UP
      wy${i}_0 * h${i * INY / OUTY}_${j} + wy${i}_1 * h${i * INY / OUTY + 1}_${j} + wy${i}_2 * h${i * INY / OUTY + 2}_${j},
#else
      wy${i}_0 * h${2 * i}_${j} + wy${i}_1 * h${2 * i + 1}_${j},
#end
#end i
    ));
#end j
    let at = channel / ${1 + HALVES}u * ${A * A}u * params.pitch + t;
#for i in 0..A
    let row${i} = inputTransform(Points(
#for j in 0..A
      column${j}.s${i},
#end j
    ));
#for j in 0..A
#if HALVES
    v[at + ${i * A + j}u * params.pitch] = halves(factor * row${i}.s${j});
#else
    v[at + ${i * A + j}u * params.pitch] = row${i}.s${j};
#end
#end j
#end i
  }
}
