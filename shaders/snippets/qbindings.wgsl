// Bindings of what lies behind the sums of products of quantized weights, from number TABLE on, and the parameters.
//
// table     [CO, GROUPS] of (scale, sum of the weights' codes)
// bias      [CO]
// inRange   of codes (U8), outRange of codes as a result
// y         as OUT says
@group(0) @binding(${TABLE}) var<storage, read> table: array<vec2f>;
@group(0) @binding(${TABLE + 1}) var<storage, read> bias: array<f32>;
#if U8
@group(0) @binding(${TABLE + 2}) var<storage, read> inRange: vec4f;
#end
#if OUT <= 8
@group(0) @binding(${TABLE + 2 + U8}) var<storage, read> outRange: vec4f;
#end
@group(0) @binding(${TABLE + 2 + U8 + (OUT <= 8)}) var<storage, read_write> y: array<${STORED}>;
#params
