// The workgroup's place in its kernel's grid, `group`. Where the grid exceeds the device's limit of workgroups per dimension,
// it is dispatched FOLDED: all its workgroups in a row, broken into rows and planes that the device takes.
#if FOLDED
  let placeInGrid = workgroup.x + ${FOLDED_X}u * (workgroup.y + ${FOLDED_Y}u * workgroup.z);
  if (placeInGrid >= ${GRID_X * GRID_Y * GRID_Z}u) {
    return;
  }
  let group = vec3u(placeInGrid % ${GRID_X}u, placeInGrid / ${GRID_X}u % ${GRID_Y}u, placeInGrid / ${GRID_X * GRID_Y}u);
#else
  let group = workgroup;
#end
