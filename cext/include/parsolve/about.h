/* about.h -- what the loader asks before it trusts a library: ABI, struct sizes, and the instruction set of this CPU.
 *
 * These are definitions: include it in exactly one translation unit of a library.
 */
#ifndef PARSOLVE_ABOUT_H
#define PARSOLVE_ABOUT_H

#include "pipeline.h"

#include <stddef.h>

#ifndef PS_EXPORT
#define PS_EXPORT __attribute__((visibility("default")))
#endif

PS_EXPORT int64_t ps_abi(void);
PS_EXPORT int64_t ps_layout(int64_t *offsets);
PS_EXPORT int64_t ps_isa(void);

int64_t ps_abi(void) { return PS_ABI; }

/* Sizes of the structs, then the offset of each member; returns how many. */
int64_t ps_layout(int64_t *offsets)
{
#define AT(type, member) (int64_t)offsetof(type, member)
    /* clang-format off */
    const int64_t all[] = {
        sizeof(ps_args), sizeof(ps_copy), sizeof(ps_ghost), sizeof(ps_extrema), sizeof(ps_stage), sizeof(ps_pass), sizeof(ps_mailbox),
        AT(ps_args, lo), AT(ps_args, hi), AT(ps_args, stride), AT(ps_args, offset), AT(ps_args, period),
        AT(ps_args, lower), AT(ps_args, spacing), AT(ps_args, time), AT(ps_args, scale), AT(ps_args, terms),
        AT(ps_args, weight), AT(ps_args, coefficient), AT(ps_args, stream), AT(ps_args, ahead), AT(ps_args, ahead_lines),
        AT(ps_args, streaming), AT(ps_args, colour), AT(ps_args, other_stride), AT(ps_args, other_offset), AT(ps_args, finer),
        AT(ps_args, coarser), AT(ps_args, field),
        AT(ps_copy, source), AT(ps_copy, target), AT(ps_copy, extent), AT(ps_copy, source_stride), AT(ps_copy, target_stride), AT(ps_copy, factor),
        AT(ps_ghost, field), AT(ps_ghost, axis), AT(ps_ghost, first), AT(ps_ghost, inward), AT(ps_ghost, lo), AT(ps_ghost, hi),
        AT(ps_ghost, stride), AT(ps_ghost, depth), AT(ps_ghost, points), AT(ps_ghost, weight), AT(ps_ghost, value_weight),
        AT(ps_ghost, constant), AT(ps_ghost, value), AT(ps_ghost, value_stride),
        AT(ps_ghost, a), AT(ps_ghost, b), AT(ps_ghost, slope), AT(ps_ghost, slope_value),
        AT(ps_extrema, minimum), AT(ps_extrema, maximum), AT(ps_extrema, bad),
        AT(ps_stage, kind), AT(ps_stage, function), AT(ps_stage, lag), AT(ps_stage, lo), AT(ps_stage, hi),
        AT(ps_stage, axis), AT(ps_stage, trigger), AT(ps_stage, args), AT(ps_stage, copy), AT(ps_stage, ghost),
        AT(ps_stage, count), AT(ps_stage, size), AT(ps_stage, worst),
        AT(ps_pass, stages), AT(ps_pass, count), AT(ps_pass, kernels), AT(ps_pass, lo), AT(ps_pass, hi), AT(ps_pass, tile),
        AT(ps_pass, march), AT(ps_pass, strip), AT(ps_pass, fields), AT(ps_pass, field_count), AT(ps_pass, reach), AT(ps_pass, size),
        AT(ps_pass, threads), AT(ps_pass, done),
        AT(ps_mailbox, copy), AT(ps_mailbox, packs), AT(ps_mailbox, unpacks), AT(ps_mailbox, count), AT(ps_mailbox, posted),
        AT(ps_mailbox, own), AT(ps_mailbox, awaited), AT(ps_mailbox, yielding),
    };
    /* clang-format on */
#undef AT
    const int64_t n = (int64_t)(sizeof all / sizeof *all);
    for (int64_t i = 0; i < n; i++) offsets[i] = all[i];
    return n;
}

/* The x86-64 level of this CPU (1, 3 or 4), 0 on another architecture. */
int64_t ps_isa(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    const int v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
                   && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
                   && __builtin_cpu_supports("avx512cd");
    return v3 ? (v4 ? 4 : 3) : 1;
#else
    return 0;
#endif
}

#endif
