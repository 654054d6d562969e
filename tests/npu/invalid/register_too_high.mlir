// expected: expected a scalar register r0 to r31, found r32
npu.program @main target("edge-4t") {
  npu.desc @x sram f32 [4] strides [1] base(0)
  npu.dma.fill unit(dma0) dst(@x[r32])
}
