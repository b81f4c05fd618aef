/* cpu.c -- the kernels for a CPU, in one precision and one instruction set (chosen by the build). */
#include <parsolve/launch_cpu.h>

#include "cells/catalogue/catalogue.h"
#include "cells/linear.h"
