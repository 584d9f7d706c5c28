// The slice of a block that an invocation belongs to, its lane there, and where its rows and columns begin in a staged step.
  let slice = index / ${LX * LY}u;
  let lane = index % ${LX * LY}u;
  let lx = lane % ${LX}u;
  let ly = lane / ${LX}u;
  let sliceRows = slice * ${MT / 4}u + ly * ${TM / 4}u;
  let sliceColumns = slice * ${NP / 4}u + lx;
