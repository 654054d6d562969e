// Every operation of the dialect, with and without its optional parts.
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
builtin.module attributes {npucc.target = "edge-4t"} {
  func.func @main(%x: memref<1x6x6x8xf16, #dram>, %y: memref<1x6x6x16xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
    %w = tile.constant @"/conv/weight" : memref<3x3x8x16xf16, #dram>
    %d = tile.constant @dw : memref<3x3x8xf16, #dram>
    %scratch = tile.alloc "scratch" : memref<4x4xui8, #dram>
    %resident = tile.alloc "resident" at 4096 : memref<1x6x6x16xf32, #sram>
    %bits = tile.bitcast %resident : memref<1x6x6x16xf32, #sram> to memref<1x6x6x16xi32, #sram>
    %f8 = tile.bitcast %scratch : memref<4x4xui8, #dram> to memref<4x4xf8E4M3FN, #dram>
    tile.group "conv" index 0 nodes ["/conv", "/add"] {
      %px = tile.pool "x" in <sram> depth 2 slot_bytes 1024 at 0
      %pw = tile.pool "w" in <sram> depth 1 slot_bytes 4096
      %po = tile.pool "o" in <sram> depth 3 slot_bytes 4096
      %pa = tile.pool "acc" in <acc> depth 2 slot_bytes 4096
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c6 = arith.constant 6 : index
      %xs = tile.acquire %px : memref<1x6x6x8xf16, #sram>
      %ws = tile.acquire %pw : memref<3x3x8x16xf16, #sram>
      %ds = tile.acquire %pw : memref<3x3x8xf16, #sram>
      tile.copy %x -> %xs engine "dma0" posts ["a", "b"] : memref<1x6x6x8xf16, #dram> -> memref<1x6x6x8xf16, #sram>
      tile.copy %w -> %ws engine "dma1" {nodes = ["/conv"]} : memref<3x3x8x16xf16, #dram> -> memref<3x3x8x16xf16, #sram>
      tile.copy %d -> %ds engine "dma3" : memref<3x3x8xf16, #dram> -> memref<3x3x8xf16, #sram>
      tile.fill %scratch value 7 : i64 engine "dma2" : memref<4x4xui8, #dram>
      tile.sync engine "mx" count 3 waits ["a"] posts ["c"]
      %a = tile.acquire %pa : memref<1x6x6x16xf32, #acc>
      %o = tile.acquire %po : memref<1x6x6x16xf32, #sram>
      scf.for %i = %c0 to %c6 step %c1 {
        tile.conv %xs, %ws -> %a accumulate %i strides [1, 1] dilations [1, 1] pads_lo [1, 1] groups 1 waits ["a"] : memref<1x6x6x8xf16, #sram>, memref<3x3x8x16xf16, #sram> -> memref<1x6x6x16xf32, #acc>
      }
      tile.map ins(%a : memref<1x6x6x16xf32, #acc>) outs(%o : memref<1x6x6x16xf32, #sram>) maps [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] engine "out" waits ["b"] posts ["d"] attributes {nodes = ["/add"]} {
      ^bb0(%e: f32):
        %1 = arith.addf %e, %e : f32
        %3 = "tile.remf"(%1, %e) : (f32, f32) -> f32
        tile.yield %3 : f32
      }
      tile.fill %resident value 0.5 : f64 engine "dma2" : memref<1x6x6x16xf32, #sram>
      tile.map outs(%o : memref<1x6x6x16xf32, #sram>) maps [] engine "vx" {
        %2 = arith.constant 1.0 : f32
        tile.yield %2 : f32
      }
      tile.copy %o -> %y engine "dma2" : memref<1x6x6x16xf32, #sram> -> memref<1x6x6x16xf32, #dram>
    }
    tile.group "rest" index 1 nodes [] {
      %p = tile.pool "p" in <sram> depth 2 slot_bytes 4096
      %q = tile.pool "q" in <acc> depth 1 slot_bytes 4096
      %c1 = arith.constant 1 : index
      %xs = tile.acquire %p : memref<1x6x6x8xf16, #sram>
      %ds = tile.acquire %p : memref<3x3x8xf16, #sram>
      %o = tile.acquire %p : memref<1x6x6x8xf32, #sram>
      %a = tile.acquire %q : memref<1x6x6x8xf32, #acc>
      tile.copy %x -> %xs engine "dma0" : memref<1x6x6x8xf16, #dram> -> memref<1x6x6x8xf16, #sram>
      tile.copy %d -> %ds engine "dma0" : memref<3x3x8xf16, #dram> -> memref<3x3x8xf16, #sram>
      tile.dwconv %xs, %ds -> %o engine "vx" strides [1, 1] dilations [1, 1] pads_lo [1, 1] : memref<1x6x6x8xf16, #sram>, memref<3x3x8xf16, #sram> -> memref<1x6x6x8xf32, #sram>
      tile.dwconv %xs, %ds -> %a engine "mx" strides [1, 1] dilations [1, 1] pads_lo [1, 1] : memref<1x6x6x8xf16, #sram>, memref<3x3x8xf16, #sram> -> memref<1x6x6x8xf32, #acc>
      %r = tile.acquire %p : memref<1x1x1x8xf32, #sram>
      tile.reduce %o -> %r fn "sum" axes [1, 2] : memref<1x6x6x8xf32, #sram> -> memref<1x1x1x8xf32, #sram>
      tile.reduce %o -> %r fn "max" axes [1, 2] accumulate %c1 : memref<1x6x6x8xf32, #sram> -> memref<1x1x1x8xf32, #sram>
      %v = tile.acquire %p : memref<1x3x3x8xf32, #sram>
      tile.window %o -> %v fn "max" axes [1, 2] sizes [2, 2] strides [2, 2] dilations [1, 1] pads_lo [0, 0] : memref<1x6x6x8xf32, #sram> -> memref<1x3x3x8xf32, #sram>
      tile.norm %v -> %v fn "softmax" : memref<1x3x3x8xf32, #sram> -> memref<1x3x3x8xf32, #sram>
      %places = tile.acquire %p : memref<1x3x3x5xi64, #sram>
      %work = tile.acquire %p : memref<8xi64, #sram>
      tile.sort %v -> %places work %work axis 3 descending true waits ["a"] : memref<1x3x3x8xf32, #sram> -> memref<1x3x3x5xi64, #sram>, memref<8xi64, #sram>
      tile.scan %v -> %v axis 0 fn "sum" exclusive false reverse true : memref<1x3x3x8xf32, #sram> -> memref<1x3x3x8xf32, #sram>
      %few = tile.acquire %p : memref<1x3x3x5xf32, #sram>
      tile.compress %v -> %places padding -1 : memref<1x3x3x8xf32, #sram> -> memref<1x3x3x5xi64, #sram>
      tile.compress %v values %v : memref<1x3x3x8xf32, #sram> -> %few padding 0 posts ["b"] : memref<1x3x3x8xf32, #sram> -> memref<1x3x3x5xf32, #sram>
      %flat = memref.reinterpret_cast %v to offset: [0], sizes: [9, 8], strides: [8, 1] : memref<1x3x3x8xf32, #sram> to memref<9x8xf32, #sram>
      %m = tile.acquire %q : memref<9x9xf32, #acc>
      tile.gemm %flat, %flat -> %m b_map affine_map<(d0, d1, d2) -> (d1, d2)> : memref<9x8xf32, #sram>, memref<9x8xf32, #sram> -> memref<9x9xf32, #acc>
      tile.gemm %flat, %flat -> %m accumulate %c1 a_map affine_map<(d0, d1, d2) -> (d0, d2)> b_map affine_map<(d0, d1, d2) -> (d1, d2)> : memref<9x8xf32, #sram>, memref<9x8xf32, #sram> -> memref<9x9xf32, #acc>
    }
    tile.group "indexed" index 2 nodes [] {
      %t = tile.pool "t" in <sram> depth 4 slot_bytes 4096
      %l = tile.acquire %t : memref<1x5x1xi32, #sram>
      %e = tile.acquire %t : memref<6x5x8xi64, #sram>
      %k = tile.acquire %t : memref<6x5x8xf16, #sram>
      %xr = memref.reinterpret_cast %x to offset: [0], sizes: [6, 6, 8], strides: [48, 8, 1] : memref<1x6x6x8xf16, #dram> to memref<6x6x8xf16, #dram>
      %o = tile.acquire %t : memref<6x6x8xf16, #sram>
      tile.gather %xr[%l] -> %k engine "dma1" waits ["a"] posts ["b"] : memref<6x6x8xf16, #dram>[memref<1x5x1xi32, #sram>] -> memref<6x5x8xf16, #sram>
      tile.gather %o[%e] -> %k engine "vx" : memref<6x6x8xf16, #sram>[memref<6x5x8xi64, #sram>] -> memref<6x5x8xf16, #sram>
      tile.scatter %k -> %xr[%l] fn "none" engine "dma2" : memref<6x5x8xf16, #sram> -> memref<6x6x8xf16, #dram>[memref<1x5x1xi32, #sram>]
      tile.scatter %k -> %o[%e] fn "add" engine "vx" {nodes = ["/s"]} : memref<6x5x8xf16, #sram> -> memref<6x6x8xf16, #sram>[memref<6x5x8xi64, #sram>]
    }
    func.return
  }
}
