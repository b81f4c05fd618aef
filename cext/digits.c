/* digits.c -- the accumulator of exact, order-independent sums.
 *
 * A sum is an integer times 2^-PS_SUM_FRACTION, less than the last bit of any product of two doubles, in digits of base
 * 2^32.  They are held in int64, so that 2^30 numbers can be added before carries are due; digits of several threads or
 * ranks are added by any integer reduction.  The idea is that of the extended-fixed-point sum of Hallberg & Adcroft,
 * Parallel Computing 40 (2014) 140, over the whole range (Kulisch's accumulator): nothing overflows, nothing is lost.
 */
#include "digits.h"

#define PS_EXPORT __attribute__((visibility("default")))
#define BASE_BITS 32
#define PARTS (PS_SUM_DIGITS - 1) /* the last digit counts what is not finite */

PS_EXPORT int ps_carry(int64_t *digits);
PS_EXPORT int ps_reduce(ps_sum_kernel *kernel, const ps_args *args, int64_t *digits, int64_t threads);

/* Bring each digit into [0, 2^32), the last but one taking the sign. */
int ps_carry(int64_t *digits)
{
    for (int d = 0; d + 1 < PARTS; d++) {
        const int64_t carry = digits[d] >> BASE_BITS;
        digits[d] -= carry * ((int64_t)1 << BASE_BITS);
        digits[d + 1] += carry;
    }
    return PS_OK;
}

/* Add sign * magnitude * 2^power: less than 2^32 to each of three digits. */
void ps_add_integer(int64_t *digits, int64_t sign, uint64_t magnitude, int power)
{
    const int d = (power + PS_SUM_FRACTION) / BASE_BITS, s = (power + PS_SUM_FRACTION) % BASE_BITS;
    const uint64_t low = magnitude << s;                 /* bits 0..63 of magnitude << s */
    const uint64_t high = s ? magnitude >> (64 - s) : 0; /* the rest */
    digits[d] += sign * (int64_t)(low & 0xffffffffULL);
    digits[d + 1] += sign * (int64_t)(low >> BASE_BITS);
    digits[d + 2] += sign * (int64_t)high;
}

/* The integer m of |value| = m * 2^power. */
static uint64_t mantissa(double value, int *power)
{
    const uint64_t bits = ps_bits(value), fraction = bits & 0xfffffffffffffULL;
    const int exponent = (int)(bits >> 52 & 0x7ff);
    *power = (exponent ? exponent : 1) - 1075;
    return exponent ? fraction | 1ULL << 52 : fraction;
}

/* Add a value, or count it if it is not finite. */
void ps_add_value(int64_t *digits, double value)
{
    int power;
    const uint64_t m = mantissa(value, &power);
    if (value - value == 0)
        ps_add_integer(digits, ps_bits(value) >> 63 ? -1 : 1, m, power);
    else
        digits[PARTS]++;
}

/* Add x * y, exactly: less than 2^35 to each digit; or count it if one of them is not finite. */
void ps_add_product(int64_t *digits, double x, double y)
{
    if (!(x - x == 0 && y - y == 0)) {
        digits[PARTS]++;
        return;
    }
    int a, b;
    const uint64_t m = mantissa(x, &a), n = mantissa(y, &b);
    const uint64_t m0 = m & 0xffffffffULL, m1 = m >> BASE_BITS, n0 = n & 0xffffffffULL, n1 = n >> BASE_BITS;
    const int64_t sign = (ps_bits(x) ^ ps_bits(y)) >> 63 ? -1 : 1;
    ps_add_integer(digits, sign, m0 * n0, a + b);
    ps_add_integer(digits, sign, m0 * n1, a + b + BASE_BITS);
    ps_add_integer(digits, sign, m1 * n0, a + b + BASE_BITS);
    ps_add_integer(digits, sign, m1 * n1, a + b + 2 * BASE_BITS);
}

/* Add what the box holds, by several threads, each of which has a piece along the first axis that is long enough. */
int ps_reduce(ps_sum_kernel *kernel, const ps_args *args, int64_t *digits, int64_t threads)
{
    const int d = args->hi[0] - args->lo[0] >= threads ? 0 : 1;
    const int64_t lo = args->lo[d], n = args->hi[d] - lo;
    if (threads < 2 || n < threads) return kernel(args, digits);
#ifdef _OPENMP
#pragma omp parallel for schedule(static, 1) num_threads((int)threads)
#endif
    for (int64_t t = 0; t < threads; t++) {
        int64_t own[PS_SUM_DIGITS] = {0};
        ps_args a = *args;
        a.lo[d] = lo + n * t / threads;
        a.hi[d] = lo + n * (t + 1) / threads;
        kernel(&a, own);
        for (int i = 0; i < PS_SUM_DIGITS; i++) __atomic_fetch_add(digits + i, own[i], __ATOMIC_RELAXED);
    }
    return PS_OK;
}
