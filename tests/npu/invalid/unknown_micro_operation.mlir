// expected: expected a micro-operation and its type, such as add.f32
npu.program @main target("edge-4t") {
  npu.kernel @k(f32) { v0 = cube.f32 v0 } -> v0
}
