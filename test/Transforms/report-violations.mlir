// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-report-violations --split-input-file --verify-diagnostics | FileCheck %s

// One line, the two numbers, and the end, unless the host has a function of
// this name.
// CHECK-DAG:   llvm.mlir.global internal constant @[[$I7:.*]]("[I7] expected the length of q <= the length of k\00")
// CHECK-DAG:   llvm.mlir.global internal constant @[[LINE:.*]]("unisparse: %s, got %lld and %lld\0A\00")
// CHECK:       llvm.func weak @unisparse_violation(%[[RULE:.*]]: !llvm.ptr, %[[LEFT:.*]]: i64, %[[RIGHT:.*]]: i64) {
// CHECK:         %[[STDERR:.*]] = llvm.mlir.constant(2 : i32) : i32
// CHECK:         %[[FORMAT:.*]] = llvm.mlir.addressof @[[LINE]]
// CHECK:         llvm.call @dprintf(%[[STDERR]], %[[FORMAT]], %[[RULE]], %[[LEFT]], %[[RIGHT]])
// CHECK:         llvm.call @abort()
// CHECK:         llvm.unreachable

// CHECK-LABEL: func.func @rule(
// CHECK-SAME:      %[[LQ:.*]]: index, %[[LK:.*]]: index)
// CHECK:         %[[HOLDS:.*]] = arith.cmpi sle, %[[LQ]], %[[LK]]
// CHECK:         %[[BROKEN:.*]] = arith.xori %[[HOLDS]], %true
// CHECK:         scf.if %[[BROKEN]] {
// CHECK-DAG:       %[[TEXT:.*]] = llvm.mlir.addressof @[[$I7]]
// CHECK-DAG:       %[[L:.*]] = arith.index_cast %[[LQ]] : index to i64
// CHECK-DAG:       %[[R:.*]] = arith.index_cast %[[LK]] : index to i64
// CHECK:           llvm.call @unisparse_violation(%[[TEXT]], %[[L]], %[[R]])
// CHECK:           llvm.intr.trap
// CHECK-NOT:     cf.assert
func.func @rule(%lq: index, %lk: index) {
  %holds = arith.cmpi sle, %lq, %lk : index
  cf.assert %holds, "I7: the length of q <= the length of k" {unisparse.check = #unisparse.check<"I7", "the length of q" at_most "the length of k">}
  return
}

// Nothing is a multiple of 0, and no CPU divides by it.
// CHECK-LABEL: func.func @multiple(
// CHECK-SAME:      %[[A:.*]]: index, %[[B:.*]]: index)
// CHECK:         %[[SOME:.*]] = arith.cmpi ne, %[[B]], %c0{{.*}} : index
// CHECK:         %[[BY:.*]] = arith.select %[[SOME]], %[[B]], %c1{{.*}} : index
// CHECK:         %[[REST:.*]] = arith.remui %[[A]], %[[BY]]
// CHECK:         %[[HOLDS:.*]] = arith.cmpi eq, %[[REST]], %{{.*}} : index
// CHECK:         %[[BOTH:.*]] = arith.andi %[[HOLDS]], %[[SOME]] : i1
// CHECK:         %[[BROKEN:.*]] = arith.xori %[[BOTH]], %true
// CHECK:         scf.if %[[BROKEN]]
func.func @multiple(%a: index, %b: index) {
  %c0 = arith.constant 0 : index
  %rest = arith.remui %a, %b : index
  %holds = arith.cmpi eq, %rest, %c0 : index
  cf.assert %holds, "X1: a multiple of b" {unisparse.check = #unisparse.check<"X1", "a" multiple_of "b">}
  return
}

// Other assertions are the program's own.
// CHECK-LABEL: func.func @others(
// CHECK:         cf.assert %{{.*}}, "never"
// CHECK:         cf.assert %{{.*}}, "sizes: one == other"
// CHECK:         cf.assert %{{.*}}, "I7: of what"
func.func @others(%a: i1, %b: i32) {
  %c = arith.cmpi eq, %b, %b : i32
  cf.assert %c, "never"
  cf.assert %c, "sizes: one == other"
  cf.assert %a, "I7: of what"
  return
}

// -----

// CHECK-LABEL: func.func @nothing(
// CHECK-NOT:   unisparse_violation
func.func @nothing() {
  return
}

// -----

// expected-error@+1 {{expected @unisparse_violation to be left to what reports violations}}
func.func private @unisparse_violation(i32)
func.func @taken(%lq: index, %lk: index) {
  %holds = arith.cmpi sle, %lq, %lk : index
  cf.assert %holds, "I7: the length of q <= the length of k" {unisparse.check = #unisparse.check<"I7", "the length of q" at_most "the length of k">}
  return
}

// -----

func.func @another_relation(%a: index, %b: index) {
  %holds = arith.cmpi ule, %a, %b : index
  // expected-error@+1 {{expected a condition as unisparse.check says, equal, got at_most}}
  cf.assert %holds, "X1: a == b" {unisparse.check = #unisparse.check<"X1", "a" equal "b">}
  return
}
