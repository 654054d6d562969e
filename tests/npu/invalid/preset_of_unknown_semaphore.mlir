// expected: npu.sem.init: no npu.sem is called @full
npu.program @main target("edge-4t") {
  npu.sem.init sem(@full) value(1)
}
