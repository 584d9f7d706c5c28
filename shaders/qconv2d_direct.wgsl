// Quantized conv2d of any kernel size, stride and padding, one word of the output per invocation: the plain statement of the
// operation, for devices that the others do not suit, and to check them.
//
// w      [ceil(CO / 8)][ceil(CI / 4)][KH * KW] blocks (qweights)
// the others: qconv2d
// grid   one invocation per word of the output, folded
// reference: qconv2dReference in src/kernels/qconv2dReference.ts
#include qconv2d
#include grid
#include qweights
#if U8
#include qload
#end

// The sum of products of channel m at one place of the convolution, scaled, with bias and rectifier.
fn convolved(image: u32, m: u32, row: u32, column: u32) -> f32 {
  let plane = params.height * params.width;
  let top = i32(row * params.stride) - i32(params.padding);
  let left = i32(column * params.stride) - i32(params.padding);
  var total = 0.0;
  var sum: ${SUM};
  for (var c = 0u; c < params.inWords; c++) {
    for (var ky = 0u; ky < params.kernelHeight; ky++) {
      let iy = top + i32(ky);
      for (var kx = 0u; kx < params.kernelWidth; kx++) {
        let ix = left + i32(kx);
        let inside = iy >= 0 && ix >= 0 && iy < i32(params.height) && ix < i32(params.width);
        let block = ((m / 8u * params.inWords + c) * params.kernelHeight + ky) * params.kernelWidth + kx;
        let codes = weightCodes(weightBits(block, m % 8u));
        let at = image * params.xWords * plane + u32(max(iy, 0)) * params.width + u32(max(ix, 0));
#if U8
        var v = u32(inRange.y) * 0x01010101u;
        if (inside) {
          v = codeWord(at, c, plane);
        }
        sum += dot(codes, vec4i(vec4u(v & 255u, (v >> 8u) & 255u, (v >> 16u) & 255u, v >> 24u)));
#else
        if (inside) {
#for e in 0..PARTS
          let v${e} = select(0u, x[at + min(c * ${PARTS}u + ${e}u, params.xWords - 1u) * plane], c * ${PARTS}u + ${e}u < params.xWords);
#end e
#if PARTS == 2
          sum += dot(vec4f(codes), vec4f(unpack2x16float(v0), unpack2x16float(v1)));
#else
          sum += dot(vec4f(codes), bitcast<vec4f>(vec4u(v0, v1, v2, v3)));
#end
        }
#end
      }
    }
    if ((c + 1u) % params.groupWords == 0u) {
      let entry = table[m * ${GROUPS}u + c / params.groupWords];
      total += scaled(sum, entry);
      sum = ${SUM}();
    }
  }
  return rectified(total + bias[m]);
}

fn output(image: u32, m: u32, row: u32, column: u32) -> f32 {
  if (m >= params.outChannels) {
    return 0.0;
  }
#if POOL
  let upper = convolved(image, m, 2u * row, 2u * column) + convolved(image, m, 2u * row + 1u, 2u * column);
  let lower = convolved(image, m, 2u * row, 2u * column + 1u) + convolved(image, m, 2u * row + 1u, 2u * column + 1u);
  return 0.25 * (upper + lower);
#else
  return convolved(image, m, row, column);
#end
}

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  let outPlane = params.outHeight * params.outWidth;
  let words = (params.outChannels + ${32 / OUT - 1}u) / ${32 / OUT}u;
  if (index >= params.batch * words * outPlane) {
    return;
  }
  let image = index / (words * outPlane);
  let m = index / outPlane % words * ${32 / OUT}u;
  let row = index % outPlane / params.outWidth;
  let column = index % params.outWidth;
#if OUT == 32
  y[index] = output(image, m, row, column);
#end
#if OUT == 16
  y[index] = pack2x16float(vec2f(output(image, m, row, column), output(image, m + 1u, row, column)));
#end
#if OUT <= 8
  let lower = vec4f(output(image, m, row, column), output(image, m + 1u, row, column), output(image, m + 2u, row, column), output(image, m + 3u, row, column));
#end
#if OUT == 8
  y[index] = codesOf(lower, outRange);
#end
#if OUT == 4
  let upper = vec4f(output(image, m + 4u, row, column), output(image, m + 5u, row, column), output(image, m + 6u, row, column), output(image, m + 7u, row, column));
  y[index] = codesOf(lower, outRange) | (codesOf(upper, outRange) << 4u);
#end
}
