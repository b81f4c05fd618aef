/* support.c -- what is not an equation: box copies, physical ghosts, extrema, histograms, error norms.  Compiled once per precision. */
#include <parsolve/cells.h>

#include <stddef.h>

#define PS_EXPORT __attribute__((visibility("default")))
#define PS_PIECE 512 /* cells of a row that are worked on together, in cache */
#define PS_TABLES 4  /* of counts */
#define PS_FEW 512   /* counts of a table */
#define PS_LANES 32  /* cells of a row that are compared at once */

PS_EXPORT int PS_NAME(copy)(const ps_copy *list, int64_t n);
PS_EXPORT int PS_NAME(ghost)(const ps_ghost *list, int64_t n);
PS_EXPORT int PS_NAME(extrema)(const ps_args *args, ps_extrema *result);
PS_EXPORT int PS_NAME(histogram)(const ps_args *args, const double *edges, int64_t bins, int64_t *counts);
PS_EXPORT int PS_NAME(error_norm)(const ps_args *args, double *result);
PS_EXPORT int PS_NAME(fma)(const ps_real *a, const ps_real *b, const ps_real *c, ps_real *out, int64_t n);

/* A line of a copy. */
static inline void copy_line(ps_real *t, int64_t dt, const ps_real *s, int64_t ds, int64_t n, ps_real factor)
{
    if (factor != 1)
        for (int64_t i = 0; i < n; i++) t[i * dt] = factor * s[i * ds];
    else if (ds == 1 && dt == 1)
        __builtin_memcpy(t, s, (size_t)n * sizeof *t);
    else
        for (int64_t i = 0; i < n; i++) t[i * dt] = s[i * ds];
}

/* Copy each box of the list, along y where rows are short, as the ends of rows are. */
int PS_NAME(copy)(const ps_copy *list, int64_t n)
{
    for (const ps_copy *p = list; p < list + n; p++) {
        const int along = p->extent[2] <= 8 && p->extent[1] > 1 ? 1 : 2, across = 3 - along;
        for (int64_t k = 0; k < p->extent[0]; k++)
            for (int64_t j = 0; j < p->extent[across]; j++)
                copy_line((ps_real *)p->target + k * p->target_stride[0] + j * p->target_stride[across],
                          p->target_stride[along],
                          (const ps_real *)p->source + k * p->source_stride[0] + j * p->source_stride[across],
                          p->source_stride[along], p->extent[along], (ps_real)p->factor);
    }
    return PS_OK;
}

/* Ghost cells of one line normal to the face, at cell c of the field and value v of the boundary. */
static void ghost_line(const ps_ghost *g, int64_t c, double v)
{
    ps_real *u = (ps_real *)g->field + c;
    const int64_t normal = g->inward * g->stride[g->axis];
    for (int64_t k = 0; k < g->depth; k++) {
        ps_real sum = (ps_real)(g->value_weight[k] * v);
        for (int64_t p = 0; p < g->points; p++) sum += (ps_real)g->weight[k][p] * u[p * normal];
        u[-(k + 1) * normal] = sum;
    }
}

/* The value at the face that meets a u + b du/dn = v. */
static double face_value(const ps_ghost *g, int64_t c, double v, double a, double b)
{
    const ps_real *u = (const ps_real *)g->field + c;
    double slope = 0;
    for (int64_t p = 0; p < g->points; p++) slope += g->slope[p] * (double)u[p * g->inward * g->stride[g->axis]];
    return (v + b * slope) / (a - b * g->slope_value);
}

/* Fill the physical ghosts of each side in the list, in order. */
int PS_NAME(ghost)(const ps_ghost *list, int64_t n)
{
    for (const ps_ghost *g = list; g < list + n; g++) {
        int64_t lo[3], hi[3];
        for (int d = 0; d < 3; d++) lo[d] = g->lo[d], hi[d] = g->hi[d];
        lo[g->axis] = g->first, hi[g->axis] = g->first + 1;
        for (int64_t k = lo[0]; k < hi[0]; k++)
            for (int64_t j = lo[1]; j < hi[1]; j++)
                for (int64_t i = lo[2]; i < hi[2]; i++) {
                    const int64_t c = k * g->stride[0] + j * g->stride[1] + i * g->stride[2];
                    const int64_t at = (k - lo[0]) * g->value_stride[0] + (j - lo[1]) * g->value_stride[1]
                                       + (i - lo[2]) * g->value_stride[2];
                    const double v = g->value ? g->value[at] : g->constant;
                    ghost_line(g, c, g->a ? face_value(g, c, v, g->a[at], g->b[at]) : v);
                }
    }
    return PS_OK;
}

/* The first cell of input 0 in the box that is not finite; hi[0] if all are. */
static void first_bad(const ps_args *a, int64_t *bad)
{
    for (int d = 0; d < 3; d++) bad[d] = a->hi[0];
    for (int64_t k = a->lo[0]; k < a->hi[0]; k++)
        for (int64_t j = a->lo[1]; j < a->hi[1]; j++) {
            const ps_real *row = PS_INPUT(a, 0) + k * a->stride[0] + j * a->stride[1];
            for (int64_t i = a->lo[2]; i < a->hi[2]; i++)
                if (!isfinite(row[i])) {
                    bad[0] = k, bad[1] = j, bad[2] = i;
                    return;
                }
        }
}

/* Look at n values, one a lane. */
PS_CELL void extrema_of(const ps_real *u, int64_t n, ps_real *low, ps_real *high, ps_real *zero)
{
    for (int64_t l = 0; l < n; l++) {
        low[l] = u[l] < low[l] ? u[l] : low[l];
        high[l] = u[l] > high[l] ? u[l] : high[l];
        zero[l] += u[l] - u[l];
    }
}

/* Minimum, maximum and first cell that is not finite of input 0 over the box.  Lanes, each with some of the cells of a row,
 * are what compilers make vectors of; a NaN is neither smaller nor larger, so the order of the cells is not seen. */
int PS_NAME(extrema)(const ps_args *args, ps_extrema *result)
{
    const ps_args a = *args;
    ps_real low[PS_LANES], high[PS_LANES], zero[PS_LANES]; /* zero stays 0 as long as every value is finite */
    for (int l = 0; l < PS_LANES; l++) low[l] = (ps_real)INFINITY, high[l] = -(ps_real)INFINITY, zero[l] = 0;
    for (int64_t k = a.lo[0]; k < a.hi[0]; k++)
        for (int64_t j = a.lo[1]; j < a.hi[1]; j++) {
            const ps_real *u = PS_INPUT(&a, 0) + k * a.stride[0] + j * a.stride[1];
            int64_t i = a.lo[2];
            for (; i + PS_LANES <= a.hi[2]; i += PS_LANES) extrema_of(u + i, PS_LANES, low, high, zero);
            extrema_of(u + i, a.hi[2] - i, low, high, zero);
        }
    for (int l = 1; l < PS_LANES; l++) {
        low[0] = low[l] < low[0] ? low[l] : low[0];
        high[0] = high[l] > high[0] ? high[l] : high[0];
        zero[0] += zero[l];
    }
    result->minimum = low[0], result->maximum = high[0];
    for (int d = 0; d < 3; d++) result->bad[d] = a.hi[0];
    if (!(zero[0] == 0)) first_bad(&a, result->bad);
    return PS_OK;
}

/* The bins of n values, between 0 and the last, by their distance from the first edge: rounded, so it may be one beside. */
PS_CELL void guess_bins(const ps_real *u, int64_t n, double low, double scale, double last, int32_t *guess)
{
    for (int64_t i = 0; i < n; i++) {
        const double at = ((double)u[i] - low) * scale, above = at > 0 ? at : 0;
        guess[i] = (int32_t)(above < last ? above : last);
    }
}

/* The bin of a value that is between the first and the last edge: it begins at the value or below. */
static inline int64_t bin_of(double v, const double *edges, int64_t bins, int64_t n)
{
    while (n > 0 && v < edges[n]) n--;
    while (n < bins - 1 && v >= edges[n + 1]) n++;
    return n;
}

/* Add to counts the cells of the box whose value of input 0 is in each bin, between bins + 1 edges that increase; behind
 * them the cells of other values, and of those that are not finite.  Few bins are counted in several tables in turn, so
 * that a count need not wait for the one before. */
int PS_NAME(histogram)(const ps_args *args, const double *edges, int64_t bins, int64_t *counts)
{
    const ps_args a = *args;
    if (bins < 1 || bins > INT32_MAX) return PS_BAD_ARGUMENT;
    const double scale = (double)bins / (edges[bins] - edges[0]);
    const int few = bins + 2 <= PS_FEW;
    int64_t own[PS_TABLES][PS_FEW] = {{0}}, *to[PS_TABLES];
    int32_t guess[PS_PIECE];
    for (int t = 0; t < PS_TABLES; t++) to[t] = few ? own[t] : counts;
    for (int64_t k = a.lo[0]; k < a.hi[0]; k++)
        for (int64_t j = a.lo[1]; j < a.hi[1]; j++) {
            const ps_real *row = PS_INPUT(&a, 0) + k * a.stride[0] + j * a.stride[1];
            for (int64_t first = a.lo[2]; first < a.hi[2]; first += PS_PIECE) {
                const int64_t left = a.hi[2] - first, cells = left < PS_PIECE ? left : PS_PIECE;
                const ps_real *u = row + first;
                guess_bins(u, cells, edges[0], scale, (double)(bins - 1), guess);
                for (int64_t i = 0; i < cells; i++) { /* by numbers, as no processor would guess these branches */
                    const double v = (double)u[i];
                    const int64_t n = guess[i], is_in = (v >= edges[0]) & (v <= edges[bins]);
                    const int64_t beside = (v < edges[n]) | ((v >= edges[n + 1]) & (n < bins - 1));
                    const int64_t other = bins + !isfinite(v), place = is_in ? n : other;
                    to[i % PS_TABLES][is_in & beside ? bin_of(v, edges, bins, n) : place]++;
                }
            }
        }
    for (int64_t n = 0; few && n < bins + 2; n++)
        for (int t = 0; t < PS_TABLES; t++) counts[n] += own[t][n];
    return PS_OK;
}

/* e = weight[0] * term_0 + sum_j>0 weight[j] * (term_j - term_0) + scale * k along n cells from c on, with the bits of an
 * update kernel; or scale * k. */
static void combine(const ps_args *a, int64_t c, int64_t n, ps_real *e)
{
    const ps_real *k = PS_INPUT(a, 0) + c, *base = a->terms ? PS_INPUT(a, 3) + c : k;
    const ps_real scale = (ps_real)a->scale, first = a->terms ? (ps_real)a->weight[0] : 0;
    for (int64_t i = 0; i < n; i++) e[i] = 0;
    for (int64_t t = 1; t < a->terms; t++) {
        const ps_real *term = PS_INPUT(a, 3 + t) + c, w = (ps_real)a->weight[t];
        for (int64_t i = 0; i < n; i++) e[i] = fma(w, term[i] - base[i], e[i]);
    }
    for (int64_t i = 0; i < n; i++) e[i] = fma(first, base[i], fma(scale, k[i], e[i]));
}

/* max |e| / (coefficient[0] + coefficient[1] * max(|u|, |v|)) over the box; infinity where not finite.
 * e as above; inputs k, u, v, then the terms, of which there may be none.
 * A maximum does not depend on the order, so every decomposition finds the same bits.  It is taken of the bits: those of
 * doubles without sign are ordered as the values are, then infinity, then what is no number. */
int PS_NAME(error_norm)(const ps_args *args, double *result)
{
    const ps_args a = *args;
    const double absolute = a.coefficient[0], relative = a.coefficient[1];
    ps_real e[PS_PIECE];
    int64_t most = 0;
    if (a.terms < 0 || a.terms > PS_MAX_TERMS) return PS_BAD_ARGUMENT;
    for (int64_t k = a.lo[0]; k < a.hi[0]; k++)
        for (int64_t j = a.lo[1]; j < a.hi[1]; j++)
            for (int64_t first = a.lo[2]; first < a.hi[2]; first += PS_PIECE) {
                const int64_t c = k * a.stride[0] + j * a.stride[1] + first;
                const int64_t left = a.hi[2] - first, n = left < PS_PIECE ? left : PS_PIECE;
                const ps_real *u = PS_INPUT(&a, 1) + c, *v = PS_INPUT(&a, 2) + c;
                combine(&a, c, n, e);
                for (int64_t i = 0; i < n; i++) {
                    const double before = fabs((double)u[i]), after = fabs((double)v[i]);
                    const double ratio = fabs((double)e[i]) / (absolute + relative * (before > after ? before : after));
                    int64_t bits;
                    __builtin_memcpy(&bits, &ratio, sizeof bits);
                    bits &= INT64_MAX;
                    most = bits > most ? bits : most;
                }
            }
    __builtin_memcpy(result, &most, sizeof *result);
    if (!(*result < INFINITY)) *result = INFINITY;
    return PS_OK;
}

/* out = a b + c with one rounding, of arrays of n values. */
int PS_NAME(fma)(const ps_real *a, const ps_real *b, const ps_real *c, ps_real *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = fma(a[i], b[i], c[i]);
    return PS_OK;
}
