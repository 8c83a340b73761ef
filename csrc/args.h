// Arguments of the kernels: pointers and sizes, every array contiguous in the layout beside it.
//
//   B batch (all leading dimensions), K rows, G groups, C columns
//
// Kernels assume valid input; Python checks it. The caller owns every array. The split of the work
// depends on sizes and `threads` alone, and partial sums are added in a fixed order, so equal
// arguments give equal bits.
#pragma once

#include <cstdint>

namespace equishare {

struct Shape {
  int64_t batch, rows, groups, columns;
  int threads;
};

// Values and their cotangents lie group-last, (B, C, G), so that every loop runs along a row of
// logits.
template <class T>
struct SoftGatherArgs {
  Shape shape;
  const T* logits;  // (B, K, G)
  const T* values;  // (B, C, G)
  T* theta;         // (B, K, C) out
  T* stats;         // (B, K, 2) out: largest logit of the row, 1 / sum of exp(logit - largest)
};

template <class T>
struct SoftGatherBackwardArgs {
  Shape shape;
  const T* logits;     // (B, K, G)
  const T* values;     // (B, C, G)
  const T* cotangent;  // (B, K, C) u
  const T* theta;      // (B, K, C)
  const T* stats;      // (B, K, 2)
  T* grad_logits;      // (B, K, G) out
  T* grad_values;      // (B, C, G) out, or null: sum_k A[k,g] u[k,c]
};

template <class T>
struct SoftScatterArgs {
  Shape shape;
  const T* logits;  // (B, K, G)
  const T* x;       // (B, K, C)
  T* out;           // (B, C, G) out
};

template <class T>
struct PenaltiesArgs {
  Shape shape;      // columns unused
  const T* logits;  // (B, K, G)
  T* entropy;       // (B) out: mean over k of -sum_g A log A
  T* column_norm;   // (B) out: sum_g |A[:, g]|
  T* stats;  // (B, K, 3) out: largest logit, log of the sum of exp(logit - largest), row entropy
  T* norms;  // (B, G) out: |A[:, g]|
};

template <class T>
struct PenaltiesBackwardArgs {
  Shape shape;                  // columns unused
  const T* logits;              // (B, K, G)
  const T* stats;               // (B, K, 3)
  const T* norms;               // (B, G)
  const T* entropy_weight;      // (B) cotangents
  const T* column_norm_weight;  // (B)
  T* grad_logits;               // (B, K, G) out
};

enum class LabelType { u8, i32, i64 };

struct Labels {
  const void* data;  // (B, K), or (K) shared by the whole batch when stride is 0
  LabelType type;
  int64_t stride;  // entries from one problem's labels to the next: K or 0
};

template <class T>
struct HardArgs {
  Shape shape;
  Labels labels;
  const T* in;  // hard_gather: (B, G, C) values;  hard_scatter: (B, K, C) x
  T* out;       // hard_gather: (B, K, C);         hard_scatter: (B, G, C)
};

struct LabelRange {
  int64_t least, greatest;  // of no labels: 0, -1
};

// y[n,o] = bias[o] + sum_i x[n,i] values[label[o,i]]
template <class T>
struct SharedLinearArgs {
  int64_t samples, outputs, inputs, groups;  // N, O, I, G
  int threads;
  Labels labels;    // (O, I)
  const T* x;       // (N, I)
  const T* values;  // (G)
  const T* bias;    // (O) or null
  T* y;             // (N, O) out
};

template <class T>
struct SharedLinearBackwardArgs {
  int64_t samples, outputs, inputs, groups;
  int threads;
  Labels labels;       // (O, I)
  const T* x;          // (N, I)
  const T* values;     // (G)
  const T* cotangent;  // (N, O) u
  T* grad_x;           // (N, I) out
  T* grad_values;      // (G) out
};

// theta = A psi, psi = diag(1 / colsum A) A^T x, and the penalties of A. A group that no row uses
// has psi = 0.
template <class T>
struct RelaxArgs {
  Shape shape;      // columns unused
  const T* logits;  // (B, K, G)
  const T* x;       // (B, K)
  T* theta;         // (B, K) out
  T* psi;           // (B, G) out
  T* colsum;        // (B, G) out
  T* entropy;       // (B) out
  T* column_norm;   // (B) out
  T* workspace;     // relax_workspace(shape) entries; forward fills it, backward reads it
};

// Cotangents of a relaxation. One of two things happens to the gradient: it is written, or it is
// spent on one Adam step and never stored.
template <class T>
struct RelaxBackwardArgs {
  Shape shape;
  const T* x;                   // (B, K)
  const T* theta_weight;        // (B, K) u = dU / dtheta
  const T* entropy_weight;      // (B)
  const T* column_norm_weight;  // (B)
  const T* workspace;           // as forward left it
  T* logits;                    // (B, K, G) those of forward; stepped in place if moments is given
  T* grad_logits;               // (B, K, G) out; unused if moments is given
  T* moments;                   // relax_moments(shape) entries, zero before the first step, or null
  T rate, beta1, beta2, epsilon;
  T correction1, correction2;  // 1 - beta^step
};

}  // namespace equishare
