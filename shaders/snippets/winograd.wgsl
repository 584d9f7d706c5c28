// Winograd's transforms of one channel at a time.
alias Value = f32;
#include winogradTransforms
