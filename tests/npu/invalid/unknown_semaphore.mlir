// expected: npu.dma.fill: no npu.sem is called @full
npu.program @main target("edge-4t") {
  npu.desc @x sram f32 [4] strides [1] base(0)
  npu.dma.fill unit(dma0) dst(@x) post(@full)
}
