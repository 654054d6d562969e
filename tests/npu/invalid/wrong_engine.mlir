// expected: unit is mx, must be one of dma0, dma1, dma2, dma3
npu.program @main target("edge-4t") {
  npu.desc @x sram f32 [4] strides [1] base(0)
  npu.dma.fill unit(mx) dst(@x)
}
