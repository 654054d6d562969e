// expected: add has 2 sources
npu.program @main target("edge-4t") {
  npu.kernel @k(f32) { v0 = add.f32 v0 } -> v0
}
