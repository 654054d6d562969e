// expected: descriptor x: dims and strides differ in length, found 2 and 1
npu.program @main target("edge-4t") {
  npu.desc @x sram f32 [4, 4] strides [1] base(0)
}
