// Bindings of the kernels of qconv2d, with what lies behind their sums of products (qresult).
//
// x      words of activations (qstore)
// w      WEIGHTS: packed weights as the kernel reads them
// table  [CO, GROUPS] of (scale, sum of the weights' codes)
// y      as OUT says; with POOL the 2x2 means, half as many rows and columns
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<${WEIGHTS}>;
#include qbindings
#include qresult
