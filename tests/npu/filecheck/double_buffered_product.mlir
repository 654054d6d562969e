// A product with double-buffered weights: one loop, four instructions, one register per way of moving.

// CHECK:      npu.program @main target("edge-4t") {
// CHECK-NEXT:   npu.region @x input base(0) size(192)
// CHECK-NEXT:   npu.region @y output base(192) size(288)
// CHECK-NEXT:   npu.region @w constant base(512) size(768)
// CHECK-NEXT:   npu.region @b constant base(1280) size(48)
// CHECK-NEXT:   npu.port input "x" f16 [6, 16] base(0)
// CHECK-NEXT:   npu.port output "y" f16 [6, 24] base(192)
// CHECK-NEXT:   npu.origin @g0 "fc1" group(0) nodes("/fc1/MatMul", "/fc1/Relu")
// CHECK:        npu.desc @ws sram f16 [16, 8] strides [8, 1] base(256)
// CHECK-NEXT:   npu.desc @w.1 dram f16 [16, 8] strides [24, 1] base(512)
// CHECK-NEXT:   npu.desc @acc acc f32 [6, 8] strides [8, 1] base(0)
// CHECK:        npu.desc @bs.1 sram f16 [6, 8] strides [0, 1] base(192)
// CHECK:        npu.kernel @k0(f32, f32) {
// CHECK-NEXT:     v0 = add.f32 v0, v1
// CHECK-NEXT:     v1 = const.f32 0.0
// CHECK-NEXT:     v0 = max.f32 v0, v1
// CHECK-NEXT:   } -> v0
// CHECK-NEXT:   npu.sem @w_free = 2
// CHECK:        npu.q.sync unit(mx) wait(@x_full) from(@g0 "tile.sync")
// CHECK-NEXT:   npu.q.sync unit(out) wait(@b_full) from(@g0 "tile.sync")
// CHECK-NEXT:   npu.loop 3 step(r1 += 256 mod 512, r2 += 16, r3 += 192 mod 384, r4 += 96 mod 192) from(@g0) {
// CHECK-NEXT:     npu.dma.copy unit(dma1) dst(@ws[r1]) src(@w.1[r2]) wait(@w_free) post(@w_full) from(@g0 "tile.copy 16x8xf16")
// CHECK-NEXT:     npu.mx.gemm dst(@acc[r3]) a(@xs.1) b(@ws[r1]) wait(@w_full, @acc_free) post(@w_free, @acc_full)
// CHECK-NEXT:     npu.out.store dst(@ys[r4]) kernel(@k0) acc(@acc[r3]) s1(@bs.1[r2]) wait(@acc_full, @y_free)
// CHECK-NEXT:     npu.dma.copy unit(dma2) dst(@y.1[r2]) src(@ys[r4]) wait(@y_full) post(@y_free)
// CHECK-NEXT:   }
// CHECK-NEXT:   npu.s.halt
// CHECK-NOT:  func.func

#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
builtin.module attributes {npucc.semaphores = {w_free = 2 : i64, acc_free = 2 : i64, y_free = 2 : i64, w_full = 0 : i64, acc_full = 0 : i64, y_full = 0 : i64, x_full = 0 : i64, b_full = 0 : i64}} {
  func.func @main(%x: memref<6x16xf16, #dram>, %y: memref<6x24xf16, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
    %w = tile.constant @w : memref<16x24xf16, #dram>
    %b = tile.constant @b : memref<24xf16, #dram>
    tile.group "fc1" index 0 nodes ["/fc1/MatMul", "/fc1/Relu"] {
      %px = tile.pool "xs" in <sram> depth 1 slot_bytes 192 at 0
      %pb = tile.pool "bs" in <sram> depth 1 slot_bytes 48 at 192
      %pw = tile.pool "ws" in <sram> depth 2 slot_bytes 256 at 256
      %pacc = tile.pool "acc" in <acc> depth 2 slot_bytes 192 at 0
      %py = tile.pool "ys" in <sram> depth 2 slot_bytes 96 at 768
      %xs = tile.acquire %px : memref<6x16xf16, #sram>
      %bs = tile.acquire %pb : memref<24xf16, #sram>
      tile.copy %x -> %xs engine "dma0" posts ["x_full"] : memref<6x16xf16, #dram> -> memref<6x16xf16, #sram>
      tile.copy %b -> %bs engine "dma0" posts ["b_full"] : memref<24xf16, #dram> -> memref<24xf16, #sram>
      tile.sync engine "mx" count 1 waits ["x_full"]
      tile.sync engine "out" count 1 waits ["b_full"]
      %c0 = arith.constant 0 : index
      %c24 = arith.constant 24 : index
      %c8 = arith.constant 8 : index
      scf.for %n = %c0 to %c24 step %c8 {
        %ws = tile.acquire %pw : memref<16x8xf16, #sram>
        %acc = tile.acquire %pacc : memref<6x8xf32, #acc>
        %ys = tile.acquire %py : memref<6x8xf16, #sram>
        %wt = memref.subview %w[0, %n] [16, 8] [1, 1] : memref<16x24xf16, #dram> to memref<16x8xf16, strided<[24, 1], offset: ?>, #dram>
        tile.copy %wt -> %ws engine "dma1" waits ["w_free"] posts ["w_full"] : memref<16x8xf16, strided<[24, 1], offset: ?>, #dram> -> memref<16x8xf16, #sram>
        tile.gemm %xs, %ws -> %acc waits ["w_full", "acc_free"] posts ["w_free", "acc_full"] : memref<6x16xf16, #sram>, memref<16x8xf16, #sram> -> memref<6x8xf32, #acc>
        %bt = memref.subview %bs[%n] [8] [1] : memref<24xf16, #sram> to memref<8xf16, strided<[1], offset: ?>, #sram>
        tile.map ins(%acc, %bt : memref<6x8xf32, #acc>, memref<8xf16, strided<[1], offset: ?>, #sram>) outs(%ys : memref<6x8xf16, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] engine "out" waits ["acc_full", "y_free"] posts ["acc_free", "y_full"] {
        ^bb0(%a: f32, %c: f32):
          %zero = arith.constant 0.0 : f32
          %s = arith.addf %a, %c : f32
          %r = arith.maximumf %s, %zero : f32
          tile.yield %r : f32
        }
        %yt = memref.subview %y[0, %n] [6, 8] [1, 1] : memref<6x24xf16, #dram> to memref<6x8xf16, strided<[24, 1], offset: ?>, #dram>
        tile.copy %ys -> %yt engine "dma2" waits ["y_full"] posts ["y_free"] : memref<6x8xf16, #sram> -> memref<6x8xf16, strided<[24, 1], offset: ?>, #dram>
      }
    }
    func.return
  }
}
