// EXPECT: graph.gather: indices must be integers, found f32
func.func @main(%x: tensor<2x6x8xf32>, %i: tensor<1x5x1xi64>, %f: tensor<1x5x1xf32>, %u: tensor<2x5x8xf32>, %h: tensor<2x5x8xf16>, %w: tensor<3x5x1xi64>) {
  %r = graph.gather(%x, %f) : (tensor<2x6x8xf32>, tensor<1x5x1xf32>) -> tensor<2x5x8xf32>
  func.return
}
// -----
// EXPECT: graph.gather: indices must broadcast to [2, 5, 8], found [3, 5, 1]
func.func @main(%x: tensor<2x6x8xf32>, %i: tensor<1x5x1xi64>, %f: tensor<1x5x1xf32>, %u: tensor<2x5x8xf32>, %h: tensor<2x5x8xf16>, %w: tensor<3x5x1xi64>) {
  %r = graph.gather(%x, %w) : (tensor<2x6x8xf32>, tensor<3x5x1xi64>) -> tensor<2x5x8xf32>
  func.return
}
// -----
// EXPECT: graph.gather: result type must be tensor<2x5x8xf32>
func.func @main(%x: tensor<2x6x8xf32>, %i: tensor<1x5x1xi64>, %f: tensor<1x5x1xf32>, %u: tensor<2x5x8xf32>, %h: tensor<2x5x8xf16>, %w: tensor<3x5x1xi64>) {
  %r = graph.gather(%x, %i) : (tensor<2x6x8xf32>, tensor<1x5x1xi64>) -> tensor<2x6x8xf32>
  func.return
}
// -----
// EXPECT: graph.scatter: fn must be one of none, add, mul, min, max, found sub
func.func @main(%x: tensor<2x6x8xf32>, %i: tensor<1x5x1xi64>, %f: tensor<1x5x1xf32>, %u: tensor<2x5x8xf32>, %h: tensor<2x5x8xf16>, %w: tensor<3x5x1xi64>) {
  %r = graph.scatter(%x, %i, %u) <fn = sub> : (tensor<2x6x8xf32>, tensor<1x5x1xi64>, tensor<2x5x8xf32>) -> tensor<2x6x8xf32>
  func.return
}
// -----
// EXPECT: graph.scatter: updates must have the type f32, found f16
func.func @main(%x: tensor<2x6x8xf32>, %i: tensor<1x5x1xi64>, %f: tensor<1x5x1xf32>, %u: tensor<2x5x8xf32>, %h: tensor<2x5x8xf16>, %w: tensor<3x5x1xi64>) {
  %r = graph.scatter(%x, %i, %h) <fn = none> : (tensor<2x6x8xf32>, tensor<1x5x1xi64>, tensor<2x5x8xf16>) -> tensor<2x6x8xf32>
  func.return
}
// -----
// EXPECT: graph.scatter: updates must be [b, n, r], found [1, 5, 1]
func.func @main(%x: tensor<2x6x8xf32>, %i: tensor<1x5x1xi64>, %f: tensor<1x5x1xf32>, %u: tensor<2x5x8xf32>, %h: tensor<2x5x8xf16>, %w: tensor<3x5x1xi64>) {
  %r = graph.scatter(%x, %i, %f) <fn = none> : (tensor<2x6x8xf32>, tensor<1x5x1xi64>, tensor<1x5x1xf32>) -> tensor<2x6x8xf32>
  func.return
}
