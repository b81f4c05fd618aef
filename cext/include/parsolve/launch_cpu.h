/* launch_cpu.h -- THE loop over a box, for a CPU.  PS_UPDATE, PS_DEFINE, PS_COLOUR and PS_TRANSFER make a kernel of a body.
 *
 * The outputs may be the first term, element by element, and those of PS_COLOUR may be inputs, as neighbours have the
 * other colour; they alias nothing else, so iterations of a row are independent.
 */
#ifndef PARSOLVE_LAUNCH_CPU_H
#define PARSOLVE_LAUNCH_CPU_H

#include "cells.h"

#include <stddef.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PS_EXPORT __attribute__((visibility("default")))
#define PS_INLINE static inline __attribute__((always_inline, unused))
#define PS_INDEPENDENT _Pragma("GCC ivdep")

#define PS_PIECE 512 /* most cells of a piece of a row */

/* Rows in tiles along y that march through z, so that the planes a stencil reads stay in a cache of about TILE_BYTES. */
#define PS_TILE_BYTES (256 * 1024)

PS_INLINE int64_t ps_tile_rows(const ps_args *a, int fields)
{
    const int64_t bytes = (a->hi[2] - a->lo[2] + 1) * (int64_t)sizeof(ps_real) * fields;
    const int64_t rows = PS_TILE_BYTES / bytes;
    return rows < 8 ? 8 : rows;
}

/* Cells of a piece of a row: what is fetched ahead at once is to fit the few requests that a core can wait for. */
PS_INLINE int64_t ps_piece_cells(const ps_args *a)
{
    const int64_t n = a->hi[2] - a->lo[2], pieces = PS_PIECES(n);
    return ((n + pieces - 1) / pieces + 15) / 16 * 16;
}

PS_INLINE int64_t ps_least(int64_t a, int64_t b) { return a < b ? a : b; }

PS_INLINE void ps_fetch(const char **ahead, int64_t lines)
{
    for (int64_t n = 0; n < lines; n++) __builtin_prefetch(*ahead + n * PS_LINE, 1);
    *ahead += lines * PS_LINE;
}

/* What a kernel does with cells [lo, hi) of row (k, j), at most PS_PIECE of them. */
typedef void ps_piece(const ps_args *a, int64_t k, int64_t j, int64_t lo, int64_t hi);

/* The pieces of the rows of a box; with each, lines are fetched that will be needed soon. */
PS_INLINE int ps_pieces(const ps_args *args, int inputs, int outputs, int least_terms, ps_piece *piece)
{
    const int64_t fields = inputs + (args->terms + 1) * outputs;
    if (args->terms < least_terms || fields > PS_MAX_FIELDS) return PS_BAD_ARGUMENT;
    ps_args a; /* a copy: nothing aliases it */
    ps_copy_args(&a, args, fields);
    const int64_t cells = ps_piece_cells(&a), rows = ps_tile_rows(&a, inputs + 2 * outputs);
    const char *ahead = (const char *)a.ahead;
    for (int64_t first = a.lo[1]; first < a.hi[1]; first += rows)
        for (int64_t k = a.lo[0]; k < a.hi[0]; k++)
            for (int64_t j = first; j < ps_least(first + rows, a.hi[1]); j++)
                for (int64_t lo = a.lo[2], hi; hi = ps_least(lo + cells, a.hi[2]), lo < a.hi[2]; lo = hi) {
                    ps_fetch(&ahead, a.ahead_lines);
                    piece(&a, k, j, lo, hi);
                }
#if defined(__x86_64__)
    if (a.streaming) _mm_sfence(); /* what was written past the caches is seen before what is written later */
#endif
    return PS_OK;
}

/* Write a vector of PS_WIDE bytes past the caches. */
#if defined(__AVX512F__)
#define PS_WIDE 64
#define PS_STREAM(to, from) _mm512_stream_si512((void *)(to), _mm512_loadu_si512(from))
#elif defined(__AVX__)
#define PS_WIDE 32
#define PS_STREAM(to, from) _mm256_stream_si256((__m256i *)(void *)(to), _mm256_loadu_si256((const void *)(from)))
#elif defined(__x86_64__)
#define PS_WIDE 16
#define PS_STREAM(to, from) _mm_stream_si128((__m128i *)(void *)(to), _mm_loadu_si128((const void *)(from)))
#endif

/* Write n values past the caches, whole vectors at a time: memory need not be read before. */
PS_INLINE void ps_stream(ps_real *to, const ps_real *from, int64_t n)
{
    int64_t i = 0;
#ifdef PS_WIDE
    const int64_t wide = PS_WIDE / (int64_t)sizeof *to;
    for (; i < n && (uintptr_t)(to + i) % PS_WIDE; i++) to[i] = from[i];
    for (; i + wide <= n; i += wide) PS_STREAM(to + i, from + i);
#endif
    for (; i < n; i++) to[i] = from[i];
}

/* Zeros in the place of a first term that is not there (-1 times them change nothing), and of increments. */
static const ps_real ps_no_term[PS_PIECE] __attribute__((unused)) = {0};

/* sum = the increments weight * (term - first term) of the terms after the first, at n cells from c on. */
PS_INLINE void ps_increments(const ps_args *a, int first, int outputs, int64_t c, int64_t n, int step, ps_real *sum)
{
    for (int64_t t = 1; t < a->terms; t++) { /* else there may be no first term to point to */
        const ps_real *base = PS_INPUT(a, first) + c, *term = PS_INPUT(a, first + t * outputs) + c;
        const ps_real w = (ps_real)a->weight[t];
        PS_INDEPENDENT
        for (int64_t i = 0; i < n; i += step) sum[i] = fma(w, term[i] - base[i], t == 1 ? 0 : sum[i]);
    }
}

/* A kernel out_f = weight[0] * term_0f + increments_f + scale * value_f at every step-th cell of a piece, from `first` on. */
#define PS_COMBINE(cell, inputs, outputs, least_terms, first, step)                                                    \
    PS_INLINE void cell##_piece(const ps_args *a, int64_t k, int64_t j, int64_t lo, int64_t hi)                        \
    {                                                                                                                  \
        const int64_t row = k * a->stride[0] + j * a->stride[1], i0 = first, c = row + i0;                             \
        const int none = !(least_terms) && !a->terms, streaming = (step) == 1 && a->streaming;                         \
        const ps_real w = none ? (ps_real) - 1 : (ps_real)a->weight[0], scale = (ps_real)a->scale;                     \
        const ps_real *term[outputs], *add[outputs];                                                                   \
        ps_real buffer[outputs][PS_PIECE], sum[outputs][PS_PIECE], *to[outputs];                                       \
        for (int f = 0; f < outputs; f++) {                                                                            \
            to[f] = streaming ? buffer[f] : (ps_real *)a->field[inputs + f] + c;                                       \
            term[f] = none ? ps_no_term : PS_INPUT(a, inputs + outputs + f) + c;                                       \
            add[f] = a->terms > 1 ? sum[f] : ps_no_term;                                                               \
            ps_increments(a, inputs + outputs + f, outputs, c, hi - i0, step, sum[f]);                                 \
        }                                                                                                              \
        PS_INDEPENDENT                                                                                                 \
        for (int64_t i = i0; i < hi; i += step) {                                                                      \
            ps_real value[outputs];                                                                                    \
            cell(a, row + i, k, j, i, value);                                                                          \
            for (int f = 0; f < outputs; f++)                                                                          \
                to[f][i - i0] = fma(w, term[f][i - i0], fma(scale, value[f], add[f][i - i0]));                         \
        }                                                                                                              \
        for (int f = 0; f < outputs && streaming; f++) ps_stream((ps_real *)a->field[inputs + f] + c, to[f], hi - i0); \
    }                                                                                                                  \
    PS_KERNEL(cell, inputs, outputs, least_terms)

#define PS_KERNEL(cell, inputs, outputs, least_terms)                                                                  \
    PS_EXPORT ps_kernel PS_NAME(cell);                                                                                 \
    int PS_NAME(cell)(const ps_args *a) { return ps_pieces(a, inputs, outputs, least_terms, cell##_piece); }

/* out_f = weight[0] * term_0f + sum_j>0 weight[j] * (term_jf - term_0f) + scale * value_f, of one term or more. */
#define PS_UPDATE(cell, inputs, outputs) PS_COMBINE(cell, inputs, outputs, 1, lo, 1)

/* The same, also without terms, at the cells of one colour. */
#define PS_COLOUR(cell, inputs, outputs) PS_COMBINE(cell, inputs, outputs, 0, lo + ps_to_colour(a, k, j, lo), 2)

/* The same, also without terms, of inputs on another grid. */
#define PS_TRANSFER(cell, inputs, outputs) PS_COMBINE(cell, inputs, outputs, 0, lo, 1)

/* out_f = value_f. */
#define PS_DEFINE(cell, inputs, outputs)                                                                               \
    PS_INLINE void cell##_piece(const ps_args *a, int64_t k, int64_t j, int64_t lo, int64_t hi)                        \
    {                                                                                                                  \
        const int64_t row = k * a->stride[0] + j * a->stride[1];                                                       \
        PS_INDEPENDENT                                                                                                 \
        for (int64_t i = lo; i < hi; i++) {                                                                            \
            ps_real value[outputs];                                                                                    \
            cell(a, row + i, k, j, i, value);                                                                          \
            for (int f = 0; f < outputs; f++) ((ps_real *)a->field[inputs + f])[row + i] = value[f];                   \
        }                                                                                                              \
    }                                                                                                                  \
    PS_KERNEL(cell, inputs, outputs, 0)

#endif
