// PASSES: tile-plan-memory{prefetch=false},tile-insert-semaphores

// The classical pipeline: a full and a free semaphore per buffer, all in the headers.
// CHECK: npucc.semaphores = {dma1.mx.full0 = 0 : i64, dma0.mx.full0 = 0 : i64, mx.out.full0 = 0 : i64, out.dma2.full0 = 0 : i64, mx.dma1.free0 = 3 : i64, out.mx.free0 = 2 : i64, dma2.out.free0 = 2 : i64}
// CHECK: tile.copy %{{.*}} engine "dma0" posts ["dma0.mx.full0"] :
// CHECK: tile.sync engine "mx" count 1 waits ["dma0.mx.full0"]
// CHECK-NEXT: scf.for
// CHECK: tile.copy %{{.*}} engine "dma1" waits ["mx.dma1.free0"] posts ["dma1.mx.full0"]
// CHECK: tile.gemm %{{.*}} waits ["dma1.mx.full0", "out.mx.free0"] posts ["mx.out.full0", "mx.dma1.free0"]
// CHECK: engine "out" waits ["mx.out.full0", "dma2.out.free0"] posts ["out.dma2.full0", "out.mx.free0"]
// CHECK: tile.copy %{{.*}} engine "dma2" waits ["out.dma2.full0"] posts ["dma2.out.free0"]
func.func @main(%x: memref<16x16xf32, #dram>, %y: memref<16x64xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  %k = tile.constant @k : memref<16x64xf32, #dram>
  tile.group "g" index 0 nodes [] {
    %px = tile.pool "x" in <sram> depth 1 slot_bytes 1024
    %pw = tile.pool "w" in <sram> depth 3 slot_bytes 1024
    %po = tile.pool "o" in <sram> depth 2 slot_bytes 1024
    %pa = tile.pool "a" in <acc> depth 2 slot_bytes 1024
    %c0 = arith.constant 0 : index
    %c16 = arith.constant 16 : index
    %c64 = arith.constant 64 : index
    %xs = tile.acquire %px : memref<16x16xf32, #sram>
    tile.copy %x -> %xs engine "dma0" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
    scf.for %n = %c0 to %c64 step %c16 {
      %ws = tile.acquire %pw : memref<16x16xf32, #sram>
      %as = tile.acquire %pa : memref<16x16xf32, #acc>
      %os = tile.acquire %po : memref<16x16xf32, #sram>
      %kn = memref.subview %k[0, %n] [16, 16] [1, 1] : memref<16x64xf32, #dram> to memref<16x16xf32, strided<[64, 1], offset: ?>, #dram>
      %yn = memref.subview %y[0, %n] [16, 16] [1, 1] : memref<16x64xf32, #dram> to memref<16x16xf32, strided<[64, 1], offset: ?>, #dram>
      tile.copy %kn -> %ws engine "dma1" : memref<16x16xf32, strided<[64, 1], offset: ?>, #dram> -> memref<16x16xf32, #sram>
      tile.gemm %xs, %ws -> %as : memref<16x16xf32, #sram>, memref<16x16xf32, #sram> -> memref<16x16xf32, #acc>
      tile.map ins(%as : memref<16x16xf32, #acc>) outs(%os : memref<16x16xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "out" {
      ^bb0(%e: f32):
        tile.yield %e : f32
      }
      tile.copy %os -> %yn engine "dma2" : memref<16x16xf32, #sram> -> memref<16x16xf32, strided<[64, 1], offset: ?>, #dram>
    }
  }
  func.return
}

// -----

// A reduction loop inside: accumulator and slot are handed over around the loop, weights inside it. The engine that
// works in place on what it has produced needs no semaphore with itself.
// CHECK: scf.for
// CHECK: tile.sync engine "mx" count 1 waits ["out.mx.free0"]
// CHECK-NEXT: scf.for
// CHECK: tile.copy %{{.*}} engine "dma1" waits ["mx.dma1.free0"] posts ["dma1.mx.full0"]
// CHECK: tile.gemm %{{.*}} waits ["dma1.mx.full0"] posts ["mx.dma1.free0"]
// CHECK-NEXT: }
// CHECK-NEXT: tile.sync engine "mx" count 1 posts ["mx.out.full0"]
// CHECK: engine "out" waits ["mx.out.full0", "dma2.out.free0"] posts ["out.vx.full0", "out.mx.free0"]
// CHECK: engine "vx" waits ["out.vx.full0"] {
// CHECK: engine "vx" posts ["vx.dma2.full0"] {
// CHECK: tile.copy %{{.*}} engine "dma2" waits ["vx.dma2.full0"] posts ["dma2.out.free0"]
func.func @main(%x: memref<16x16xf32, #dram>, %y: memref<16x16xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  tile.group "g" index 0 nodes [] {
    %pw = tile.pool "w" in <sram> depth 2 slot_bytes 1024
    %po = tile.pool "o" in <sram> depth 2 slot_bytes 1024
    %pa = tile.pool "a" in <acc> depth 2 slot_bytes 1024
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c4 = arith.constant 4 : index
    scf.for %n = %c0 to %c4 step %c1 {
      %as = tile.acquire %pa : memref<16x16xf32, #acc>
      %os = tile.acquire %po : memref<16x16xf32, #sram>
      scf.for %k = %c0 to %c4 step %c1 {
        %ws = tile.acquire %pw : memref<16x16xf32, #sram>
        tile.copy %x -> %ws engine "dma1" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
        tile.gemm %ws, %ws -> %as accumulate %k : memref<16x16xf32, #sram>, memref<16x16xf32, #sram> -> memref<16x16xf32, #acc>
      }
      tile.map ins(%as : memref<16x16xf32, #acc>) outs(%os : memref<16x16xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "out" {
      ^bb0(%e: f32):
        tile.yield %e : f32
      }
      tile.map ins(%os : memref<16x16xf32, #sram>) outs(%os : memref<16x16xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
      ^bb0(%e: f32):
        %f = math.exp %e : f32
        tile.yield %f : f32
      }
      tile.map ins(%os : memref<16x16xf32, #sram>) outs(%os : memref<16x16xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
      ^bb0(%e: f32):
        %f = math.exp %e : f32
        tile.yield %f : f32
      }
      tile.copy %os -> %y engine "dma2" : memref<16x16xf32, #sram> -> memref<16x16xf32, #dram>
    }
  }
  func.return
}

// -----

// Peeled segments of one pool: generations go on through all of them, with the first writer changing (dma0 loads,
// or dma3 fills). Whoever begins in any segment waits in all of them, in the first just to keep the count.
// CHECK: npucc.semaphores = {{{.*}}vx.dma0.free0 = 2 : i64, vx.dma3.free0 = 2 : i64
// CHECK: tile.acquire
// CHECK: tile.sync engine "dma3" count 1 waits ["vx.dma3.free0"]
// CHECK: tile.copy %{{.*}} engine "dma0" waits ["vx.dma0.free0"] posts ["dma0.vx.full0"]
// CHECK: tile.reduce {{.*}} waits ["dma0.vx.full0"] posts ["vx.dma0.free0", "vx.dma3.free0"]
// CHECK: scf.for
// CHECK: tile.fill {{.*}} engine "dma3" waits ["vx.dma3.free0"] posts ["dma3.dma0.full0"]
// CHECK: tile.copy {{.*}} engine "dma0" waits ["dma3.dma0.full0", "vx.dma0.free0"] posts ["dma0.vx.full0"]
func.func @main(%x: memref<16x16xf32, #dram>, %y: memref<1x16xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 2 slot_bytes 1024
    %r = tile.pool "r" in <sram> depth 1 slot_bytes 64
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c4 = arith.constant 4 : index
    %rs = tile.acquire %r : memref<1x16xf32, #sram>
    %first = tile.acquire %p : memref<16x16xf32, #sram>
    tile.copy %x -> %first engine "dma0" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
    tile.reduce %first -> %rs fn "max" axes [0] : memref<16x16xf32, #sram> -> memref<1x16xf32, #sram>
    scf.for %n = %c0 to %c4 step %c1 {
      %ps = tile.acquire %p : memref<16x16xf32, #sram>
      %half = memref.subview %ps[0, 0] [8, 16] [1, 1] : memref<16x16xf32, #sram> to memref<8x16xf32, strided<[16, 1]>, #sram>
      %xh = memref.subview %x[0, 0] [8, 16] [1, 1] : memref<16x16xf32, #dram> to memref<8x16xf32, strided<[16, 1]>, #dram>
      tile.fill %ps value 0.0 : f64 engine "dma3" : memref<16x16xf32, #sram>
      tile.copy %xh -> %half engine "dma0" : memref<8x16xf32, strided<[16, 1]>, #dram> -> memref<8x16xf32, strided<[16, 1]>, #sram>
      tile.reduce %ps -> %rs fn "max" axes [0] accumulate %c1 : memref<16x16xf32, #sram> -> memref<1x16xf32, #sram>
    }
    tile.copy %rs -> %y engine "dma2" : memref<1x16xf32, #sram> -> memref<1x16xf32, #dram>
  }
  func.return
}

// -----

// A buffer acquired outside of a loop whose iterations pass it between engines: one credit goes round.
// CHECK: npucc.semaphores = {dma0.vx.full0 = 0 : i64, vx.dma2.full0 = 0 : i64, dma2.dma0.free0 = 1 : i64}
// CHECK: scf.for
// CHECK-NEXT: tile.copy %{{.*}} engine "dma0" waits ["dma2.dma0.free0"] posts ["dma0.vx.full0"]
// CHECK-NEXT: tile.norm %{{.*}} waits ["dma0.vx.full0"] posts ["vx.dma2.full0"]
// CHECK-NEXT: tile.copy %{{.*}} engine "dma2" waits ["vx.dma2.full0"] posts ["dma2.dma0.free0"]
func.func @main(%x: memref<16x16xf32, #dram>, %y: memref<16x16xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 1 slot_bytes 1024
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c4 = arith.constant 4 : index
    %ps = tile.acquire %p : memref<16x16xf32, #sram>
    scf.for %n = %c0 to %c4 step %c1 {
      tile.copy %x -> %ps engine "dma0" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
      tile.norm %ps -> %ps fn "softmax" : memref<16x16xf32, #sram> -> memref<16x16xf32, #sram>
      tile.copy %ps -> %y engine "dma2" : memref<16x16xf32, #sram> -> memref<16x16xf32, #dram>
    }
  }
  func.return
}

// -----

// Between groups: a DRAM tensor, and a pool at addresses that another group used. Group "c" needs nothing from "a": what
// dma0 has to know of dma2 it has learned through the vector engine.
// CHECK: tile.group "a"
// CHECK: tile.copy %{{.*}} engine "dma0" posts ["dma0.vx.full0"]
// CHECK: tile.norm %{{.*}} waits ["dma0.vx.full0"] posts ["vx.dma2.full0"]
// CHECK: tile.copy %{{.*}} engine "dma2" waits ["vx.dma2.full0"] posts ["dma2.dma0.full0"]
// CHECK: tile.group "b"
// CHECK: tile.copy %{{.*}} engine "dma0" waits ["dma2.dma0.full0"] posts ["dma0.vx.full0"]
// CHECK: tile.norm %{{.*}} waits ["dma0.vx.full0"] posts ["vx.dma2.full0"]
// CHECK: tile.copy %{{.*}} engine "dma2" waits ["vx.dma2.full0"]
// CHECK-NOT: tile.sync
func.func @main(%x: memref<16x16xf32, #dram>, %y: memref<16x16xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  %t = tile.alloc "t" : memref<16x16xf32, #dram>
  tile.group "a" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 1 slot_bytes 1024
    %ps = tile.acquire %p : memref<16x16xf32, #sram>
    tile.copy %x -> %ps engine "dma0" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
    tile.norm %ps -> %ps fn "softmax" : memref<16x16xf32, #sram> -> memref<16x16xf32, #sram>
    tile.copy %ps -> %t engine "dma2" : memref<16x16xf32, #sram> -> memref<16x16xf32, #dram>
  }
  tile.group "b" index 1 nodes [] {
    %p = tile.pool "p" in <sram> depth 1 slot_bytes 1024
    %ps = tile.acquire %p : memref<16x16xf32, #sram>
    tile.copy %t -> %ps engine "dma0" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
    tile.norm %ps -> %ps fn "softmax" : memref<16x16xf32, #sram> -> memref<16x16xf32, #sram>
    tile.copy %ps -> %y engine "dma2" : memref<16x16xf32, #sram> -> memref<16x16xf32, #dram>
  }
  func.return
}

// -----

// Three waits: two in the header, one in a step of the queue before it.
// CHECK: tile.sync engine "vx" count 1 waits ["dma0.vx.full0"]
// CHECK-NEXT: tile.map {{.*}} waits ["dma2.vx.full0", "dma1.vx.full0"]
func.func @main(%x: memref<16x16xf32, #dram>, %y: memref<16x16xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 4 slot_bytes 1024
    %a = tile.acquire %p : memref<16x16xf32, #sram>
    %b = tile.acquire %p : memref<16x16xf32, #sram>
    %c = tile.acquire %p : memref<16x16xf32, #sram>
    %d = tile.acquire %p : memref<16x16xf32, #sram>
    tile.copy %x -> %a engine "dma0" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
    tile.copy %x -> %b engine "dma1" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
    tile.copy %x -> %c engine "dma2" : memref<16x16xf32, #dram> -> memref<16x16xf32, #sram>
    tile.map ins(%a, %b, %c : memref<16x16xf32, #sram>, memref<16x16xf32, #sram>, memref<16x16xf32, #sram>) outs(%d : memref<16x16xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
    ^bb0(%e: f32, %f: f32, %g: f32):
      %s = arith.addf %e, %f : f32
      %u = arith.addf %s, %g : f32
      tile.yield %u : f32
    }
    tile.copy %d -> %y engine "dma3" : memref<16x16xf32, #sram> -> memref<16x16xf32, #dram>
  }
  func.return
}
