// expected: npu.v.map: no npu.kernel is called @x
npu.program @main target("edge-4t") {
  npu.desc @x sram f32 [4] strides [1] base(0)
  npu.v.map dst(@x) kernel(@x)
}
