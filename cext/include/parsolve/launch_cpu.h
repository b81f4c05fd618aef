/* launch_cpu.h -- THE loop over a box, for a CPU.  PS_UPDATE and PS_DEFINE turn a cell body into a kernel.
 *
 * The outputs may be the first term, element by element, but alias nothing else, so iterations of a row are independent.
 */
#ifndef PARSOLVE_LAUNCH_CPU_H
#define PARSOLVE_LAUNCH_CPU_H

#include "cells.h"

#include <stddef.h>

#define PS_EXPORT __attribute__((visibility("default")))
#define PS_INDEPENDENT _Pragma("GCC ivdep")

/* Rows in tiles along y that march through z, so that the planes a stencil reads stay in a cache of about TILE_BYTES. */
#define PS_TILE_BYTES (256 * 1024)

static inline int64_t ps_tile_rows(const ps_args *a, int fields)
{
    const int64_t bytes = (a->hi[2] - a->lo[2] + 1) * (int64_t)sizeof(ps_real) * fields;
    const int64_t rows = PS_TILE_BYTES / bytes;
    return rows < 8 ? 8 : rows;
}

#define PS_PIECE 512 /* most cells of a piece */

/* Cells of a piece of a row: what is fetched ahead at once is to fit the few requests that a core can wait for. */
static inline int64_t ps_piece(const ps_args *a)
{
    const int64_t n = a->hi[2] - a->lo[2], pieces = PS_PIECES(n);
    return ((n + pieces - 1) / pieces + 15) / 16 * 16;
}

static inline int64_t ps_least(int64_t a, int64_t b) { return a < b ? a : b; }

static inline void ps_fetch(const char **ahead, int64_t lines)
{
    for (int64_t n = 0; n < lines; n++) __builtin_prefetch(*ahead + n * PS_LINE, 1);
    *ahead += lines * PS_LINE;
}

/* The pieces [i0_, i1_) of the rows of a box; with each, lines are fetched that will be needed soon. */
#define PS_ROWS(a, row, fields)                                                                                        \
    const int64_t piece_ = ps_piece(&(a)), tile_ = ps_tile_rows(&(a), fields);                                         \
    const char *ahead_ = (a).ahead;                                                                                    \
    for (int64_t first_ = (a).lo[1]; first_ < (a).hi[1]; first_ += tile_)                                              \
        for (int64_t k_ = (a).lo[0]; k_ < (a).hi[0]; k_++)                                                             \
            for (int64_t j_ = first_; j_ < ps_least(first_ + tile_, (a).hi[1]); j_++)                                  \
                for (int64_t row = k_ * (a).stride[0] + j_ * (a).stride[1], i0_ = (a).lo[2], i1_;                      \
                     i1_ = ps_least(i0_ + piece_, (a).hi[2]), i0_ < (a).hi[2]; i0_ = i1_)

/* out += weight * term along a piece of a row, for the terms after the first; what is read is in cache. */
static inline __attribute__((always_inline)) void ps_add_terms(const ps_args *a, int64_t first, int64_t n, int inputs,
                                                               int outputs, int f, ps_real *out)
{
    for (int64_t t = 1; t < a->terms; t++) {
        const ps_real *term = (const ps_real *)a->field[inputs + outputs + t * outputs + f] + first;
        const ps_real w = (ps_real)a->weight[t];
        PS_INDEPENDENT
        for (int64_t i = 0; i < n; i++) out[i] = fma(w, term[i], out[i]);
    }
}

/* Write n values past the caches, whole cache lines at a time: memory need not be read before. */
static inline void ps_stream(ps_real *to, const ps_real *from, int64_t n)
{
    int64_t i = 0;
#if defined(__x86_64__)
#if defined(__AVX512F__)
#define PS_STREAM "vmovntps %1, %0"
    typedef float ps_wide __attribute__((vector_size(64), aligned(4), may_alias));
#else
#define PS_STREAM "movntps %1, %0"
    typedef float ps_wide __attribute__((vector_size(16), aligned(4), may_alias));
#endif
    const int64_t wide = (int64_t)(sizeof(ps_wide) / sizeof *to);
    for (; i < n && (uintptr_t)(to + i) % sizeof(ps_wide); i++) to[i] = from[i];
    for (; i + wide <= n; i += wide)
        __asm__ volatile(PS_STREAM : "=m"(*(ps_wide *)(to + i)) : "x"(*(const ps_wide *)(from + i)));
#undef PS_STREAM
#endif
    for (; i < n; i++) to[i] = from[i];
}

/* What was written past the caches is seen by all before anything that is written later. */
static inline void ps_streamed(void)
{
#if defined(__x86_64__)
    __asm__ volatile("sfence" ::: "memory");
#endif
}

/* A kernel out_f = sum_j weight[j] * term_jf + scale * value_f from the body of one cell. */
#define PS_UPDATE(cell, inputs, outputs)                                                                               \
    PS_EXPORT ps_kernel PS_NAME(cell);                                                                                 \
    int PS_NAME(cell)(const ps_args *args)                                                                             \
    {                                                                                                                  \
        const ps_args a = *args; /* a copy: nothing aliases it */                                                      \
        const ps_real w = (ps_real)a.weight[0], scale = (ps_real)a.scale;                                              \
        ps_real buffer[outputs][PS_PIECE], *to[outputs];                                                               \
        if (a.terms < 1 || inputs + (a.terms + 1) * outputs > PS_MAX_FIELDS) return PS_BAD_ARGUMENT;                   \
        PS_ROWS(a, row, inputs + 2 * outputs)                                                                          \
        {                                                                                                              \
            for (int f = 0; f < outputs; f++)                                                                          \
                to[f] = a.streaming ? buffer[f] : (ps_real *)a.field[inputs + f] + row + i0_;                          \
            ps_fetch(&ahead_, a.ahead_lines);                                                                          \
            PS_INDEPENDENT                                                                                             \
            for (int64_t i = i0_; i < i1_; i++) {                                                                      \
                ps_real value[outputs];                                                                                \
                cell(&a, row + i, k_, j_, i, value);                                                                   \
                for (int f = 0; f < outputs; f++)                                                                      \
                    to[f][i - i0_] =                                                                                   \
                        fma(scale, value[f], w * ((const ps_real *)a.field[inputs + outputs + f])[row + i]);           \
            }                                                                                                          \
            for (int f = 0; f < outputs; f++) ps_add_terms(&a, row + i0_, i1_ - i0_, inputs, outputs, f, to[f]);       \
            for (int f = 0; f < outputs && a.streaming; f++)                                                           \
                ps_stream((ps_real *)a.field[inputs + f] + row + i0_, to[f], i1_ - i0_);                               \
        }                                                                                                              \
        if (a.streaming) ps_streamed();                                                                                \
        return PS_OK;                                                                                                  \
    }

/* A kernel out_f = value_f from the body of one cell. */
#define PS_DEFINE(cell, inputs, outputs)                                                                               \
    PS_EXPORT ps_kernel PS_NAME(cell);                                                                                 \
    int PS_NAME(cell)(const ps_args *args)                                                                             \
    {                                                                                                                  \
        const ps_args a = *args;                                                                                       \
        PS_ROWS(a, row, inputs + 2 * outputs)                                                                          \
        {                                                                                                              \
            ps_fetch(&ahead_, a.ahead_lines);                                                                          \
            PS_INDEPENDENT                                                                                             \
            for (int64_t i = i0_; i < i1_; i++) {                                                                      \
                ps_real value[outputs];                                                                                \
                cell(&a, row + i, k_, j_, i, value);                                                                   \
                for (int f = 0; f < outputs; f++) ((ps_real *)a.field[inputs + f])[row + i] = value[f];                \
            }                                                                                                          \
        }                                                                                                              \
        return PS_OK;                                                                                                  \
    }

#endif
