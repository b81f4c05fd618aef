/* cells.h -- what a cell body may use, the same on CPU and GPU.
 *
 * A cell body is a plain function of one cell, written PS_BODY(name) { ... }: it reads its inputs at c and at neighbours
 * of c and sets one value per output.  launch_cpu.h or launch_cuda.h makes the loop.
 * PS_REAL is the type of the values (double or float), PS_TYPE the ending of the exported names (f64 or f32).
 */
#ifndef PARSOLVE_CELLS_H
#define PARSOLVE_CELLS_H

#include "parsolve.h"

#ifdef __CUDACC__
#include <cmath>
#define PS_CELL static __device__ __forceinline__
#define PS_UNUSED
#else
#include <tgmath.h>
#define PS_CELL static inline __attribute__((always_inline, unused))
#define PS_UNUSED __attribute__((unused))
#endif

/* The head of a cell body: cell c = (k, j, i) of the subdomain; out gets one value per output. */
#define PS_BODY(name)                                                                                                  \
    PS_CELL void name(const ps_args *a PS_UNUSED, int64_t c PS_UNUSED, int64_t k PS_UNUSED, int64_t j PS_UNUSED,       \
                      int64_t i PS_UNUSED, ps_real *out)

#ifndef PS_REAL
#define PS_REAL double
#define PS_TYPE f64
#endif
typedef PS_REAL ps_real;

#define PS_JOIN_(cell, type) ps_##cell##_##type
#define PS_JOIN(cell, type) PS_JOIN_(cell, type)
#define PS_NAME(cell) PS_JOIN(cell, PS_TYPE)

#define PS_INPUT(a, n) ((const ps_real *)(a)->field[n])
#define PS_COEFFICIENT(a, n) ((ps_real)(a)->coefficient[n])
/* Integral n over the domain, known before the kernel is launched; from the end of the coefficients. */
#define PS_INTEGRAL(a, n) ((ps_real)(a)->coefficient[PS_MAX_COEFFICIENTS - 1 - (n)])
/* Coordinate of the centre of the cell with index n along axis d; beyond a periodic end, of the cell that it stands for. */
#define PS_COORDINATE(a, d, n)                                                                                         \
    ((ps_real)((a)->lower[d] + (ps_wrapped((a)->offset[d] + (n), (a)->period[d]) + 0.5) * (a)->spacing[d]))

/* n modulo the period, however far it is beyond an end: passes have ghosts deeper than a small grid. */
PS_CELL double ps_wrapped(int64_t n, int64_t period)
{
    const double turns = floor(((double)n + 0.5) * (period ? 1.0 / (double)period : 0.0));
    return (double)n - turns * (double)period;
}

/* How many cells from (k, j, i) on along x the next one of the colour is: 0 or 1. */
PS_CELL int64_t ps_to_colour(const ps_args *a, int64_t k, int64_t j, int64_t i)
{
    return (a->offset[0] + k + a->offset[1] + j + a->offset[2] + i + a->colour) & 1;
}

/* In a transfer the outputs are on one grid, of which (k, j, i) is a cell, and the inputs on another that is finer or
 * coarser along some axes.  PS_OTHER: the inputs' cell that holds that cell, or the first of those that it holds.
 * ps_child: from there to the second one along axis d.  ps_beside: from there to the neighbour on the side where cell n
 * lies.  Both are 0 along axes on which that cannot be.  Right shifts are floor divisions, of negative numbers too. */
#define PS_OTHER(a, k, j, i)                                                                                           \
    (ps_other(a, 0, k) * (a)->other_stride[0] + ps_other(a, 1, j) * (a)->other_stride[1] + ps_other(a, 2, i))

PS_CELL int64_t ps_other(const ps_args *a, int d, int64_t n)
{
    return ((a->offset[d] + n) * ((int64_t)1 << a->finer[d]) >> a->coarser[d]) - a->other_offset[d];
}

PS_CELL int64_t ps_child(const ps_args *a, int d) { return a->finer[d] ? a->other_stride[d] : 0; }

PS_CELL int64_t ps_beside(const ps_args *a, int d, int64_t n)
{
    if (!a->coarser[d]) return 0;
    const int64_t upper = (a->offset[d] + n) >> (a->coarser[d] - 1) & 1; /* half of the inputs' cell */
    return (2 * upper - 1) * a->other_stride[d];
}

/* What is not a number stays so.  Two choices one after the other, as compilers make branches of "or". */
PS_CELL ps_real ps_min(ps_real s, ps_real t)
{
    const ps_real least = s < t ? s : t;
    return s != s ? s : least;
}
PS_CELL ps_real ps_max(ps_real s, ps_real t)
{
    const ps_real most = s > t ? s : t;
    return s != s ? s : most;
}
PS_CELL ps_real ps_sign(ps_real s) { return s > 0 ? (ps_real)1 : s < 0 ? (ps_real)-1 : (ps_real)0; }

#endif
