// EXPECT: a loop must have steps, a trip count or a condition, found none
func.func @main(%x: tensor<3xf32>) {
  %r = graph.loop carry(%x) {
  ^bb0(%v: tensor<3xf32>):
    graph.yield %v : tensor<3xf32>
  }
  func.return
}
// -----
// EXPECT: scanned and stacked values need steps
func.func @main(%x: tensor<3xf32>, %n: tensor<i64>) {
  %r, %s = graph.loop trip %n carry(%x) {
  ^bb0(%v: tensor<3xf32>):
    graph.yield %v, %v : tensor<3xf32>, tensor<3xf32>
  }
  func.return
}
// -----
// EXPECT: the first carried value must be tensor<i1>, found tensor<3xf32>
func.func @main(%x: tensor<3xf32>) {
  %r = graph.loop while carry(%x) {
  ^bb0(%v: tensor<3xf32>):
    graph.yield %v : tensor<3xf32>
  }
  func.return
}
// -----
// EXPECT: the body must yield (tensor<3xf32>) first, found (tensor<2xf32>)
func.func @main(%x: tensor<3xf32>) {
  %r = graph.loop <steps = 2> carry(%x) {
  ^bb0(%v: tensor<3xf32>):
    %p = graph.slice(%v) <starts = [0], steps = [1], sizes = [2]> : (tensor<3xf32>) -> tensor<2xf32>
    graph.yield %p : tensor<2xf32>
  }
  func.return
}
// -----
// EXPECT: scanned value 0 must have steps = 4 on axis 0, found tensor<3x2xf32>
"func.func"() <{sym_name = "main", function_type = (tensor<3x2xf32>) -> ()}> ({
^bb0(%x: tensor<3x2xf32>):
  "graph.loop"(%x) <{steps = 4 : i64, operandSegmentSizes = array<i32: 0, 0, 1>}> ({
  ^bb1(%v: tensor<2xf32>):
    "graph.yield"() : () -> ()
  }) : (tensor<3x2xf32>) -> ()
  "func.return"() : () -> ()
}) : () -> ()
// -----
// EXPECT: reversed_scanned must name values 0 to 0, found [1]
func.func @main(%x: tensor<3x2xf32>) {
  %r = graph.loop <steps = 3, reversed_scanned = [1]> scan(%x) {
  ^bb0(%v: tensor<2xf32>):
    graph.yield %v : tensor<2xf32>
  }
  func.return
}
// -----
// EXPECT: both regions must yield (tensor<3xf32>), found (tensor<i1>)
func.func @main(%c: tensor<i1>, %x: tensor<3xf32>) {
  %r = graph.if %c {
    graph.yield %x : tensor<3xf32>
  } else {
    graph.yield %c : tensor<i1>
  }
  func.return
}
// -----
// EXPECT: space must list "sram" or "dram" per result, found ["sram"]
func.func @main(%c: tensor<i1>, %x: tensor<3xf32>) {
  %r, %s = graph.if %c attributes {space = ["sram"]} {
    graph.yield %x, %x : tensor<3xf32>, tensor<3xf32>
  } else {
    graph.yield %x, %x : tensor<3xf32>, tensor<3xf32>
  }
  func.return
}
