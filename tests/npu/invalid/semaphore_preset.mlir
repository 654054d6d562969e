// expected: npu.sem @x: -1 is not a count
npu.program @main target("edge-4t") {
  npu.sem @x = -1
}
