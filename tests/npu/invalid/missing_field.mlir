// expected: npu.mx.gemm: field a, b is missing and has no default
npu.program @main target("edge-4t") {
  npu.desc @acc acc f32 [4, 4] strides [4, 1] base(0)
  npu.mx.gemm dst(@acc)
}
