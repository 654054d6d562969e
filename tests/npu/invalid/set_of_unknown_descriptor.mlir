// expected: npu.d.set: no npu.desc is called @full
npu.program @main target("edge-4t") {
  npu.sem @full = 1
  npu.d.set desc(@full) part(base) ra(r1)
}
