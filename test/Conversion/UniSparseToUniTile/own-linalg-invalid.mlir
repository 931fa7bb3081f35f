// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --linalg-generalize-named-ops --convert-linalg-to-unitile

func.func @rank(%x: tensor<8xf32>, %init: tensor<f32>) -> tensor<f32> {
  // expected-error@+1 {{expected results of rank 1 or more with an element for each point of the parallel loops, got the map affine_map<(d0) -> ()>}}
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>], iterator_types = ["reduction"]}
      ins(%x : tensor<8xf32>) outs(%init : tensor<f32>) {
  ^bb0(%a: f32, %s: f32):
    %t = arith.addf %s, %a : f32
    linalg.yield %t : f32
  } -> tensor<f32>
  return %r : tensor<f32>
}

// -----

func.func @bits(%x: tensor<8xi1>) -> tensor<8xi1> {
  // expected-error@+1 {{expected elements of whole bytes on a GPU, got 'i1'}}
  %r = linalg.copy ins(%x : tensor<8xi1>) outs(%x : tensor<8xi1>) -> tensor<8xi1>
  return %r : tensor<8xi1>
}

// -----

func.func @function(%x: tensor<8xf64>) -> tensor<8xf64> {
  // expected-error@+1 {{expected functions that a GPU has instructions or polynomials for, got 'math.exp' of 'f64'}}
  %r = linalg.exp ins(%x : tensor<8xf64>) outs(%x : tensor<8xf64>) -> tensor<8xf64>
  return %r : tensor<8xf64>
}

// -----

func.func @many(%x: tensor<70000x70000xf32>) -> tensor<70000x70000xf32> {
  // expected-error@+1 {{expected at most 2147483647 elements on a GPU, got 'tensor<70000x70000xf32>'}}
  %r = linalg.exp ins(%x : tensor<70000x70000xf32>) outs(%x : tensor<70000x70000xf32>) -> tensor<70000x70000xf32>
  return %r : tensor<70000x70000xf32>
}
