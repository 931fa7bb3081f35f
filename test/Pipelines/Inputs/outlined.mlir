// A program around two attentions, in a function that is called twice: x is
// scaled, attends, and the difference of what came out is summed up. Everything
// beside the attention is for the CPU.
!q = tensor<1x4x?x16xf32>
!k = tensor<1x2x?x16xf32>
#all = affine_map<(b, h, i, d) -> (b, h, i, d)>
#one = affine_map<(b, h, i, d) -> (0)>

func.func private @layer(%q: !q, %k: !k, %factor: f32) -> !q {
  %c2 = arith.constant 2 : index
  %l = tensor.dim %q, %c2 : !q
  %e = tensor.empty(%l) : !q
  %scaled = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%q : !q) outs(%e : !q) {
  ^bb0(%x: f32, %u: f32):
    %y = arith.mulf %x, %factor : f32
    linalg.yield %y : f32
  } -> !q
  %o = unisparse.block_sparse_attention %scaled, %k, %k block <32x32> causal : (!q, !k, !k) -> !q
  return %o : !q
}

// The sum of both layers' outputs, in thousandths.
func.func @main() -> i32 {
  %half = arith.constant 0.5 : f32
  %one = arith.constant 1.0 : f32
  %n = arith.constant 40 : index
  %m = arith.constant 70 : index
  %q = call @fill(%n) : (index) -> !q
  %kq = call @fill(%m) : (index) -> !q
  %k = tensor.extract_slice %kq[0, 0, 0, 0] [1, 2, %m, 16] [1, 1, 1, 1] : !q to !k
  %0 = call @layer(%q, %k, %half) : (!q, !k, f32) -> !q
  %1 = call @layer(%0, %k, %one) : (!q, !k, f32) -> !q
  %zero = arith.constant dense<0.0> : tensor<1xf32>
  %sum = linalg.generic {indexing_maps = [#all, #all, #one], iterator_types = ["reduction", "reduction", "reduction", "reduction"]}
      ins(%0, %1 : !q, !q) outs(%zero : tensor<1xf32>) {
  ^bb0(%x: f32, %y: f32, %s: f32):
    %a = arith.addf %x, %y : f32
    %b = arith.addf %a, %s : f32
    linalg.yield %b : f32
  } -> tensor<1xf32>
  %c0 = arith.constant 0 : index
  %value = tensor.extract %sum[%c0] : tensor<1xf32>
  %thousand = arith.constant 1000.0 : f32
  %large = arith.mulf %value, %thousand : f32
  %result = arith.fptosi %large : f32 to i32
  return %result : i32
}

// Element (h, i, d) is ((7 h + 3 i + 5 d i) mod 13) / 16.
func.func private @fill(%n: index) -> !q {
  %e = tensor.empty(%n) : !q
  %r = linalg.generic {indexing_maps = [#all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      outs(%e : !q) {
  ^bb0(%u: f32):
    %h = linalg.index 1 : index
    %i = linalg.index 2 : index
    %d = linalg.index 3 : index
    %c3 = arith.constant 3 : index
    %c5 = arith.constant 5 : index
    %c7 = arith.constant 7 : index
    %c13 = arith.constant 13 : index
    %sixteenth = arith.constant 0.0625 : f32
    %0 = arith.muli %h, %c7 : index
    %1 = arith.muli %i, %c3 : index
    %di = arith.muli %d, %i : index
    %2 = arith.muli %di, %c5 : index
    %3 = arith.addi %0, %1 : index
    %4 = arith.addi %2, %3 : index
    %5 = arith.remui %4, %c13 : index
    %6 = arith.index_cast %5 : index to i32
    %7 = arith.sitofp %6 : i32 to f32
    %8 = arith.mulf %7, %sixteenth : f32
    linalg.yield %8 : f32
  } -> !q
  return %r : !q
}
