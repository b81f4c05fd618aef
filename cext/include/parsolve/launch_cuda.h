/* launch_cuda.h -- THE loop over a box, for a GPU: one thread a cell, the same bodies and the same bits as launch_cpu.h. */
#ifndef PARSOLVE_LAUNCH_CUDA_H
#define PARSOLVE_LAUNCH_CUDA_H

#include "cells.h"

#define PS_EXPORT extern "C" __attribute__((visibility("default")))

/* x fastest over the threads of a warp, so that a row is read in whole cache lines. */
#define PS_THREAD_CELL(a)                                                                                              \
    const int64_t i_ = (a).lo[2] + (int64_t)blockIdx.x * blockDim.x + threadIdx.x;                                     \
    const int64_t j_ = (a).lo[1] + (int64_t)blockIdx.y * blockDim.y + threadIdx.y;                                     \
    const int64_t k_ = (a).lo[0] + (int64_t)blockIdx.z * blockDim.z + threadIdx.z;                                     \
    if (i_ >= (a).hi[2] || j_ >= (a).hi[1] || k_ >= (a).hi[0]) return;                                                 \
    const int64_t c = k_ * (a).stride[0] + j_ * (a).stride[1] + i_;

static inline int ps_launch(void (*kernel)(ps_args), const ps_args *a)
{
    const dim3 block(64, 4, 1);
    const int64_t nx = a->hi[2] - a->lo[2], ny = a->hi[1] - a->lo[1], nz = a->hi[0] - a->lo[0];
    if (nx <= 0 || ny <= 0 || nz <= 0) return PS_OK;
    if (nz > 65535 || (ny + 3) / 4 > 65535) return PS_BAD_BOX;
    const dim3 blocks((unsigned)((nx + 63) / 64), (unsigned)((ny + 3) / 4), (unsigned)nz);
    kernel<<<blocks, block, 0, (cudaStream_t)a->stream>>>(*a);
    return cudaGetLastError() == cudaSuccess ? PS_OK : PS_DEVICE;
}

#define PS_LAUNCHER(cell)                                                                                              \
    PS_EXPORT int PS_NAME(cell)(const ps_args *args) { return ps_launch(cell##_kernel, args); }

#define PS_UPDATE(cell, inputs, outputs)                                                                               \
    static __global__ void cell##_kernel(const ps_args a)                                                              \
    {                                                                                                                  \
        PS_THREAD_CELL(a)                                                                                              \
        ps_real value[outputs];                                                                                        \
        cell(&a, c, k_, j_, i_, value);                                                                                \
        for (int f = 0; f < outputs; f++) {                                                                            \
            ps_real *out = (ps_real *)a.field[inputs + f] + c;                                                         \
            ps_real sum = fma((ps_real)a.scale, value[f],                                                              \
                              (ps_real)a.weight[0] * ((const ps_real *)a.field[inputs + outputs + f])[c]);             \
            for (int64_t t = 1; t < a.terms; t++)                                                                      \
                sum =                                                                                                  \
                    fma((ps_real)a.weight[t], ((const ps_real *)a.field[inputs + outputs + t * outputs + f])[c], sum); \
            *out = sum;                                                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    PS_LAUNCHER(cell)

#define PS_DEFINE(cell, inputs, outputs)                                                                               \
    static __global__ void cell##_kernel(const ps_args a)                                                              \
    {                                                                                                                  \
        PS_THREAD_CELL(a)                                                                                              \
        ps_real value[outputs];                                                                                        \
        cell(&a, c, k_, j_, i_, value);                                                                                \
        for (int f = 0; f < outputs; f++) ((ps_real *)a.field[inputs + f])[c] = value[f];                              \
    }                                                                                                                  \
    PS_LAUNCHER(cell)

#endif
