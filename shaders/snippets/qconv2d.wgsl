// Bindings of the kernels of qconv2d, with what lies behind their sums of products (qresult).
//
// x      words of activations (qstore)
// w      WEIGHTS: packed weights as the kernel reads them
// table  [CO, GROUPS] of (scale, sum of the weights' codes)
// y      as OUT says; with POOL the 2x2 means, half as many rows and columns
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<${WEIGHTS}>;
@group(0) @binding(2) var<storage, read> table: array<vec2f>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
#if U8
@group(0) @binding(4) var<storage, read> inRange: vec4f;
#end
#if OUT <= 8
@group(0) @binding(${4 + U8}) var<storage, read> outRange: vec4f;
#end
@group(0) @binding(${4 + U8 + (OUT <= 8)}) var<storage, read_write> y: array<${STORED}>;
#params
#include qresult
