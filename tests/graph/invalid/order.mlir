// EXPECT: count must lie in 0..7, found 8
func.func @main(%x: tensor<2x7xf32>) {
  %r = graph.argsort(%x) <axis = 1, count = 8, descending = 0> : (tensor<2x7xf32>) -> tensor<2x8xi64>
  func.return
}
// -----
// EXPECT: positions are i32 or i64, found f32
func.func @main(%x: tensor<2x7xf32>) {
  %r = graph.argsort(%x) <axis = 1, count = 7, descending = 0> : (tensor<2x7xf32>) -> tensor<2x7xf32>
  func.return
}
// -----
// EXPECT: descending must be 0 or 1, found 2
func.func @main(%x: tensor<2x7xf32>) {
  %r = graph.argsort(%x) <axis = 1, count = 7, descending = 2> : (tensor<2x7xf32>) -> tensor<2x7xi64>
  func.return
}
// -----
// EXPECT: fn must be one of sum, max, min, prod, found mean
func.func @main(%x: tensor<2x7xf32>) {
  %r = graph.scan(%x) <axis = 0, fn = mean, exclusive = 0, reverse = 0> : (tensor<2x7xf32>) -> tensor<2x7xf32>
  func.return
}
// -----
// EXPECT: floats run into floats and integers into integers, found f32 to i32
func.func @main(%x: tensor<2x7xf32>) {
  %r = graph.scan(%x) <axis = 0, fn = sum, exclusive = 0, reverse = 0> : (tensor<2x7xf32>) -> tensor<2x7xi32>
  func.return
}
// -----
// EXPECT: operand must have an axis, found a scalar
func.func @main(%x: tensor<f32>) {
  %r = graph.scan(%x) <axis = 0, fn = sum, exclusive = 0, reverse = 0> : (tensor<f32>) -> tensor<f32>
  func.return
}
// -----
// EXPECT: x and mask must have one shape, found [2, 7] and [7]
func.func @main(%x: tensor<2x7xf32>, %m: tensor<7xi1>) {
  %r = graph.compress(%x, %m) <count = 7> : (tensor<2x7xf32>, tensor<7xi1>) -> tensor<2x7xf32>
  func.return
}
// -----
// EXPECT: axis must lie in 0..1, found 2
func.func @main(%x: tensor<2x7xf32>) {
  %r = graph.argsort(%x) <axis = 2, count = 7, descending = 0> : (tensor<2x7xf32>) -> tensor<2x7xi64>
  func.return
}
