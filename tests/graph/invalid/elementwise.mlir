// EXPECT: do not broadcast
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.add(%x, %y) : (tensor<1x8x8x4xf32>, tensor<4x6xf32>) -> tensor<1x8x8x4xf32>
  func.return
}
// -----
// EXPECT: result type must be tensor<4x6xf32>, found tensor<4x7xf32>
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.neg(%y) : (tensor<4x6xf32>) -> tensor<4x7xf32>
  func.return
}
// -----
// EXPECT: operands must have one element type, found f32, i32
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.mul(%y, %i) : (tensor<4x6xf32>, tensor<4x6xi32>) -> tensor<4x6xf32>
  func.return
}
// -----
// EXPECT: element type must be float, found i32
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.exp(%i) : (tensor<4x6xi32>) -> tensor<4x6xi32>
  func.return
}
// -----
// EXPECT: element type must be logic, found f32
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.and(%y, %y) : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6xf32>
  func.return
}
// -----
// EXPECT: condition must be i1
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.where(%y, %y, %y) : (tensor<4x6xf32>, tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6xf32>
  func.return
}
// -----
// EXPECT: result type must be tensor<4x6xi1>
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.less(%y, %y) : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6xf32>
  func.return
}
// -----
// EXPECT: needs min, max or both
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.clip(%y) : (tensor<4x6xf32>) -> tensor<4x6xf32>
  func.return
}
// -----
// EXPECT: is not an element type of the machine
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.cast(%y) : (tensor<4x6xf32>) -> tensor<4x6xi7>
  func.return
}
