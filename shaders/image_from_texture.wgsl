// imageFromTexture: the texels of a texture, or of a frame of a video, as pixel words in rows of STRIDE.
//
// BGRA      words have the bytes B, G, R, A
// SRGB      the view decodes what is stored: it is encoded again
// EXTERNAL  a frame of any size, stretched to WIDTH x HEIGHT by the nearest pixel
//
// source  2D texture of floats, or an external texture
// y       [HEIGHT, STRIDE] u32 pixels
// grid    one invocation per pixel, 8 x 8
// reference: src/imaging/textures.ts
#if EXTERNAL
@group(0) @binding(0) var source: texture_external;
#else
@group(0) @binding(0) var source: texture_2d<f32>;
#end
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${WIDTH}u || id.y >= ${HEIGHT}u) {
    return;
  }
#if EXTERNAL
  let at = id.xy * vec2u(textureDimensions(source)) / vec2u(${WIDTH}u, ${HEIGHT}u);
  var color = textureLoad(source, at).rgb;
#else
  var color = textureLoad(source, id.xy, 0).rgb;
#end
  color = clamp(color, vec3f(0.0), vec3f(1.0));
#if SRGB
  color = select(1.055 * pow(color, vec3f(1.0 / 2.4)) - 0.055, 12.92 * color, color <= vec3f(0.0031308));
#end
#if BGRA
  color = color.bgr;
#end
  let bytes = vec3u(color * 255.0 + 0.5);
  y[id.y * ${STRIDE}u + id.x] = bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | 0xff000000u;
}
