// Winograd's transforms of two channels at a time.
alias Value = vec2f;
#include winogradTransforms
