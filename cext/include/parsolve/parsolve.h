/* parsolve.h -- the whole ABI of the compiled core: plain C11, shared by CPU, CUDA and run-time compiled kernels.
 *
 * Axes are ordered (z, y, x) as in NumPy; x is contiguous.  A box is an index range [lo, hi) in owned cells of a
 * subdomain: ghost cells have negative indices or indices beyond the owned ones.  All fields of a subdomain share one
 * layout, so one index c = k*stride[0] + j*stride[1] + i addresses the same cell in each of them.
 */
#ifndef PARSOLVE_H
#define PARSOLVE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PS_ABI 7
#define PS_MAX_FIELDS 256
#define PS_MAX_COEFFICIENTS 128
#define PS_MAX_TERMS 12
#define PS_LINE 64                               /* bytes of a cache line */
#define PS_PIECES(n) ((n) < 512 ? 1 : (n) / 256) /* pieces of a row of n cells, 256 or more each */

/* Status of every entry point. */
enum { PS_OK = 0, PS_BAD_BOX = 1, PS_BAD_ARGUMENT = 2, PS_DEVICE = 3 };

/* Arguments of a kernel over a box.
 * An update kernel of n fields computes, at each cell of the box,
 *     out_f = weight[0] * term_0f + sum_j>0 weight[j] * (term_jf - term_0f) + scale * rate_f(inputs),   f < n, j < terms,
 * so that weight[0] is the sum of all weights and a constant stays as it is, to the bit, where that is 1,
 * with pointers in field[]: inputs, then the n outputs, then the terms, term by term.
 * term 0 may be the same array as the output; no other term and no input may.
 * A define kernel computes out_f = value_f(inputs); weight and scale are not read, terms is 0.
 * A colour kernel is an update of the cells with (k + j + i) % 2 == colour, global indices; it may have no terms, and an
 * input that is read at neighbours across faces may be an output.
 * A transfer kernel is an update, with or without terms, whose inputs are in the layout of another grid.
 */
typedef struct ps_args {
    int64_t lo[3], hi[3];
    int64_t stride[3]; /* elements from a cell to its neighbour along z, y, x */
    int64_t offset[3]; /* global index of owned cell (0, 0, 0) */
    int64_t period[3]; /* global cells of a periodic axis, 0 of another */
    double lower[3];   /* coordinate of the lower face of global cell 0 */
    double spacing[3];
    double time;
    double scale;
    int64_t terms;
    double weight[PS_MAX_TERMS];
    double coefficient[PS_MAX_COEFFICIENTS];
    void *stream;      /* CUDA stream; not used on a CPU */
    const void *ahead; /* what a CPU fetches meanwhile: so many lines with each piece of a row; or NULL */
    int64_t ahead_lines;
    int64_t streaming; /* outputs will not be read soon: a CPU writes them past its caches */
    int64_t colour;
    int64_t other_stride[3], other_offset[3]; /* of a transfer's inputs */
    int64_t finer[3], coarser[3]; /* how many times the outputs' cells are halved or doubled for the inputs' */
    void *field[PS_MAX_FIELDS];   /* address of owned cell (0, 0, 0); last, as most kernels have few */
} ps_args;

/* A copy of arguments with the first n fields. */
static inline void ps_copy_args(ps_args *to, const ps_args *from, int64_t n)
{
    memcpy(to, from, offsetof(ps_args, field) + (size_t)n * sizeof *from->field);
}

/* The only kernel signature: interior, shell, tile, ghost slab and subdomain are all boxes. */
typedef int ps_kernel(const ps_args *args);

/* target = factor * source over a box; pack, unpack and periodic wrap are lists of these (factor -1: anti-periodic). */
typedef struct ps_copy {
    const void *source;
    void *target;
    int64_t extent[3];
    int64_t source_stride[3], target_stride[3];
    double factor;
} ps_copy;

#define PS_MAX_DEPTH 8
#define PS_MAX_POINTS 8

/* Physical ghosts of one side of one field:
 *     ghost_k = sum_j weight[k][j] * u_j + value_weight[k] * value,   k < depth, j < points,
 * u_j the j-th owned cell from the face, ghost_k the k-th cell beyond it.
 * value is a constant, or an array over the (two) tangential axes.
 * Where a and b of a u + b du/dn = value vary along the face, a and b are such arrays too, the weights are those of a given
 * face value f, and f = (value + b sum_j slope[j] u_j) / (a - b slope_value), with -du/dn = sum_j slope[j] u_j + slope_value f.
 */
typedef struct ps_ghost {
    void *field;          /* owned cell (0, 0, 0) */
    int64_t axis;         /* 0 = z, 1 = y, 2 = x */
    int64_t first;        /* index along axis of the owned cell at the face */
    int64_t inward;       /* +1 at a lower face, -1 at an upper one */
    int64_t lo[3], hi[3]; /* tangential range; not read on the axis itself */
    int64_t stride[3];
    int64_t depth, points;
    double weight[PS_MAX_DEPTH][PS_MAX_POINTS];
    double value_weight[PS_MAX_DEPTH];
    double constant;
    const double *value; /* NULL: the constant; else the value at (lo, lo, lo) */
    int64_t value_stride[3];
    const double *a, *b; /* NULL: they are in the weights */
    double slope[PS_MAX_POINTS], slope_value;
} ps_ghost;

/* The largest and smallest value, and the first cell that is not finite (hi[0] if all are). */
typedef struct ps_extrema {
    double minimum, maximum;
    int64_t bad[3];
} ps_extrema;

/* An exact sum: digit d counts 2^(32 d - PS_SUM_FRACTION); the last but one takes the sign, the last counts values that are
 * not finite. */
#define PS_SUM_DIGITS 136
#define PS_SUM_FRACTION 2176
#endif
