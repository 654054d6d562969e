// EXPECT: property perm is given twice
func.func @main(%x: tensor<4x8xf32>) {
  %r = graph.transpose(%x) <perm = [1, 0], perm = [0, 1]> : (tensor<4x8xf32>) -> tensor<4x8xf32>
  func.return
}
// -----
// EXPECT: is out of the range of i64
func.func @main(%x: tensor<4x8xf32>) {
  %r = graph.transpose(%x) <perm = [1, 99999999999999999999999]> : (tensor<4x8xf32>) -> tensor<4x8xf32>
  func.return
}
// -----
// EXPECT: is out of the range of i64
func.func @main(%x: tensor<4x8xf32>) {
  %r = graph.concat(%x) <axis = 9223372036854775808> : (tensor<4x8xf32>) -> tensor<4x8xf32>
  func.return
}
// -----
// EXPECT: expected a number, inf or nan
func.func @main(%x: tensor<4x8xf32>) {
  %r = graph.clip(%x) <min = zero> : (tensor<4x8xf32>) -> tensor<4x8xf32>
  func.return
}
// -----
// EXPECT: are the 64 bits of an f64
func.func @main(%x: tensor<4x8xf32>) {
  %r = graph.clip(%x) <min = 0x17FF0000000000000> : (tensor<4x8xf32>) -> tensor<4x8xf32>
  func.return
}
// -----
// EXPECT: graph.add: Expected 2 operand, but got 1
func.func @main(%x: tensor<4x8xf32>) {
  %r = graph.add(%x) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  func.return
}
// -----
// EXPECT: graph.relu: Expected 1 result, but got 2
func.func @main(%x: tensor<4x8xf32>) {
  %r, %s = graph.relu(%x) : (tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>)
  func.return
}
