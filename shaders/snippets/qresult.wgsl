// What lies behind the sums of products of quantized weights with activations, and how results are stored. Sums are of type SUM:
// INTEGERS over codes less CENTER, or floats. Over u8 activations (U8) they are in steps of theirs.
#include qstore

// The value of a sum of products. entry: scale of its channel's weights, and the sum of their codes
fn scaled(sum: ${SUM}, entry: vec2f) -> f32 {
#if INTEGERS
  let number = f32(sum - i32(entry.y) * (i32(inRange.y) - ${CENTER}));
#else
  let number = sum;
#end
#if U8
  return number * (entry.x * inRange.x);
#else
  return number * entry.x;
#end
}

fn rectified(value: f32) -> f32 {
#if RELU
  return max(value, 0.0);
#else
  return value;
#end
}

#if OUT <= 8
// Codes of channels m to m + 3 of the result, the zero point's of those that do not exist.
fn channelCodes(m: u32, values: vec4f) -> u32 {
  return codesOf(select(vec4f(), values, vec4u(0u, 1u, 2u, 3u) + m < vec4u(params.outChannels)), outRange);
}
#end

#if OUT == 4
// Stores the codes of channels m to m + 7 of a place of the result, if there are any. m: a multiple of 8
fn storeHalves(image: u32, m: u32, place: u32, lower: u32, upper: u32) {
  if (m < params.outChannels) {
    let words = (params.outChannels + 7u) / 8u;
    y[(image * words + m / 8u) * params.outHeight * params.outWidth + place] = lower | (upper << 4u);
  }
}
#else
// Stores channels m to m + 3 of a place of the result, those that there are. m: a multiple of 4
fn storeChannels(image: u32, m: u32, place: u32, values: vec4f) {
  let plane = params.outHeight * params.outWidth;
#if OUT == 32
#for i in 0..4
  if (m + ${i}u < params.outChannels) {
    y[(image * params.outChannels + m + ${i}u) * plane + place] = values[${i}];
  }
#end i
#end
#if OUT == 16
  let real = select(vec4f(), values, vec4u(0u, 1u, 2u, 3u) + m < vec4u(params.outChannels));
  let pairs = (params.outChannels + 1u) / 2u;
  if (m < params.outChannels) {
    y[(image * pairs + m / 2u) * plane + place] = pack2x16float(real.xy);
  }
  if (m + 2u < params.outChannels) {
    y[(image * pairs + m / 2u + 1u) * plane + place] = pack2x16float(real.zw);
  }
#end
#if OUT == 8
  if (m < params.outChannels) {
    y[(image * ((params.outChannels + 3u) / 4u) + m / 4u) * plane + place] = channelCodes(m, values);
  }
#end
}
#end

// The same of channels m to m + 7. m: a multiple of 8
fn storeEight(image: u32, m: u32, place: u32, lower: vec4f, upper: vec4f) {
#if OUT == 4
  storeHalves(image, m, place, channelCodes(m, lower), channelCodes(m + 4u, upper));
#else
  storeChannels(image, m, place, lower);
  storeChannels(image, m + 4u, place, upper);
#end
}
