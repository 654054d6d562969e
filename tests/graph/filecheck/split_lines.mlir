// PASSES: graph-split-lines
// The five best of 500,000: those of each of eight parts, then of the forty; places are looked up at the end.
func.func @main(%x: tensor<500000xf32>) -> tensor<5xi64> {
  // CHECK: [[P:%.*]] = graph.reshape(%x) : (tensor<500000xf32>) -> tensor<8x62500xf32>
  // CHECK: [[B:%.*]] = graph.argsort([[P]]) <axis = 1, count = 5, descending = 1> : (tensor<8x62500xf32>) -> tensor<8x5xi64>
  // CHECK: graph.gather
  // CHECK: graph.add([[B]], %{{.*}}) : (tensor<8x5xi64>, tensor<8x1xi64>)
  // CHECK: [[O:%.*]] = graph.argsort(%{{.*}}) <axis = 0, count = 5, descending = 1> : (tensor<40xf32>) -> tensor<5xi64>
  // CHECK: graph.gather
  // CHECK: func.return %{{.*}} : tensor<5xi64>
  %s = graph.argsort(%x) <axis = 0, count = 5, descending = 1> : (tensor<500000xf32>) -> tensor<5xi64>
  func.return %s : tensor<5xi64>
}
// -----
// Sums of parts, from the end, and the sum of all parts behind each.
func.func @main(%y: tensor<100000x3xf32>) -> tensor<100000x3xf32> {
  // CHECK: [[P:%.*]] = graph.reshape(%y) : (tensor<100000x3xf32>) -> tensor<8x12500x3xf32>
  // CHECK: [[S:%.*]] = graph.scan([[P]]) <axis = 1, fn = sum, exclusive = 0, reverse = 1>
  // CHECK: [[T:%.*]] = graph.reduce([[P]]) <fn = sum, axes = [1]> : (tensor<8x12500x3xf32>) -> tensor<8x1x3xf32>
  // CHECK: [[B:%.*]] = graph.scan([[T]]) <axis = 0, fn = sum, exclusive = 1, reverse = 1>
  // CHECK: graph.add([[S]], [[B]])
  %r = graph.scan(%y) <axis = 0, fn = sum, exclusive = 0, reverse = 1> : (tensor<100000x3xf32>) -> tensor<100000x3xf32>
  func.return %r : tensor<100000x3xf32>
}
// -----
// What fits is left alone.
func.func @main(%x: tensor<1000xf32>, %z: tensor<1000xf32>) -> (tensor<1000xf32>, tensor<1000xi32>) {
  // CHECK: graph.scan(%x)
  // CHECK-NEXT: graph.argsort(%z)
  // CHECK-NEXT: func.return
  %r = graph.scan(%x) <axis = 0, fn = max, exclusive = 0, reverse = 0> : (tensor<1000xf32>) -> tensor<1000xf32>
  %s = graph.argsort(%z) <axis = 0, count = 1000, descending = 0> : (tensor<1000xf32>) -> tensor<1000xi32>
  func.return %r, %s : tensor<1000xf32>, tensor<1000xi32>
}
// -----
// A sort of all of a long line: four sorted blocks, three stages of merges of two of them each.
func.func @main(%z: tensor<30000xf32>) -> tensor<30000xi32> {
  // CHECK: graph.argsort(%{{.*}}) <axis = 2, count = 7500, descending = 0> : (tensor<1x4x7500xf32>) -> tensor<1x4x7500xi32>
  // CHECK: graph.argsort(%{{.*}}) <axis = 3, count = 15000, descending = 0> : (tensor<1x2x1x15000xi32>)
  // CHECK: graph.argsort(%{{.*}}) <axis = 3, count = 15000, descending = 0> : (tensor<1x2x1x15000xf32>)
  // CHECK: graph.argsort(%{{.*}}) <axis = 3, count = 15000, descending = 0> : (tensor<1x1x2x15000xi32>)
  // CHECK: graph.argsort(%{{.*}}) <axis = 3, count = 15000, descending = 0> : (tensor<1x1x2x15000xf32>)
  // CHECK: graph.argsort(%{{.*}}) <axis = 3, count = 15000, descending = 0> : (tensor<1x2x1x15000xi32>)
  // CHECK: graph.argsort(%{{.*}}) <axis = 3, count = 15000, descending = 0> : (tensor<1x2x1x15000xf32>)
  // CHECK-NOT: graph.argsort
  %s = graph.argsort(%z) <axis = 0, count = 30000, descending = 0> : (tensor<30000xf32>) -> tensor<30000xi32>
  func.return %s : tensor<30000xi32>
}
