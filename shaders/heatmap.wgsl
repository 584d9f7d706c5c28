// heatmap: an anomaly map in colors over what a texture holds, blended by the fixed function: alpha grows with the anomaly, a white
// line follows the threshold, and what was not looked at is dimmed and hatched.
//
// map     [HEIGHT, WIDTH] f32, as bits
// colors  [256] words 0x00BBGGRR, cold to hot
// style   range of the colors, threshold (NaN: no line), opacity
// draw    a triangle over the viewport
// reference: src/imaging/heatmapPass.ts
struct Style {
  low: f32,
  high: f32,
  threshold: f32,
  opacity: f32,
}
@group(0) @binding(0) var<storage, read> map: array<u32>;
@group(0) @binding(1) var<storage, read> colors: array<u32>;
@group(0) @binding(2) var<uniform> style: Style;

struct Corner {
  @builtin(position) position: vec4f,
  @location(0) place: vec2f,
}

@vertex
fn corner(@builtin(vertex_index) index: u32) -> Corner {
  let place = vec2f(f32((index << 1u) & 2u), f32(index & 2u));
  return Corner(vec4f(2.0 * place.x - 1.0, 1.0 - 2.0 * place.y, 0.0, 1.0), place);
}

fn bits(column: i32, row: i32) -> u32 {
  return map[clamp(row, 0, ${HEIGHT - 1}) * ${WIDTH} + clamp(column, 0, ${WIDTH - 1})];
}

fn isNumber(word: u32) -> bool {
  return (word & 0x7fffffffu) < 0x7f800000u;
}

@fragment
fn color(@builtin(position) position: vec4f, @location(0) place: vec2f) -> @location(0) vec4f {
  let at = place * vec2f(${WIDTH}.0, ${HEIGHT}.0);
  let nearest = vec2i(floor(at));
  let first = vec2i(floor(at - 0.5));
  let t = at - 0.5 - vec2f(first);
  let a = bits(first.x, first.y);
  let b = bits(first.x + 1, first.y);
  let c = bits(first.x, first.y + 1);
  let d = bits(first.x + 1, first.y + 1);
  let here = bits(nearest.x, nearest.y);
  var value = 0.0;
  if (isNumber(a) && isNumber(b) && isNumber(c) && isNumber(d)) {
    value = mix(mix(bitcast<f32>(a), bitcast<f32>(b), t.x), mix(bitcast<f32>(c), bitcast<f32>(d), t.x), t.y);
  } else if (isNumber(here)) {
    value = bitcast<f32>(here);
  }
  // Derivatives are taken where all lanes are.
  let slope = max(fwidth(value), 1e-30);
  var paint = vec4f(0.0, 0.0, 0.0, select(0.7, 0.5, (u32(position.x) + u32(position.y)) % 12u < 2u));
  if (isNumber(here)) {
    let heat = clamp((value - style.low) / (style.high - style.low), 0.0, 1.0);
    let word = colors[u32(round(255.0 * heat))];
    paint = vec4f(vec3f(vec3u(word, word >> 8u, word >> 16u) & vec3u(255u)) / 255.0, 0.12 + 0.7 * heat);
    let line = clamp(1.4 - abs(value - style.threshold) / slope, 0.0, 1.0);
    if (line > 0.0) {
      paint = vec4f(mix(paint.rgb, vec3f(1.0), line), mix(paint.a, 1.0, line));
    }
  }
#if SRGB
  paint = vec4f(select(pow((paint.rgb + 0.055) / 1.055, vec3f(2.4)), paint.rgb / 12.92, paint.rgb <= vec3f(0.04045)), paint.a);
#end
  return vec4f(paint.rgb, paint.a * style.opacity);
}
