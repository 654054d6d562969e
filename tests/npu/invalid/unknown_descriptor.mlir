// expected: npu.dma.fill: no npu.desc is called @x
npu.program @main target("edge-4t") {
  npu.dma.fill unit(dma0) dst(@x)
}
