// PASSES: graph-precision{dtype="f16"},graph-simplify
// What a loop carries, scans and stacks keeps its type; the product in its body multiplies 16 bits. The weights are
// converted once, before it.
// CHECK: [[W:%.*]] = graph.constant @w.f16 : tensor<8x8xf16>
// CHECK: graph.loop <steps = 3> carry(%{{.*}}) {
// CHECK-NEXT: ^bb0([[H:%.*]]: tensor<1x8xf32>):
// CHECK-NEXT: [[N:%.*]] = graph.cast([[H]]) {{.*}} -> tensor<1x8xf16>
// CHECK-NEXT: graph.matmul([[N]], [[W]]) : (tensor<1x8xf16>, tensor<8x8xf16>) -> tensor<1x8xf32>
// CHECK: graph.yield %{{.*}} : tensor<1x8xf32>
func.func @main(%h0: tensor<1x8xf32>) -> tensor<1x8xf32> {
  %w = graph.constant @w : tensor<8x8xf32>
  %h = graph.loop <steps = 3> carry(%h0) {
  ^bb0(%h_t: tensor<1x8xf32>):
    %p = graph.matmul(%h_t, %w) : (tensor<1x8xf32>, tensor<8x8xf32>) -> tensor<1x8xf32>
    %t = graph.tanh(%p) : (tensor<1x8xf32>) -> tensor<1x8xf32>
    graph.yield %t : tensor<1x8xf32>
  }
  func.return %h : tensor<1x8xf32>
}
