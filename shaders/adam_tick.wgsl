// tick: advances the training state by one step, on the GPU, so that replay and resume need no host write.
//
// state  [4] u32: step, learning rate of that step, beta1^step, beta2^step (the last three are f32 bits)
// grid   one invocation
// reference: src/kernels/adam.ts
@group(0) @binding(0) var<storage, read_write> state: array<u32>;
#params

@compute @workgroup_size(1)
fn main() {
  let step = state[0];
  state[0] = step + 1u;
  var rate = select(params.learningRate, params.learningRate * params.decay, step >= params.decayAt);
#if COSINE
  let way = clamp((f32(step) - params.warmUp) / (params.until - params.warmUp), 0.0, 1.0);
  rate *= min(f32(step + 1u) / params.warmUp, 1.0) * 0.5 * (1.0 + cos(3.14159265 * way));
#end
  state[1] = bitcast<u32>(rate);
  state[2] = bitcast<u32>(bitcast<f32>(state[2]) * params.beta1);
  state[3] = bitcast<u32>(bitcast<f32>(state[3]) * params.beta2);
}
