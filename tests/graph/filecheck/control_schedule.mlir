// PASSES: graph-fuse,graph-insert-copies,graph-schedule
// Weights that every step reads are copied into SRAM before the loop, and the state stays there.
// CHECK: [[W:%.*]] = graph.constant @w
// CHECK: [[R:%.*]] = graph.group([[W]]) schedule {{.*}}space = "sram"
// CHECK: graph.loop <steps = 64> carry(%{{.*}}) attributes {space = ["sram"]} {
// CHECK-NEXT: ^bb0([[H:%.*]]: tensor<1x128xf32>):
// CHECK-NEXT: graph.group([[H]], [[R]]) schedule
func.func @main(%h0: tensor<1x128xf32>) -> tensor<1x128xf32> {
  %w = graph.constant @w : tensor<128x128xf32>
  %h = graph.loop <steps = 64> carry(%h0) {
  ^bb0(%h_t: tensor<1x128xf32>):
    %p = graph.matmul(%h_t, %w) : (tensor<1x128xf32>, tensor<128x128xf32>) -> tensor<1x128xf32>
    %t = graph.tanh(%p) : (tensor<1x128xf32>) -> tensor<1x128xf32>
    graph.yield %t : tensor<1x128xf32>
  }
  func.return %h : tensor<1x128xf32>
}
