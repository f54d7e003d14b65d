// SPDX-License-Identifier: MIT
// workqueue.bpf.c for kernels from 7.0 on, which pass the program's aux by themselves.
#define WITHOUT_AUX
#include "workqueue.bpf.c"
