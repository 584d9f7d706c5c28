// The four pixels of a block that an invocation stages, in a function: image, and row and column of the result before pooling. They
// lie a quarter of the block's NP apart; with POOL they are a pooling window.
#if POOL
  let window = min(group.x * ${NP / 4}u + index % ${NP / 4}u, outputs - 1u);
#if IMAGES
  let image = vec4u(window / outPlane);
  let place = window % outPlane;
#else
  let image = vec4u();
  let place = window;
#end
  let row = vec4u(2u * (place / params.outWidth)) + vec4u(0u, 0u, 1u, 1u);
  let column = vec4u(2u * (place % params.outWidth)) + vec4u(0u, 1u, 0u, 1u);
#else
  let pixel = min(group.x * ${NP}u + index % ${NP / 4}u + vec4u(0u, ${NP / 4}u, ${NP / 2}u, ${NP / 4 * 3}u), vec4u(outputs - 1u));
#if IMAGES
  let image = pixel / outPlane;
  let place = pixel % outPlane;
#else
  let image = vec4u();
  let place = pixel;
#end
  let row = place / params.outWidth;
  let column = place % params.outWidth;
#end
