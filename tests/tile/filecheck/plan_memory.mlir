// PASSES: tile-plan-memory{prefetch=false}
// TARGET: sram=4096 acc=2048

// Pools of different groups share addresses; a resident tensor keeps its own from its writer to its last reader; DRAM
// scratch is planned apart and reused.
// CHECK: tile.alloc "r" at 2048 : memref<16x16xf32
// CHECK: tile.alloc "s" at 0 : memref<1024xf32, #tile.space<dram>>
// CHECK: tile.alloc "t" at 4096 : memref<1024xf32, #tile.space<dram>>
// CHECK: tile.alloc "u" at 0 : memref<1024xf32, #tile.space<dram>>
// CHECK: tile.group "first"
// CHECK: tile.pool "p" in <sram> depth 2 slot_bytes 1024 at 0
// CHECK: tile.pool "a" in <acc> depth 1 slot_bytes 1024 at 0
// CHECK: tile.group "second"
// CHECK: tile.pool "q" in <sram> depth 1 slot_bytes 100 at 1024
// CHECK: tile.pool "o" in <sram> depth 1 slot_bytes 1024 at 0
// CHECK: tile.pool "b" in <acc> depth 2 slot_bytes 1024 at 0
func.func @main(%x: memref<16x16xf32, #dram>, %y: memref<1024xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  %r = tile.alloc "r" : memref<16x16xf32, #sram>
  %s = tile.alloc "s" : memref<1024xf32, #dram>
  %t = tile.alloc "t" : memref<1024xf32, #dram>
  %u = tile.alloc "u" : memref<1024xf32, #dram>
  tile.group "first" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 2 slot_bytes 1024
    %a = tile.pool "a" in <acc> depth 1 slot_bytes 1024
    %ps = tile.acquire %p : memref<16x16xf32, #sram>
    tile.copy %ps -> %r engine "dma0" : memref<16x16xf32, #sram> -> memref<16x16xf32, #sram>
    tile.fill %s value 0 : i64 engine "dma0" : memref<1024xf32, #dram>
  }
  tile.group "second" index 1 nodes [] {
    %q = tile.pool "q" in <sram> depth 1 slot_bytes 100
    %o = tile.pool "o" in <sram> depth 1 slot_bytes 1024
    %b = tile.pool "b" in <acc> depth 2 slot_bytes 1024
    %os = tile.acquire %o : memref<16x16xf32, #sram>
    tile.copy %r -> %os engine "dma0" : memref<16x16xf32, #sram> -> memref<16x16xf32, #sram>
    tile.copy %s -> %t engine "dma0" : memref<1024xf32, #dram> -> memref<1024xf32, #dram>
  }
  tile.group "third" index 2 nodes [] {
    %c = arith.constant 0 : index
    tile.copy %t -> %u engine "dma0" : memref<1024xf32, #dram> -> memref<1024xf32, #dram>
    tile.copy %u -> %y engine "dma0" : memref<1024xf32, #dram> -> memref<1024xf32, #dram>
  }
  func.return
}
