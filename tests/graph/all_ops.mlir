builtin.module {
  func.func @main(%x: tensor<1x8x8x4xf32>, %m: tensor<2x3x5xf16>, %i: tensor<4x6xi32>) -> tensor<1x4x4x16xf32> {
    %w = graph.constant @conv1.weight {nodes = ["/conv1"]} : tensor<3x3x4x16xf32>
    %c = graph.conv(%x, %w) <strides = [2, 2], dilations = [1, 1], pads = [1, 1, 1, 1], groups = 1> {nodes = ["/conv1/Conv", "a b"]} : (tensor<1x8x8x4xf32>, tensor<3x3x4x16xf32>) -> tensor<1x4x4x16xf32>
    %dw = graph.constant @dw : tensor<3x3x16xf32>
    %d = graph.depthwise_conv(%c, %dw) <strides = [1, 1], dilations = [1, 1], pads = [1, 1, 1, 1]> : (tensor<1x4x4x16xf32>, tensor<3x3x16xf32>) -> tensor<1x4x4x16xf32>
    %b = graph.constant @b : tensor<5x7xf16>
    %mm = graph.matmul(%m, %b) : (tensor<2x3x5xf16>, tensor<5x7xf16>) -> tensor<2x3x7xf32>
    %sm = graph.softmax(%mm) : (tensor<2x3x7xf32>) -> tensor<2x3x7xf16>
    %ls = graph.log_softmax(%sm) : (tensor<2x3x7xf16>) -> tensor<2x3x7xf16>
    %as = graph.argsort(%ls) <axis = 2, count = 3, descending = 1> : (tensor<2x3x7xf16>) -> tensor<2x3x3xi64>
    %sc = graph.scan(%ls) <axis = 1, fn = sum, exclusive = 1, reverse = 0> : (tensor<2x3x7xf16>) -> tensor<2x3x7xf32>
    %nz = graph.nonzero(%as) <count = 2> : (tensor<2x3x3xi64>) -> tensor<2x3x2xi32>
    %co = graph.compress(%sc, %ls) <count = 7> : (tensor<2x3x7xf32>, tensor<2x3x7xf16>) -> tensor<2x3x7xf32>
    %cl = graph.clip(%d) <min = -0.1, max = 6.0> : (tensor<1x4x4x16xf32>) -> tensor<1x4x4x16xf32>
    %lk = graph.leaky_relu(%cl) <alpha = 1.0e-05> : (tensor<1x4x4x16xf32>) -> tensor<1x4x4x16xf32>
    %hs = graph.hard_sigmoid(%lk) <alpha = 0.2, beta = 0.5> : (tensor<1x4x4x16xf32>) -> tensor<1x4x4x16xf32>
    %el = graph.elu(%hs) <alpha = 1.0> : (tensor<1x4x4x16xf32>) -> tensor<1x4x4x16xf32>
    %wr = graph.window_reduce(%el) <fn = max, axes = [1, 2], sizes = [3, 2], strides = [2, 1], dilations = [1, 1], pads = [1, 0, 1, 1]> : (tensor<1x4x4x16xf32>) -> tensor<1x2x4x16xf32>
    %rd = graph.reduce(%wr) <fn = sum, axes = [1, 2]> : (tensor<1x2x4x16xf32>) -> tensor<1x1x1x16xf32>
    %ex = graph.expand(%rd) : (tensor<1x1x1x16xf32>) -> tensor<1x4x4x16xf32>
    %tr = graph.transpose(%ex) <perm = [0, 3, 1, 2]> : (tensor<1x4x4x16xf32>) -> tensor<1x16x4x4xf32>
    %sl = graph.slice(%tr) <starts = [0, 15, 0, 0], steps = [1, -1, 1, 1], sizes = [1, 8, 4, 4]> : (tensor<1x16x4x4xf32>) -> tensor<1x8x4x4xf32>
    %cc = graph.concat(%sl, %sl) <axis = 1> : (tensor<1x8x4x4xf32>, tensor<1x8x4x4xf32>) -> tensor<1x16x4x4xf32>
    %rs = graph.reshape(%cc) : (tensor<1x16x4x4xf32>) -> tensor<1x4x4x16xf32>
    %lt = graph.less(%i, %i) : (tensor<4x6xi32>, tensor<4x6xi32>) -> tensor<4x6xi1>
    %nt = graph.not(%lt) : (tensor<4x6xi1>) -> tensor<4x6xi1>
    %u8 = graph.cast(%i) : (tensor<4x6xi32>) -> tensor<4x6xui8>
    %wh = graph.where(%nt, %u8, %u8) : (tensor<4x6xi1>, tensor<4x6xui8>, tensor<4x6xui8>) -> tensor<4x6xui8>
    %mix = graph.add(%sm, %mm) : (tensor<2x3x7xf16>, tensor<2x3x7xf32>) -> tensor<2x3x7xf32>
    %places = graph.constant @places : tensor<1x4x1xi64>
    %ga = graph.gather(%mm, %places) : (tensor<2x3x7xf32>, tensor<1x4x1xi64>) -> tensor<2x4x7xf32>
    %sca = graph.scatter(%mm, %places, %ga) <fn = add> : (tensor<2x3x7xf32>, tensor<1x4x1xi64>, tensor<2x4x7xf32>) -> tensor<2x3x7xf32>
    %g = graph.group(%rs, %d) schedule #graph.schedule<order = [d0, d3], tiles = {d0 = 1, d3 = 8}, buffers = {in0 = 2, out = 1}> attributes {nodes = ["/add"]} {
    ^bb0(%p: tensor<1x4x4x16xf32>, %q: tensor<1x4x4x16xf32>):
      %s = graph.add(%p, %q) : (tensor<1x4x4x16xf32>, tensor<1x4x4x16xf32>) -> tensor<1x4x4x16xf32>
      %r = graph.sigmoid(%s) : (tensor<1x4x4x16xf32>) -> tensor<1x4x4x16xf32>
      graph.yield %r : tensor<1x4x4x16xf32>
    }
    %n = graph.constant @n : tensor<i64>
    %going = graph.constant @going : tensor<i1>
    %last, %rows = graph.loop <steps = 4, reversed_scanned = [0], reversed_stacked = [0]> trip %n carry(%i) scan(%i) attributes {space = ["sram", "dram"]} {
    ^bb0(%state: tensor<4x6xi32>, %row: tensor<6xi32>):
      %next = graph.add(%state, %i) : (tensor<4x6xi32>, tensor<4x6xi32>) -> tensor<4x6xi32>
      graph.yield %next, %row : tensor<4x6xi32>, tensor<6xi32>
    }
    %ended, %count = graph.loop <steps = 4> while carry(%going, %n) {
    ^bb0(%go: tensor<i1>, %tally: tensor<i64>):
      %chosen = graph.if %go attributes {space = ["dram"]} {
        graph.yield %tally : tensor<i64>
      } else {
        %sum = graph.add(%tally, %n) : (tensor<i64>, tensor<i64>) -> tensor<i64>
        graph.yield %sum : tensor<i64>
      }
      graph.yield %go, %chosen : tensor<i1>, tensor<i64>
    }
    func.return %g : tensor<1x4x4x16xf32>
  }
}
