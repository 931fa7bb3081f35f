// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --unisparse-to-gpu-pipeline=chip=sm_90

func.func @head_dim(%q: tensor<1x4x512x36xf16>) -> tensor<1x4x512x36xf16> {
  // expected-error@+1 {{expected a head_dim that is a multiple of 8 up to 256 at the tile level, got 36}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x36xf16>, tensor<1x4x512x36xf16>, tensor<1x4x512x36xf16>) -> tensor<1x4x512x36xf16>
  return %o : tensor<1x4x512x36xf16>
}

// -----

// A row of f32 is copied in pieces of 4.
func.func @value_dim(%q: tensor<1x4x512x64xf32>, %v: tensor<1x4x512x6xf32>) -> tensor<1x4x512x6xf32> {
  // expected-error@+1 {{expected a head_dim of v that is a multiple of 4 up to 128 at the tile level, got 6}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <64x64> : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x6xf32>) -> tensor<1x4x512x6xf32>
  return %o : tensor<1x4x512x6xf32>
}

// -----

// Which target a program is for is whoever runs the pipeline's to know.
func.func @heads(%q: tensor<?x?x?x?xf16>) -> tensor<?x?x?x?xf16> {
  // expected-error@+1 {{expected a static number of heads to be lowered, got 'tensor<?x?x?x?xf16>'; cast the operand to a type that names it}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<?x?x?x?xf16>, tensor<?x?x?x?xf16>, tensor<?x?x?x?xf16>) -> tensor<?x?x?x?xf16>
  return %o : tensor<?x?x?x?xf16>
}

// -----

func.func @tosa(%q: tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16>
  // expected-error@+1 {{'tosa.exp' op expected an op that can work on buffers, got one on tensors that this pipeline does not lower}}
  %s = tosa.exp %o : (tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16>
  return %s : tensor<1x4x512x64xf16>
}

// -----

module {
  // expected-error@+1 {{expected one module to be lowered, got a module inside of it; lower that one by itself}}
  module @inner {
    func.func @f(%q: tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16> {
      %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16>
      return %o : tensor<1x4x512x64xf16>
    }
  }
}

// -----

// expected-error@+1 {{expected an index of 64 bits in the data layout, got 32}}
module attributes {dlti.dl_spec = #dlti.dl_spec<index = 32>} {
  func.func @f(%q: tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16> {
    %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16>
    return %o : tensor<1x4x512x64xf16>
  }
}

// -----

gpu.module @m {
  func.func @f(%q: tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16> {
    // expected-error@+1 {{expected to stand in a function of the module, whose code runs on the host, got one of a 'gpu.module'}}
    %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16>
    return %o : tensor<1x4x512x64xf16>
  }
}

// -----

// Rows of composites are written and copied in pieces of 16 bytes.
func.func @columns(%x: tensor<1x4x512x64xf16>) -> tensor<1x4x64x66xf16> {
  // expected-error@+1 {{expected composites of a multiple of 8 columns at the tile level, got 66}}
  %0 = unisparse.pool %x by 8 spread 32 : (tensor<1x4x512x64xf16>) -> tensor<1x4x64x66xf16>
  return %0 : tensor<1x4x64x66xf16>
}
