// PASSES: tile-plan-memory,tile-insert-semaphores
// TARGET: sram=4096 acc=2048

// A buffer outside a loop lives through it: the state keeps its address from the others in the body, though its last
// reader stands before them. A buffer in the body is another one in every step. Nothing is loaded ahead across the
// border, and every step is synchronised by itself: at its end all engines are idle.
// CHECK: npucc.semaphores = {dma1.vx.full0 = 0 : i64, dma0.vx.full0 = 0 : i64}
// CHECK: tile.alloc "state" at [[STATE:[0-9]+]] : memref<256xf32
// CHECK: scf.for
// CHECK: tile.alloc "next" at [[NEXT:[0-9]+]] : memref<256xf32
// CHECK: tile.copy %{{.*}} engine "dma0" posts ["dma0.vx.full0"]
// CHECK: engine "vx" waits ["dma0.vx.full0"]
// CHECK-NOT: tile.sync
// CHECK: func.return
func.func @main(%x: memref<4x256xf32, #dram>, %y: memref<256xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  %k = tile.constant @k : memref<256xf32, #dram>
  %state = tile.alloc "state" : memref<256xf32, #sram>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  tile.group "init" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 1 slot_bytes 1024
    %a = tile.acquire %p : memref<256xf32, #sram>
    tile.copy %k -> %a engine "dma1" : memref<256xf32, #dram> -> memref<256xf32, #sram>
    tile.map ins(%a : memref<256xf32, #sram>) outs(%state : memref<256xf32, #sram>) maps [affine_map<(d0) -> (d0)>] engine "vx" {
    ^bb0(%e: f32):
      tile.yield %e : f32
    }
  }
  scf.for %step = %c0 to %c4 step %c1 {
    %row = memref.subview %x[%step, 0] [1, 256] [1, 1] : memref<4x256xf32, #dram> to memref<256xf32, strided<[1], offset: ?>, #dram>
    %next = tile.alloc "next" : memref<256xf32, #sram>
    tile.group "add" index 1 nodes [] {
      %p = tile.pool "p" in <sram> depth 1 slot_bytes 1024
      %a = tile.acquire %p : memref<256xf32, #sram>
      tile.copy %row -> %a engine "dma0" : memref<256xf32, strided<[1], offset: ?>, #dram> -> memref<256xf32, #sram>
      tile.map ins(%a, %state : memref<256xf32, #sram>, memref<256xf32, #sram>) outs(%next : memref<256xf32, #sram>) maps [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>] engine "vx" {
      ^bb0(%e: f32, %f: f32):
        %s = arith.addf %e, %f : f32
        tile.yield %s : f32
      }
    }
    tile.group "carry" index 2 nodes [] {
      tile.map ins(%next : memref<256xf32, #sram>) outs(%state : memref<256xf32, #sram>) maps [affine_map<(d0) -> (d0)>] engine "vx" {
      ^bb0(%e: f32):
        tile.yield %e : f32
      }
    }
  }
  tile.group "out" index 3 nodes [] {
    tile.copy %state -> %y engine "dma2" : memref<256xf32, #sram> -> memref<256xf32, #dram>
  }
  func.return
}
