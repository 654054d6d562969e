// expected: operand a @w is in dram, must be in sram
npu.program @main target("edge-4t") {
  npu.desc @w dram f16 [4, 4] strides [4, 1] base(0)
  npu.desc @acc acc f32 [4, 4] strides [4, 1] base(0)
  npu.mx.gemm dst(@acc) a(@w) b(@w)
}
