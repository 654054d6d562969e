// A loop with a fixed number of steps counts in a register; the row of the step is at step x 16 bytes; every step ends
// with a fence. The condition of a loop and of a branch is loaded once the engines that write it are idle; without data
// the loop is taken to run 16 times.

// CHECK:      npu.sem @s = 0
// CHECK-NEXT: npu.s.li rd(r31) value(0) from(@[[ORIGIN:outside[.0-9]*]] "control flow")
// CHECK-NEXT: npu.label @loop
// CHECK-NEXT: npu.s.alu fn(mul) rd([[R:r[0-9]+]]) ra(r31) value(16) from(@{{.*}} "registers")
// CHECK-NEXT: npu.dma.copy unit(dma0) dst(@t) src(@x.1[[[R]]])
// CHECK-NEXT: npu.s.fence
// CHECK-NEXT: npu.s.alu fn(add) rd(r31) ra(r31) rb(r0) value(1)
// CHECK-NEXT: npu.s.alu fn(slt) rd([[T:r[0-9]+]]) ra(r31) rb(r0) value(3)
// CHECK-NEXT: npu.s.br fn(ne) ra([[T]]) to(@loop)
// CHECK-NEXT: npu.dma.copy unit(dma0) dst(@go) src(@c.1)
// CHECK-NEXT: npu.s.fence
// CHECK-NEXT: npu.s.li rd([[I:r[0-9]+]]) value(0)
// CHECK-NEXT: npu.label @loop.1
// CHECK-NEXT: npu.s.ld rd([[G:r[0-9]+]]) src(@go) assume(1) times(16)
// CHECK:      npu.s.br fn(eq) ra({{.*}}) to(@end)
// CHECK-NEXT: npu.dma.copy unit(dma0) dst(@go) src(@c.1)
// CHECK-NEXT: npu.s.fence
// CHECK:      npu.s.br fn(always) ra(r0) to(@loop.1)
// CHECK-NEXT: npu.label @end
// CHECK-NEXT: npu.s.ld rd([[C:r[0-9]+]]) src(@c.1) assume(1)
// CHECK-NEXT: npu.s.br fn(eq) ra([[C]]) to(@else)
// CHECK-NEXT: npu.dma.fill
// CHECK-NEXT: npu.s.fence
// CHECK-NEXT: npu.s.br fn(always) ra(r0) to(@end.1)
// CHECK-NEXT: npu.label @else
// CHECK-NEXT: npu.dma.fill
// CHECK-NEXT: npu.s.fence
// CHECK-NEXT: npu.label @end.1
// CHECK-NEXT: npu.s.halt

#sram = #tile.space<sram>
#dram = #tile.space<dram>
builtin.module attributes {npucc.semaphores = {s = 0 : i64}} {
  func.func @main(%x: memref<3x4xf32, #dram>, %c: memref<i1, #dram>) attributes {npucc.inputs = ["x", "c"], npucc.outputs = []} {
    %t = tile.alloc "t" at 0 : memref<4xf32, #sram>
    %go = tile.alloc "go" at 64 : memref<i1, #sram>
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c3 = arith.constant 3 : index
    %c9 = arith.constant 9 : index
    scf.for %step = %c0 to %c3 step %c1 {
      %row = memref.subview %x[%step, 0] [1, 4] [1, 1] : memref<3x4xf32, #dram> to memref<4xf32, strided<[1], offset: ?>, #dram>
      tile.group "a" index 0 nodes [] {
        tile.copy %row -> %t engine "dma0" : memref<4xf32, strided<[1], offset: ?>, #dram> -> memref<4xf32, #sram>
      }
    }
    tile.group "b" index 1 nodes [] {
      tile.copy %c -> %go engine "dma0" : memref<i1, #dram> -> memref<i1, #sram>
    }
    %end = scf.while (%i = %c0) : (index) -> index {
      %below = arith.cmpi slt, %i, %c9 : index
      %g = memref.load %go[] : memref<i1, #sram>
      %both = arith.andi %g, %below : i1
      scf.condition(%both) %i : index
    } do {
    ^bb0(%i: index):
      tile.group "c" index 2 nodes [] {
        tile.copy %c -> %go engine "dma0" : memref<i1, #dram> -> memref<i1, #sram>
      }
      %one = arith.constant 1 : index
      %n = arith.addi %i, %one : index
      scf.yield %n : index
    }
    %chosen = memref.load %c[] : memref<i1, #dram>
    scf.if %chosen {
      tile.group "d" index 3 nodes [] {
        tile.fill %t value 1.0 : f64 engine "dma0" : memref<4xf32, #sram>
      }
    } else {
      tile.group "e" index 4 nodes [] {
        tile.fill %t value 2.0 : f64 engine "dma0" : memref<4xf32, #sram>
      }
    }
    func.return
  }
}
