// PASSES: tile-plan-memory,tile-insert-semaphores
// TARGET: sram=8192 acc=2048

// The weights of the second group have addresses that the first one does not use: their load waits for nobody.
// CHECK: tile.group "first"
// CHECK: tile.pool "w" in <sram> depth 1 slot_bytes 1024 at [[W:[0-9]+]]
// CHECK: tile.group "second"
// CHECK-NOT: slot_bytes 1024 at [[W]]
// CHECK: tile.copy %{{.*}} engine "dma1" posts ["dma1.mx.full0"]
func.func @main(%x: memref<16x16xf32, #dram>, %y: memref<16x16xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  %k0 = tile.constant @k0 : memref<16x16xf32, #dram>
  %k1 = tile.constant @k1 : memref<16x16xf32, #dram>
  tile.group "first" index 0 nodes [] {
    %w = tile.pool "w" in <sram> depth 1 slot_bytes 1024
    %a = tile.pool "a" in <acc> depth 1 slot_bytes 1024
    %ws = tile.acquire %w : memref<16x16xf32, #sram>
    %as = tile.acquire %a : memref<16x16xf32, #acc>
    tile.copy %k0 -> %ws engine "dma1" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
    tile.gemm %ws, %ws -> %as : memref<16x16xf32, #sram>, memref<16x16xf32, #sram> -> memref<16x16xf32, #acc>
  }
  tile.group "second" index 1 nodes [] {
    %w = tile.pool "w" in <sram> depth 1 slot_bytes 1024
    %o = tile.pool "o" in <sram> depth 1 slot_bytes 1024
    %a = tile.pool "a" in <acc> depth 1 slot_bytes 1024
    %ws = tile.acquire %w : memref<16x16xf32, #sram>
    %as = tile.acquire %a : memref<16x16xf32, #acc>
    %os = tile.acquire %o : memref<16x16xf32, #sram>
    tile.copy %k1 -> %ws engine "dma1" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
    tile.gemm %ws, %ws -> %as : memref<16x16xf32, #sram>, memref<16x16xf32, #sram> -> memref<16x16xf32, #acc>
    tile.map ins(%as : memref<16x16xf32, #acc>) outs(%os : memref<16x16xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "out" {
    ^bb0(%e: f32):
      tile.yield %e : f32
    }
    tile.copy %os -> %y engine "dma2" : memref<16x16xf32, #sram> -> memref<16x16xf32, #dram>
  }
  func.return
}
