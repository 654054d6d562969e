// expected: npu.q.sync: at most 2 waits; put more into an npu.q.sync
npu.program @main target("edge-4t") {
  npu.sem @a = 1
  npu.q.sync unit(mx) wait(@a, @a, @a)
}
