/* random.h -- standard normal numbers that are functions of (seed, cell, step) alone, the same on CPU and GPU.
 *
 * 128 bits of Philox4x32-10 (Salmon et al., SC 2011), counted by the cell's indices along x, y, z and the step, are two
 * uniform numbers of 52 bits, and those a normal one by Box and Muller (Ann. Math. Stat. 29 (1958) 610).  There are no
 * branches, and no functions of a C library, whose last bits differ: the logarithm is that of fdlibm, the sine its series,
 * of operations that are rounded correctly everywhere.  equations/white.py is the same in NumPy.
 */
#ifndef PARSOLVE_RANDOM_H
#define PARSOLVE_RANDOM_H

#include "cells.h"

/* The step that a kernel is of, and what its noise is multiplied with: where the first two integrals would be. */
#define PS_STEP(a) ((a)->coefficient[PS_MAX_COEFFICIENTS - 1])
#define PS_STRENGTH(a) ((a)->coefficient[PS_MAX_COEFFICIENTS - 2])

PS_CELL uint64_t ps_bits(double s)
{
    uint64_t bits;
    memcpy(&bits, &s, sizeof bits);
    return bits;
}

PS_CELL double ps_double(uint64_t bits)
{
    double s;
    memcpy(&s, &bits, sizeof s);
    return s;
}

/* The low 32 bits of cell n + offset along axis d; of a periodic axis of the cell that is meant. */
PS_CELL uint32_t ps_index(const ps_args *a, int d, int64_t n)
{
    return (uint32_t)ps_bits(ps_wrapped(a->offset[d] + n, a->period[d]) + 6755399441055744.0); /* 1.5 * 2^52 */
}

/* Ln of s, normal and positive. */
PS_CELL double ps_log(double s)
{
    const uint64_t scaled = ps_bits(s) + 0x00095f6200000000; /* so that mantissas are in [sqrt(1/2), sqrt(2)) */
    const double exponent = ps_double((scaled >> 52) | 0x4330000000000000) - 4503599627371519.0; /* 2^52 + 1023 */
    const double f = ps_double((scaled & 0x000fffffffffffff) + 0x3fe6a09e00000000) - 1.0;
    const double ratio = f / (f + 2.0), z = ratio * ratio, half = 0.5 * f * f;
    double r = 1.479819860511658591e-01;
    r = fma(r, z, 1.531383769920937332e-01);
    r = fma(r, z, 1.818357216161805012e-01);
    r = fma(r, z, 2.222219843214978396e-01);
    r = fma(r, z, 2.857142874366239149e-01);
    r = fma(r, z, 3.999999999940941908e-01);
    r = fma(r, z, 6.666666666666735130e-01);
    const double low = fma(exponent, 1.90821492927058770002e-10, ratio * fma(r, z, half));
    return fma(exponent, 6.93147180369123816490e-01, f - (half - low));
}

/* Sine of pi y, |y| <= 1/2. */
PS_CELL double ps_sinpi(double y)
{
    const double z = y * y;
    double r = 5.3926646626081290e-10;
    r = fma(r, z, -2.2948428997269873e-08);
    r = fma(r, z, 7.9520540014755126e-07);
    r = fma(r, z, -2.1915353447830217e-05);
    r = fma(r, z, 4.6630280576761255e-04);
    r = fma(r, z, -7.3704309457143504e-03);
    r = fma(r, z, 8.2145886611128233e-02);
    r = fma(r, z, -5.9926452932079211e-01);
    r = fma(r, z, 2.5501640398773455e+00);
    r = fma(r, z, -5.1677127800499703e+00);
    return y * fma(r, z, 3.1415926535897931e+00);
}

/* A normal number of two words: r sin(pi y), r^2 exponential, y uniform in (-1/2, 1/2). */
PS_CELL double ps_normal(uint64_t first, uint64_t second)
{
    const double u = 2.0 - ps_double((first >> 12) | 0x3ff0000000000000);
    const double y = ps_double((second >> 12) | 0x3ff0000000000000) - 1.5 + 0x1p-53;
    return sqrt(-2.0 * ps_log(u)) * ps_sinpi(y);
}

/* The noise of a seed < 2^53 at a cell, times the strength of the step. */
PS_CELL ps_real ps_white(const ps_args *a, uint64_t seed, int64_t k, int64_t j, int64_t i)
{
    const uint64_t step = (uint64_t)PS_STEP(a);
    uint32_t x = ps_index(a, 2, i), y = ps_index(a, 1, j), z = ps_index(a, 0, k), n = (uint32_t)step;
    uint32_t low = (uint32_t)seed, high = (uint32_t)(seed >> 32) | (uint32_t)(step >> 32) << 21;
    for (int round = 0; round < 10; round++) {
        const uint64_t p = (uint64_t)0xD2511F53 * x, q = (uint64_t)0xCD9E8D57 * z;
        x = (uint32_t)(q >> 32) ^ y ^ low, y = (uint32_t)q;
        z = (uint32_t)(p >> 32) ^ n ^ high, n = (uint32_t)p;
        low += 0x9E3779B9, high += 0xBB67AE85;
    }
    return (ps_real)(PS_STRENGTH(a) * ps_normal((uint64_t)y << 32 | x, (uint64_t)n << 32 | z));
}

#endif
