// One workgroup that adds one to a number: what a dispatch costs that does next to nothing.
//
// data  [1]
@group(0) @binding(0) var<storage, read_write> data: array<u32>;

@compute @workgroup_size(1)
fn main() {
  data[0] += 1u;
}
