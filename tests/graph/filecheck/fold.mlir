// PASSES: graph-fold
// CONSTANT a = 1, 2
// CHECK: [[SUM:%.*]] = graph.constant @a.add : tensor<2xf32>
// CHECK-NOT: graph.add
// CHECK: graph.mul(%{{.*}}, [[SUM]])
func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
  %a = graph.constant @a : tensor<2xf32>
  %s = graph.add(%a, %a) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
  %r = graph.mul(%x, %s) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
  func.return %r : tensor<2xf32>
}
// -----
// A result much larger than its operands is not made at compile time.
// CHECK: graph.expand
// CHECK-SAME: tensor<300x300xf32>
func.func @main(%x: tensor<300x300xf32>) -> tensor<300x300xf32> {
  %a = graph.constant @one : tensor<1xf32>
  %e = graph.expand(%a) : (tensor<1xf32>) -> tensor<300x300xf32>
  %r = graph.mul(%x, %e) : (tensor<300x300xf32>, tensor<300x300xf32>) -> tensor<300x300xf32>
  func.return %r : tensor<300x300xf32>
}
