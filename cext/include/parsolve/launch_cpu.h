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

/* out += weight * term along the row, for the terms after the first; the row is in cache. */
static inline __attribute__((always_inline)) void ps_add_terms(const ps_args *a, int64_t row, int64_t first,
                                                               int64_t last, int inputs, int outputs)
{
    for (int64_t t = 1; t < a->terms; t++)
        for (int f = 0; f < outputs; f++) {
            ps_real *out = (ps_real *)a->field[inputs + f] + row;
            const ps_real *term = (const ps_real *)a->field[inputs + outputs + t * outputs + f] + row;
            const ps_real w = (ps_real)a->weight[t];
            PS_INDEPENDENT
            for (int64_t i = first; i < last; i++) out[i] = fma(w, term[i], out[i]);
        }
}

/* A kernel out_f = sum_j weight[j] * term_jf + scale * value_f from the body of one cell. */
#define PS_UPDATE(cell, inputs, outputs)                                                                               \
    PS_EXPORT ps_kernel PS_NAME(cell);                                                                                 \
    int PS_NAME(cell)(const ps_args *args)                                                                             \
    {                                                                                                                  \
        const ps_args a = *args; /* a copy: nothing aliases it */                                                      \
        const ps_real w = (ps_real)a.weight[0], scale = (ps_real)a.scale;                                              \
        if (a.terms < 1 || inputs + (a.terms + 1) * outputs > PS_MAX_FIELDS) return PS_BAD_ARGUMENT;                   \
        PS_ROWS(a, row, inputs + 2 * outputs)                                                                          \
        {                                                                                                              \
            ps_fetch(&ahead_, a.ahead_lines);                                                                          \
            PS_INDEPENDENT                                                                                             \
            for (int64_t i = i0_; i < i1_; i++) {                                                                      \
                ps_real value[outputs];                                                                                \
                cell(&a, row + i, k_, j_, i, value);                                                                   \
                for (int f = 0; f < outputs; f++)                                                                      \
                    ((ps_real *)a.field[inputs + f])[row + i] =                                                        \
                        fma(scale, value[f], w * ((const ps_real *)a.field[inputs + outputs + f])[row + i]);           \
            }                                                                                                          \
            ps_add_terms(&a, row, i0_, i1_, inputs, outputs);                                                          \
        }                                                                                                              \
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
