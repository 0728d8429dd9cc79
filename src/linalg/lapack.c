/* SPDX-License-Identifier: Apache-2.0
 * The one place where LAPACK is called: dsyevd (divide and conquer), declared here with Fortran's int as C's. It is
 * safe in threads since LAPACK 3.3 and prints only for arguments that are out of range, which these never are. Its own
 * memory (OpenBLAS takes some) lies outside the context's allocator, as CBLAS's does. */
#include "linalg/lapack.h"

#ifdef MTLI_LAPACK

enum {
    LAPACK_LEAST = 24,  /* from here on it is the faster one */
    LAPACK_MOST = 16384 /* 2 n² must fit an int */
};

void dsyevd_(const char *job, const char *triangle, const int *n, double *a, const int *lda, double *values,
             double *work, const int *num_work, int *iwork, const int *num_iwork, int *info);

bool mtli_lapack_takes(int64_t n)
{
    return n >= LAPACK_LEAST && n <= LAPACK_MOST;
}

/* The documented least sizes for eigenvalues with vectors. */
static int64_t doubles_of_dsyevd(int64_t n)
{
    return 1 + 6 * n + 2 * n * n;
}

static int64_t ints_of_dsyevd(int64_t n)
{
    return 3 + 5 * n;
}

size_t mtli_lapack_work(int64_t n)
{
    return mtli_lapack_takes(n) ? (size_t)(doubles_of_dsyevd(n) + (ints_of_dsyevd(n) + 1) / 2) : 0;
}

/* By columns or by rows, a symmetric matrix is the same; the vectors come as columns of columns: rows, for us. */
bool mtli_lapack_eigen(int64_t n, double *a, double *values, double *work)
{
    int size = (int)n;
    int num_work = (int)doubles_of_dsyevd(n);
    int num_iwork = (int)ints_of_dsyevd(n);
    void *ints = work + num_work;
    int info = 0;
    dsyevd_("V", "U", &size, a, &size, values, work, &num_work, ints, &num_iwork, &info);
    return info == 0;
}

#else

bool mtli_lapack_takes(int64_t n)
{
    (void)n;
    return false;
}

size_t mtli_lapack_work(int64_t n)
{
    (void)n;
    return 0;
}

bool mtli_lapack_eigen(int64_t n, double *a, double *values, double *work)
{
    (void)n;
    (void)a;
    (void)values;
    (void)work;
    return false;
}

#endif
