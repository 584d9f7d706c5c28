// Linear index of an invocation when a one-dimensional grid is folded over the 65,535 workgroups limit.
fn linearIndex(workgroup: vec3u, count: vec3u, local: u32) -> u32 {
  return (workgroup.x + workgroup.y * count.x) * ${WORKGROUP}u + local;
}
