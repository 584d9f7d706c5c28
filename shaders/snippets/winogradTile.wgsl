// The tile of an invocation, in a function: t of all, image, and its A x A inputs at y0, x0, ... of a plane; with PADDED whether
// each row and column lies inside the image. Ends the function beyond the last tile.
  let tiles = params.rows * params.tilesX;
  let t = group.x * ${WORKGROUP}u + local;
  if (t >= tiles) {
    return;
  }
  let row = params.firstRow + t / params.tilesX;
  let image = row / params.tilesY;
#if PADDED
  let top = i32(row % params.tilesY * ${M}u) - params.padding;
  let left = i32(t % params.tilesX * ${M}u) - params.padding;
#for i in 0..A
  let insideY${i} = top + ${i} >= 0 && top + ${i} < params.height;
  let insideX${i} = left + ${i} >= 0 && left + ${i} < params.width;
#end i
#else
  let top = i32(row % params.tilesY * ${M}u);
  let left = i32(t % params.tilesX * ${M}u);
#end
  let plane = u32(params.height * params.width);
#for i in 0..A
  let y${i} = u32(clamp(top + ${i}, 0, params.height - 1) * params.width);
  let x${i} = u32(clamp(left + ${i}, 0, params.width - 1));
#end i
