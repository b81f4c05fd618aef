/* launch_cuda.h -- THE loop over a box, for a GPU: one thread a cell, the same bodies and the same bits as launch_cpu.h. */
#ifndef PARSOLVE_LAUNCH_CUDA_H
#define PARSOLVE_LAUNCH_CUDA_H

#include "cells.h"

#define PS_EXPORT extern "C" __attribute__((visibility("default")))

/* x fastest over the threads of a warp, so that a row is read in whole cache lines. */
#define PS_THREAD_CELL(a, step, start)                                                                                 \
    const int64_t k_ = (a).lo[0] + (int64_t)blockIdx.z * blockDim.z + threadIdx.z;                                     \
    const int64_t j_ = (a).lo[1] + (int64_t)blockIdx.y * blockDim.y + threadIdx.y;                                     \
    const int64_t i_ = (start) + (step) * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x);                            \
    if (i_ >= (a).hi[2] || j_ >= (a).hi[1] || k_ >= (a).hi[0]) return;                                                 \
    const int64_t c = k_ * (a).stride[0] + j_ * (a).stride[1] + i_;

/* Launch a thread for each cell of the box, or every step-th along x. */
static inline int ps_start(void (*kernel)(ps_args), const ps_args *a, int step)
{
    const dim3 block(64, 4, 1);
    const int64_t nx = (a->hi[2] - a->lo[2] + step - 1) / step, ny = a->hi[1] - a->lo[1], nz = a->hi[0] - a->lo[0];
    if (nx <= 0 || ny <= 0 || nz <= 0) return PS_OK;
    if (nz > 65535 || (ny + 3) / 4 > 65535) return PS_BAD_BOX;
    const dim3 blocks((unsigned)((nx + 63) / 64), (unsigned)((ny + 3) / 4), (unsigned)nz);
    kernel<<<blocks, block, 0, (cudaStream_t)a->stream>>>(*a);
    return cudaGetLastError() == cudaSuccess ? PS_OK : PS_DEVICE;
}

/* Output f at cell c: weight[0] * term_0f + sum_j>0 weight[j] * (term_jf - term_0f) + scale * value. */
PS_CELL void ps_combine(const ps_args *a, int inputs, int outputs, int f, int64_t c, ps_real value)
{
    const int first = inputs + outputs + f;
    const ps_real base = a->terms ? PS_INPUT(a, first)[c] : (ps_real)0,
                  w = a->terms ? (ps_real)a->weight[0] : -(ps_real)1;
    ps_real sum = 0;
    for (int64_t t = 1; t < a->terms; t++)
        sum = fma((ps_real)a->weight[t], PS_INPUT(a, first + t * outputs)[c] - base, sum);
    ((ps_real *)a->field[inputs + f])[c] = fma(w, base, fma((ps_real)a->scale, value, sum));
}

#define PS_COMBINE(cell, inputs, outputs, least_terms, start, step)                                                    \
    static __global__ void cell##_kernel(const ps_args a)                                                              \
    {                                                                                                                  \
        PS_THREAD_CELL(a, step, start)                                                                                 \
        ps_real value[outputs];                                                                                        \
        cell(&a, c, k_, j_, i_, value);                                                                                \
        for (int f = 0; f < outputs; f++) ps_combine(&a, inputs, outputs, f, c, value[f]);                             \
    }                                                                                                                  \
    PS_KERNEL(cell, inputs, outputs, least_terms, step)

#define PS_KERNEL(cell, inputs, outputs, least_terms, step)                                                            \
    PS_EXPORT int PS_NAME(cell)(const ps_args *a)                                                                      \
    {                                                                                                                  \
        if (a->terms < least_terms || inputs + (a->terms + 1) * outputs > PS_MAX_FIELDS) return PS_BAD_ARGUMENT;       \
        return ps_start(cell##_kernel, a, step);                                                                       \
    }

#define PS_UPDATE(cell, inputs, outputs) PS_COMBINE(cell, inputs, outputs, 1, a.lo[2], 1)

#define PS_COLOUR(cell, inputs, outputs)                                                                               \
    PS_COMBINE(cell, inputs, outputs, 0, a.lo[2] + ps_to_colour(&a, k_, j_, a.lo[2]), 2)

#define PS_TRANSFER(cell, inputs, outputs) PS_COMBINE(cell, inputs, outputs, 0, a.lo[2], 1)

#define PS_DEFINE(cell, inputs, outputs)                                                                               \
    static __global__ void cell##_kernel(const ps_args a)                                                              \
    {                                                                                                                  \
        PS_THREAD_CELL(a, 1, a.lo[2])                                                                                  \
        ps_real value[outputs];                                                                                        \
        cell(&a, c, k_, j_, i_, value);                                                                                \
        for (int f = 0; f < outputs; f++) ((ps_real *)a.field[inputs + f])[c] = value[f];                              \
    }                                                                                                                  \
    PS_KERNEL(cell, inputs, outputs, 0, 1)

#endif
