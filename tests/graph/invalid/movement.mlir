// EXPECT: perm must permute the 2 axes of [4, 6], found [0, 0]
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.transpose(%y) <perm = [0, 0]> : (tensor<4x6xf32>) -> tensor<4x4xf32>
  func.return
}
// -----
// EXPECT: [4, 6] has 24 elements, [5, 5] has 25
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.reshape(%y) : (tensor<4x6xf32>) -> tensor<5x5xf32>
  func.return
}
// -----
// EXPECT: elements 2 to 6 by 1 do not all exist
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.slice(%y) <starts = [2, 0], steps = [1, 1], sizes = [5, 6]> : (tensor<4x6xf32>) -> tensor<5x6xf32>
  func.return
}
// -----
// EXPECT: step must not be 0
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.slice(%y) <starts = [0, 0], steps = [0, 1], sizes = [1, 6]> : (tensor<4x6xf32>) -> tensor<1x6xf32>
  func.return
}
// -----
// EXPECT: [4, 6] does not broadcast to [4, 7]
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.expand(%y) : (tensor<4x6xf32>) -> tensor<4x7xf32>
  func.return
}
// -----
// EXPECT: differ beyond axis 0
func.func @main(%y: tensor<4x6xf32>, %z: tensor<4x5xf32>) {
  %r = graph.concat(%y, %z) <axis = 0> : (tensor<4x6xf32>, tensor<4x5xf32>) -> tensor<8x6xf32>
  func.return
}
// -----
// EXPECT: axis must be an axis of [4, 6], found 2
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.concat(%y) <axis = 2> : (tensor<4x6xf32>) -> tensor<4x6xf32>
  func.return
}
