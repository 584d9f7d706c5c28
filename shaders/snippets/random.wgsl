// Counter-based random numbers: a hash of four words (pcg4d of Jarzynski and Olano, "Hash Functions for GPU Rendering",
// JCGT 2020). The same counter gives the same number in forward and backward, on every device.
fn randomWords(counter: vec4u) -> vec4u {
  var v = counter * 1664525u + 1013904223u;
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  v ^= v >> vec4u(16u);
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  return v;
}
