// PASSES: graph-simplify
// An embedding: what follows the lookup takes the lookup's shape, so that it can join its group.
func.func @main(%i: tensor<1x16xi64>, %w: tensor<50x8xi8>, %p: tensor<1x16x8xf32>, %s: tensor<8xf32>) -> tensor<1x16x8xf32> {
  // CHECK: [[G:%.*]] = graph.gather
  // CHECK: [[C:%.*]] = graph.cast([[G]]) : (tensor<1x16x8xi8>) -> tensor<1x16x8xf32>
  // CHECK: [[M:%.*]] = graph.mul([[C]],
  // CHECK: [[Y:%.*]] = graph.add([[M]], %{{.*}}) : (tensor<1x16x8xf32>, tensor<1x16x8xf32>)
  // CHECK-NOT: graph.reshape
  // CHECK: func.return [[Y]]
  %table = graph.reshape(%w) : (tensor<50x8xi8>) -> tensor<1x50x8xi8>
  %rows = graph.reshape(%i) : (tensor<1x16xi64>) -> tensor<1x16x1xi64>
  %g = graph.gather(%table, %rows) : (tensor<1x50x8xi8>, tensor<1x16x1xi64>) -> tensor<1x16x8xi8>
  %f = graph.reshape(%g) : (tensor<1x16x8xi8>) -> tensor<16x8xi8>
  %c = graph.cast(%f) : (tensor<16x8xi8>) -> tensor<16x8xf32>
  %m = graph.mul(%c, %s) : (tensor<16x8xf32>, tensor<8xf32>) -> tensor<16x8xf32>
  %v = graph.reshape(%m) : (tensor<16x8xf32>) -> tensor<1x16x8xf32>
  %y = graph.add(%v, %p) : (tensor<1x16x8xf32>, tensor<1x16x8xf32>) -> tensor<1x16x8xf32>
  func.return %y : tensor<1x16x8xf32>
}
// -----
// An operand that is shared by axes that the lookup has as one stays outside, and so does its op.
func.func @main(%i: tensor<2x16xi64>, %w: tensor<1x50x8xf32>, %p: tensor<1x16x8xf32>) -> tensor<2x16x8xf32> {
  // CHECK: graph.gather
  // CHECK: graph.reshape
  // CHECK: graph.add({{.*}}) : (tensor<2x16x8xf32>, tensor<1x16x8xf32>)
  %rows = graph.reshape(%i) : (tensor<2x16xi64>) -> tensor<1x32x1xi64>
  %g = graph.gather(%w, %rows) : (tensor<1x50x8xf32>, tensor<1x32x1xi64>) -> tensor<1x32x8xf32>
  %v = graph.reshape(%g) : (tensor<1x32x8xf32>) -> tensor<2x16x8xf32>
  %y = graph.add(%v, %p) : (tensor<2x16x8xf32>, tensor<1x16x8xf32>) -> tensor<2x16x8xf32>
  func.return %y : tensor<2x16x8xf32>
}
