// expected: reads a register that nothing has written, found v3
npu.program @main target("edge-4t") {
  npu.kernel @k(f32) { v0 = add.f32 v0, v3 } -> v0
}
