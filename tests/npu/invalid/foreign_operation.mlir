// expected: arith.constant does not belong into a program
npu.program @main target("edge-4t") {
  %0 = arith.constant 1 : i32
}
