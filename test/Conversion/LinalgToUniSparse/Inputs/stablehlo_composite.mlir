"builtin.module"() <{sym_name = "jit_f"}> ({
  "func.func"() <{function_type = (tensor<2x40x8x64xbf16>, tensor<2x40x2x64xbf16>, tensor<2x40x2x64xbf16>) -> tensor<2x40x8x64xbf16>, res_attrs = [{jax.result_info = "result"}], sym_name = "main", sym_visibility = "public"}> ({
  ^bb0(%arg11: tensor<2x40x8x64xbf16>, %arg12: tensor<2x40x2x64xbf16>, %arg13: tensor<2x40x2x64xbf16>):
    %48 = "stablehlo.composite"(%arg11, %arg12, %arg13) <{composite_attributes = {causal = true, p = 9.000000e-01 : f64}, decomposition = @unisparse.attention, name = "unisparse.attention", version = 1 : i32}> : (tensor<2x40x8x64xbf16>, tensor<2x40x2x64xbf16>, tensor<2x40x2x64xbf16>) -> tensor<2x40x8x64xbf16>
    "func.return"(%48) : (tensor<2x40x8x64xbf16>) -> ()
  }) : () -> ()
  "func.func"() <{function_type = (tensor<2x40x8x64xbf16>, tensor<2x40x2x64xbf16>, tensor<2x40x2x64xbf16>) -> tensor<2x40x8x64xbf16>, sym_name = "unisparse.attention", sym_visibility = "private"}> ({
  ^bb0(%arg4: tensor<2x40x8x64xbf16>, %arg5: tensor<2x40x2x64xbf16>, %arg6: tensor<2x40x2x64xbf16>):
    %14 = "stablehlo.constant"() <{value = dense<0.000000e+00> : tensor<f32>}> : () -> tensor<f32>
    %15 = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
    %16 = "stablehlo.constant"() <{value = dense<-2.38197633E+38> : tensor<f32>}> : () -> tensor<f32>
    %17 = "stablehlo.constant"() <{value = dense<true> : tensor<i1>}> : () -> tensor<i1>
    %18 = "stablehlo.constant"() <{value = dense<1.250000e-01> : tensor<f32>}> : () -> tensor<f32>
    %19 = "stablehlo.reshape"(%arg4) : (tensor<2x40x8x64xbf16>) -> tensor<2x40x2x4x64xbf16>
    %20 = "stablehlo.dot_general"(%19, %arg5) <{algorithm = #stablehlo.dot_algorithm<lhs_precision_type = bf16, rhs_precision_type = bf16, accumulation_type = f32, lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1, allow_imprecise_accumulation = false>, dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 2], rhs_batching_dimensions = [0, 2], lhs_contracting_dimensions = [4], rhs_contracting_dimensions = [3]>}> : (tensor<2x40x2x4x64xbf16>, tensor<2x40x2x64xbf16>) -> tensor<2x2x40x4x40xf32>
    %21 = "stablehlo.broadcast_in_dim"(%18) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x2x40x4x40xf32>
    %22 = "stablehlo.multiply"(%20, %21) : (tensor<2x2x40x4x40xf32>, tensor<2x2x40x4x40xf32>) -> tensor<2x2x40x4x40xf32>
    %23 = "stablehlo.broadcast_in_dim"(%17) <{broadcast_dimensions = array<i64>}> : (tensor<i1>) -> tensor<2x2x40x40xi1>
    %24 = "stablehlo.broadcast_in_dim"(%17) <{broadcast_dimensions = array<i64>}> : (tensor<i1>) -> tensor<40x40xi1>
    %25 = "func.call"(%24) <{callee = @tril}> : (tensor<40x40xi1>) -> tensor<40x40xi1>
    %26 = "stablehlo.broadcast_in_dim"(%25) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<40x40xi1>) -> tensor<1x1x40x40xi1>
    %27 = "stablehlo.broadcast_in_dim"(%26) <{broadcast_dimensions = array<i64: 0, 1, 2, 3>}> : (tensor<1x1x40x40xi1>) -> tensor<2x2x40x40xi1>
    %28 = "stablehlo.and"(%23, %27) : (tensor<2x2x40x40xi1>, tensor<2x2x40x40xi1>) -> tensor<2x2x40x40xi1>
    %29 = "func.call"(%28, %22, %16) <{callee = @_where}> : (tensor<2x2x40x40xi1>, tensor<2x2x40x4x40xf32>, tensor<f32>) -> tensor<4x2x2x40x40xf32>
    %30 = "stablehlo.reduce"(%29, %15) <{dimensions = array<i64: 4>}> ({
    ^bb0(%arg9: tensor<f32>, %arg10: tensor<f32>):
      %47 = "stablehlo.maximum"(%arg9, %arg10) : (tensor<f32>, tensor<f32>) -> tensor<f32>
      "stablehlo.return"(%47) : (tensor<f32>) -> ()
    }) : (tensor<4x2x2x40x40xf32>, tensor<f32>) -> tensor<4x2x2x40xf32>
    %31 = "stablehlo.broadcast_in_dim"(%15) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<4x2x2x40xf32>
    %32 = "stablehlo.maximum"(%31, %30) : (tensor<4x2x2x40xf32>, tensor<4x2x2x40xf32>) -> tensor<4x2x2x40xf32>
    %33 = "stablehlo.broadcast_in_dim"(%32) <{broadcast_dimensions = array<i64: 0, 1, 2, 3>}> : (tensor<4x2x2x40xf32>) -> tensor<4x2x2x40x1xf32>
    %34 = "stablehlo.broadcast_in_dim"(%33) <{broadcast_dimensions = array<i64: 0, 1, 2, 3, 4>}> : (tensor<4x2x2x40x1xf32>) -> tensor<4x2x2x40x40xf32>
    %35 = "stablehlo.subtract"(%29, %34) : (tensor<4x2x2x40x40xf32>, tensor<4x2x2x40x40xf32>) -> tensor<4x2x2x40x40xf32>
    %36 = "stablehlo.exponential"(%35) : (tensor<4x2x2x40x40xf32>) -> tensor<4x2x2x40x40xf32>
    %37 = "stablehlo.reduce"(%36, %14) <{dimensions = array<i64: 4>}> ({
    ^bb0(%arg7: tensor<f32>, %arg8: tensor<f32>):
      %46 = "stablehlo.add"(%arg7, %arg8) : (tensor<f32>, tensor<f32>) -> tensor<f32>
      "stablehlo.return"(%46) : (tensor<f32>) -> ()
    }) : (tensor<4x2x2x40x40xf32>, tensor<f32>) -> tensor<4x2x2x40xf32>
    %38 = "stablehlo.broadcast_in_dim"(%37) <{broadcast_dimensions = array<i64: 0, 1, 2, 3>}> : (tensor<4x2x2x40xf32>) -> tensor<4x2x2x40x1xf32>
    %39 = "stablehlo.broadcast_in_dim"(%38) <{broadcast_dimensions = array<i64: 0, 1, 2, 3, 4>}> : (tensor<4x2x2x40x1xf32>) -> tensor<4x2x2x40x40xf32>
    %40 = "stablehlo.divide"(%36, %39) : (tensor<4x2x2x40x40xf32>, tensor<4x2x2x40x40xf32>) -> tensor<4x2x2x40x40xf32>
    %41 = "stablehlo.convert"(%40) : (tensor<4x2x2x40x40xf32>) -> tensor<4x2x2x40x40xbf16>
    %42 = "stablehlo.dot_general"(%arg6, %41) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 2], rhs_batching_dimensions = [1, 2], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [4]>}> : (tensor<2x40x2x64xbf16>, tensor<4x2x2x40x40xbf16>) -> tensor<2x2x64x4x40xbf16>
    %43 = "stablehlo.transpose"(%42) <{permutation = array<i64: 3, 0, 4, 1, 2>}> : (tensor<2x2x64x4x40xbf16>) -> tensor<4x2x40x2x64xbf16>
    %44 = "stablehlo.transpose"(%43) <{permutation = array<i64: 1, 2, 3, 0, 4>}> : (tensor<4x2x40x2x64xbf16>) -> tensor<2x40x2x4x64xbf16>
    %45 = "stablehlo.reshape"(%44) : (tensor<2x40x2x4x64xbf16>) -> tensor<2x40x8x64xbf16>
    "func.return"(%45) : (tensor<2x40x8x64xbf16>) -> ()
  }) : () -> ()
  "func.func"() <{function_type = (tensor<40x40xi1>) -> tensor<40x40xi1>, sym_name = "tril", sym_visibility = "private"}> ({
  ^bb0(%arg3: tensor<40x40xi1>):
    %5 = "stablehlo.constant"() <{value = dense<false> : tensor<i1>}> : () -> tensor<i1>
    %6 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
    %7 = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<40x40xi32>
    %8 = "stablehlo.broadcast_in_dim"(%6) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<40x40xi32>
    %9 = "stablehlo.add"(%7, %8) : (tensor<40x40xi32>, tensor<40x40xi32>) -> tensor<40x40xi32>
    %10 = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<40x40xi32>
    %11 = "stablehlo.compare"(%9, %10) <{compare_type = #stablehlo<comparison_type SIGNED>, comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<40x40xi32>, tensor<40x40xi32>) -> tensor<40x40xi1>
    %12 = "stablehlo.broadcast_in_dim"(%5) <{broadcast_dimensions = array<i64>}> : (tensor<i1>) -> tensor<40x40xi1>
    %13 = "stablehlo.select"(%11, %arg3, %12) : (tensor<40x40xi1>, tensor<40x40xi1>, tensor<40x40xi1>) -> tensor<40x40xi1>
    "func.return"(%13) : (tensor<40x40xi1>) -> ()
  }) : () -> ()
  "func.func"() <{function_type = (tensor<2x2x40x40xi1>, tensor<2x2x40x4x40xf32>, tensor<f32>) -> tensor<4x2x2x40x40xf32>, sym_name = "_where", sym_visibility = "private"}> ({
  ^bb0(%arg0: tensor<2x2x40x40xi1>, %arg1: tensor<2x2x40x4x40xf32>, %arg2: tensor<f32>):
    %0 = "stablehlo.broadcast_in_dim"(%arg2) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x2x40x40xf32>
    %1 = "stablehlo.broadcast_in_dim"(%arg0) <{broadcast_dimensions = array<i64: 1, 2, 3, 4>}> : (tensor<2x2x40x40xi1>) -> tensor<4x2x2x40x40xi1>
    %2 = "stablehlo.broadcast_in_dim"(%0) <{broadcast_dimensions = array<i64: 1, 2, 3, 4>}> : (tensor<2x2x40x40xf32>) -> tensor<4x2x2x40x40xf32>
    %3 = "stablehlo.transpose"(%arg1) <{permutation = array<i64: 3, 0, 1, 2, 4>}> : (tensor<2x2x40x4x40xf32>) -> tensor<4x2x2x40x40xf32>
    %4 = "stablehlo.select"(%1, %3, %2) : (tensor<4x2x2x40x40xi1>, tensor<4x2x2x40x40xf32>, tensor<4x2x2x40x40xf32>) -> tensor<4x2x2x40x40xf32>
    "func.return"(%4) : (tensor<4x2x2x40x40xf32>) -> ()
  }) : () -> ()
}) {jax.uses_shape_polymorphism = false, mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} : () -> ()
