// expected: npu.s.halt: always runs on seq; leave unit out
npu.program @main target("edge-4t") {
  npu.s.halt unit(vx)
}
