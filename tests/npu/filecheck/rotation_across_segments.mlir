// One pool acquired before, in, and after a loop: the slots go on turning. The tile before the loop is in slot 0, the
// loop starts in slot 1 (a load of its register), and ends so that the tile after it is in slot 2 of 3. A loop of one
// iteration is no loop, and a register of an inner loop carries the rotation and the offset at once.

// CHECK:        npu.desc @t sram f32 [4] strides [1] base(1024)
// CHECK:        npu.desc @[[LAST:t.[0-9]+]] sram f32 [4] strides [1] base(1152)
// CHECK:        npu.dma.fill unit(dma0) dst(@t)
// CHECK-NEXT:   npu.s.li rd(r31) value(64) from(@g7 "registers")
// CHECK-NEXT:   npu.loop 4 step(r31 += 64 mod 192) from(@g7) {
// CHECK-NEXT:     npu.loop 2 step(r31 += 8) from(@g7) {
// CHECK-NEXT:       npu.dma.fill unit(dma1) dst(@{{.*}}[r31]) from(@g7 "tile.fill 2xf32")
// CHECK-NEXT:     }
// CHECK-NEXT:   }
// CHECK-NEXT:   npu.dma.fill unit(dma0) dst(@[[LAST]])
// CHECK-NEXT:   npu.s.halt

#sram = #tile.space<sram>
builtin.module {
  func.func @main() attributes {npucc.inputs = [], npucc.outputs = []} {
    tile.group "g" index 7 nodes [] {
      %p = tile.pool "t" in <sram> depth 3 slot_bytes 64 at 1024
      %first = tile.acquire %p : memref<4xf32, #sram>
      tile.fill %first value 0.0 : f64 engine "dma0" : memref<4xf32, #sram>
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      %c4 = arith.constant 4 : index
      scf.for %one = %c0 to %c1 step %c1 {
        scf.for %i = %c0 to %c4 step %c1 {
          %t = tile.acquire %p : memref<4xf32, #sram>
          scf.for %j = %c0 to %c4 step %c2 {
            %v = memref.subview %t[%j] [2] [1] : memref<4xf32, #sram> to memref<2xf32, strided<[1], offset: ?>, #sram>
            tile.fill %v value 1.0 : f64 engine "dma1" : memref<2xf32, strided<[1], offset: ?>, #sram>
          }
        }
      }
      %last = tile.acquire %p : memref<4xf32, #sram>
      tile.fill %last value 0.0 : f64 engine "dma0" : memref<4xf32, #sram>
    }
    func.return
  }
}
