// expected: npu.s.br: no npu.label is called @again
npu.program @main target("edge-4t") {
  npu.s.br fn(always) to(@again)
}
