/* The live graph's heavy operations for CPUs: channels-last float32, a small thread pool, and convolutions by Winograd
   or, where the processor multiplies matrices itself (AMX), by sums of bfloat16 products.

   Compiled on the user's machine for its own instruction set (see native_library.py). Vectors are GCC's portable
   ones: 16 floats, one AVX-512 register or several smaller ones. Pictures are [height][width][channels] with channels
   a multiple of 64. */

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#define MATRIX_UNIT 1
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t i16 __attribute__((vector_size(64)));

enum { LANES = 16, PANEL = 64, ROWS = 6, TILE = 4, SPAN = 6, POINTS = 36, HEAD = 16 };
static const float SLOPE = 0.2f;

static inline v16 load(const float *p) { return *(const v16 *)p; }
static inline void store(float *p, v16 v) { *(v16 *)p = v; }
static inline v16 all(float f) { return (v16){f, f, f, f, f, f, f, f, f, f, f, f, f, f, f, f}; }
static inline v16 leaky(v16 v) { /* the slope is below one, so the greater of the two is the right one */
    v16 low = v * all(SLOPE);
    i16 greater = v > low;
    return (v16)(((i16)v & greater) | ((i16)low & ~greater));
}
static inline v16 greater_of(v16 a, v16 b) {
    i16 greater = a > b;
    return (v16)(((i16)a & greater) | ((i16)b & ~greater));
}
static inline v16 exponential(v16 x) { /* to 2e-7 of the result for what heads hold; 2^n times a polynomial */
    x = greater_of(x, all(-87.0f));
    x = -greater_of(-x, all(-87.0f));
    i16 n = __builtin_convertvector(x * all(1.44269504f) + all(128.5f), i16) - 128;
    v16 r = x - __builtin_convertvector(n, v16) * all(0.693147181f);
    v16 p = all(1.0f / 5040);
    p = p * r + all(1.0f / 720);
    p = p * r + all(1.0f / 120);
    p = p * r + all(1.0f / 24);
    p = p * r + all(1.0f / 6);
    p = p * r + all(0.5f);
    p = p * r + all(1);
    p = p * r + all(1);
    return p * (v16)((n + 127) << 23);
}
static inline v16 hyperbolic_tangent(v16 x) { return all(1) - all(2) / (exponential(x + x) + all(1)); }

/* the sums over the lanes of sixteen vectors */
static inline v16 totals(const v16 *s) {
#ifdef __AVX512F__
    v16 a[8];
#define HALVES(A, B)                                                                                                  \
    (__builtin_shuffle(A, B, (i16){0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23}) +                         \
     __builtin_shuffle(A, B, (i16){8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31}))
#define QUARTERS(A, B)                                                                                                \
    (__builtin_shuffle(A, B, (i16){0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27}) +                       \
     __builtin_shuffle(A, B, (i16){4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31}))
#define PAIRS(A, B)                                                                                                   \
    (__builtin_shuffle(A, B, (i16){0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29}) +                       \
     __builtin_shuffle(A, B, (i16){2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31}))
#define SINGLES(A, B)                                                                                                 \
    (__builtin_shuffle(A, B, (i16){0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30}) +                      \
     __builtin_shuffle(A, B, (i16){1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31}))
    static const int order[8] = {0, 4, 2, 6, 1, 5, 3, 7}; /* bits reversed: lanes come out in the order of the vectors */
    for (int i = 0; i < 8; i++) a[i] = HALVES(s[2 * order[i]], s[2 * order[i] + 1]);
    for (int i = 0; i < 4; i++) a[i] = QUARTERS(a[i], a[i + 4]);
    for (int i = 0; i < 2; i++) a[i] = PAIRS(a[i], a[i + 2]);
    return SINGLES(a[0], a[1]);
#else
    v16 sums = all(0);
    for (int i = 0; i < LANES; i++) {
        float sum = 0;
        for (int lane = 0; lane < LANES; lane++) sum += s[i][lane];
        sums[i] = sum;
    }
    return sums;
#endif
}
static inline long least(long a, long b) { return a < b ? a : b; }

/* ---- threads: every operation is a job that all threads enter with their number ---- */

typedef void (*job_fn)(void *, int thread, int threads);

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_long round;
    atomic_int busy;
    int threads;
    job_fn fn;
    void *data;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .threads = 1};

static pthread_mutex_t one_job = PTHREAD_MUTEX_INITIALIZER; /* jobs may be asked for from several threads */

static void alone_after_fork(void) { /* the workers stayed with the parent */
    pool.threads = 1;
    pthread_mutex_init(&pool.lock, NULL);
    pthread_mutex_init(&one_job, NULL);
}

static void *worker(void *number) {
    long seen = 0;
    for (;;) {
        for (int spin = 0; spin < 2000 && atomic_load(&pool.round) == seen; spin++)
            if (spin > 200) sched_yield();
        if (atomic_load(&pool.round) == seen) {
            pthread_mutex_lock(&pool.lock);
            while (atomic_load(&pool.round) == seen) pthread_cond_wait(&pool.wake, &pool.lock);
            pthread_mutex_unlock(&pool.lock);
        }
        seen++;
        pool.fn(pool.data, (int)(intptr_t)number, pool.threads);
        atomic_fetch_sub(&pool.busy, 1);
    }
    return NULL;
}

/* Start the workers, once a process. Returns how many threads, the caller included, will share each job. */
int pool_start(int threads) {
    static int prepared = 0;
    if (!prepared++) pthread_atfork(NULL, NULL, alone_after_fork);
    while (pool.threads < threads) {
        pthread_t handle;
        if (pthread_create(&handle, NULL, worker, (void *)(intptr_t)pool.threads)) break;
        pthread_detach(handle);
        pool.threads++;
    }
    return pool.threads;
}

static void in_parallel(job_fn fn, void *data) {
    pthread_mutex_lock(&one_job);
    if (pool.threads > 1) {
        pthread_mutex_lock(&pool.lock);
        pool.fn = fn;
        pool.data = data;
        atomic_store(&pool.busy, pool.threads - 1);
        atomic_fetch_add(&pool.round, 1);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
    fn(data, 0, pool.threads);
    for (int spin = 0; pool.threads > 1 && atomic_load(&pool.busy) > 0; spin++)
        if (spin > 200) sched_yield();
    pthread_mutex_unlock(&one_job);
}

/* ---- plans: the operations of a frame, written down once and run as often as wanted without coming back ---- */

typedef struct {
    job_fn fn;
    void *data;
    int alone; /* too short to be shared */
} step;

typedef struct {
    step *steps;
    long count, room;
    int whole; /* whether memory sufficed */
} plan;

static _Thread_local plan *recording = NULL;

static void perform(job_fn fn, void *data, size_t bytes, int alone) {
    plan *p = recording;
    if (!p) {
        if (alone)
            fn(data, 0, 1);
        else
            in_parallel(fn, data);
        return;
    }
    if (p->count == p->room) {
        step *more = realloc(p->steps, (p->room + 64) * sizeof(step));
        if (!more) {
            p->whole = 0;
            return;
        }
        p->steps = more;
        p->room += 64;
    }
    void *kept = malloc(bytes);
    if (!kept) {
        p->whole = 0;
        return;
    }
    memcpy(kept, data, bytes);
    p->steps[p->count++] = (step){fn, kept, alone};
}

/* From here on this thread's operations are written down instead of being done. NULL: no memory. */
plan *plan_begin(void) {
    plan *p = calloc(1, sizeof(plan));
    if (p) p->whole = 1;
    return recording = p;
}

/* Returns whether all of them are in the plan. */
int plan_end(void) {
    int whole = recording && recording->whole;
    recording = NULL;
    return whole;
}

void plan_run(const plan *p) {
    for (long i = 0; i < p->count; i++) {
        if (p->steps[i].alone)
            p->steps[i].fn(p->steps[i].data, 0, 1);
        else
            in_parallel(p->steps[i].fn, p->steps[i].data);
    }
}

void plan_free(plan *p) {
    for (long i = 0; i < p->count; i++) free(p->steps[i].data);
    free(p->steps);
    free(p);
}

static void share(long count, int thread, int threads, long *from, long *to) {
    *from = count * thread / threads;
    *to = count * (thread + 1) / threads;
}

/* ---- matrix product: `rows` rows of a (lda apart) times one panel b[depth][64], into c (ldc apart) ---- */

#define PRODUCT(N)                                                                                                    \
    static void product##N(const float *a, long lda, const float *b, long depth, float *c, long ldc, int add) {      \
        v16 s[N][4];                                                                                                  \
        for (int r = 0; r < N; r++)                                                                                   \
            for (int j = 0; j < 4; j++) s[r][j] = add ? load(c + r * ldc + j * LANES) : all(0);                       \
        for (long k = 0; k < depth; k++, b += PANEL) {                                                                \
            v16 b0 = load(b), b1 = load(b + 16), b2 = load(b + 32), b3 = load(b + 48);                                \
            for (int r = 0; r < N; r++) {                                                                             \
                v16 f = all(a[r * lda + k]);                                                                          \
                s[r][0] += f * b0;                                                                                    \
                s[r][1] += f * b1;                                                                                    \
                s[r][2] += f * b2;                                                                                    \
                s[r][3] += f * b3;                                                                                    \
            }                                                                                                         \
        }                                                                                                             \
        for (int r = 0; r < N; r++)                                                                                   \
            for (int j = 0; j < 4; j++) store(c + r * ldc + j * LANES, s[r][j]);                                      \
    }
PRODUCT(1) PRODUCT(2) PRODUCT(3) PRODUCT(4) PRODUCT(5) PRODUCT(6)

static void product(long rows, const float *a, long lda, const float *b, long depth, float *c, long ldc, int add) {
    for (; rows >= ROWS; rows -= ROWS, a += ROWS * lda, c += ROWS * ldc) product6(a, lda, b, depth, c, ldc, add);
    switch (rows) {
    case 1: product1(a, lda, b, depth, c, ldc, add); break;
    case 2: product2(a, lda, b, depth, c, ldc, add); break;
    case 3: product3(a, lda, b, depth, c, ldc, add); break;
    case 4: product4(a, lda, b, depth, c, ldc, add); break;
    case 5: product5(a, lda, b, depth, c, ldc, add); break;
    }
}

/* ---- 3x3 convolution, stride 1: Winograd F(4x4, 3x3) (Lavin and Gray 2016) ---- */

typedef struct {
    const float *x, *style; /* style [c_in] scales the input, or NULL */
    const float *u;         /* [panels][36][c_in][64] transformed weights */
    const float *scale, *bias; /* scale [c_out] of the output, or NULL */
    float *y;
    long size, c_in, c_out;
    float **scratch; /* per thread */
} wino;

static void transform_input(const wino *w, long ty, long tx, float *u, long stride) {
    const long n = w->size, c_in = w->c_in;
    for (long c = 0; c < c_in; c += LANES) {
        v16 d[SPAN][SPAN], s = w->style ? load(w->style + c) : all(1);
        for (int i = 0; i < SPAN; i++)
            for (int j = 0; j < SPAN; j++) {
                long y = ty * TILE + i - 1, x = tx * TILE + j - 1;
                d[i][j] = all(0);
                if (y >= 0 && y < n && x >= 0 && x < n) d[i][j] = load(w->x + (y * n + x) * c_in + c) * s;
            }
#define INPUT_1D(A, B, C, D, E, F)                                                                                    \
    {                                                                                                                 \
        v16 a = A, b = B, cc = C, dd = D, e = E, f = F;                                                               \
        A = 4.0f * a - 5.0f * cc + e;                                                                                 \
        B = -4.0f * (b + cc) + dd + e;                                                                                \
        C = 4.0f * (b - cc) - dd + e;                                                                                 \
        D = 2.0f * (dd - b) - cc + e;                                                                                 \
        E = 2.0f * (b - dd) - cc + e;                                                                                 \
        F = 4.0f * b - 5.0f * dd + f;                                                                                 \
    }
        for (int j = 0; j < SPAN; j++) INPUT_1D(d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j])
        for (int i = 0; i < SPAN; i++) {
            INPUT_1D(d[i][0], d[i][1], d[i][2], d[i][3], d[i][4], d[i][5])
            for (int j = 0; j < SPAN; j++) store(u + (i * SPAN + j) * stride + c, d[i][j]);
        }
    }
}

static void transform_output(const wino *w, long ty, long tx, const float *m, long stride, long panel) {
    const long n = w->size;
    for (long c = 0; c < PANEL; c += LANES) {
        const long channel = panel * PANEL + c;
        v16 d[SPAN][SPAN], t[TILE][SPAN];
        for (int p = 0; p < POINTS; p++) d[p / SPAN][p % SPAN] = load(m + p * stride + c);
        for (int j = 0; j < SPAN; j++) {
            v16 s1 = d[1][j] + d[2][j], d1 = d[1][j] - d[2][j], s2 = d[3][j] + d[4][j], d2 = d[3][j] - d[4][j];
            t[0][j] = d[0][j] + s1 + s2;
            t[1][j] = d1 + 2.0f * d2;
            t[2][j] = s1 + 4.0f * s2;
            t[3][j] = d1 + 8.0f * d2 + d[5][j];
        }
        v16 scale = w->scale ? load(w->scale + channel) : all(1), bias = load(w->bias + channel);
        for (int i = 0; i < TILE; i++) {
            v16 s1 = t[i][1] + t[i][2], d1 = t[i][1] - t[i][2], s2 = t[i][3] + t[i][4], d2 = t[i][3] - t[i][4];
            v16 r[TILE] = {t[i][0] + s1 + s2, d1 + 2.0f * d2, s1 + 4.0f * s2, d1 + 8.0f * d2 + t[i][5]};
            float *out = w->y + ((ty * TILE + i) * n + tx * TILE) * w->c_out + channel;
            for (int j = 0; j < TILE; j++) store(out + j * w->c_out, leaky(r[j] * scale + bias));
        }
    }
}

enum { FEW_TILES = 64, BLOCK = 24 };

static void wino_block(const wino *w, long first, long count, long panel_from, long panel_to, float *scratch) {
    const long across = w->size / TILE, u_stride = count * w->c_in, m_stride = count * PANEL;
    float *u = scratch, *m = scratch + POINTS * u_stride;
    for (long t = 0; t < count; t++)
        transform_input(w, (first + t) / across, (first + t) % across, u + t * w->c_in, u_stride);
    for (long panel = panel_from; panel < panel_to; panel++) {
        for (int p = 0; p < POINTS; p++)
            product(count, u + p * u_stride, w->c_in, w->u + (panel * POINTS + p) * w->c_in * PANEL, w->c_in,
                    m + p * m_stride, PANEL, 0);
        for (long t = 0; t < count; t++)
            transform_output(w, (first + t) / across, (first + t) % across, m + t * PANEL, m_stride, panel);
    }
}

static void wino_job(void *data, int thread, int threads) {
    const wino *w = data;
    const long tiles = (w->size / TILE) * (w->size / TILE), panels = w->c_out / PANEL;
    long from, to;
    if (tiles <= FEW_TILES && panels >= threads) { /* weights outweigh the picture: read each of them once */
        share(panels, thread, threads, &from, &to);
        wino_block(w, 0, tiles, from, to, w->scratch[thread]);
        return;
    }
    share(tiles, thread, threads, &from, &to);
    for (; from < to; from += BLOCK) wino_block(w, from, least(BLOCK, to - from), 0, panels, w->scratch[thread]);
}

/* Floats of scratch that each thread needs for `winograd`. */
long winograd_scratch(long size, long c_in) {
    long tiles = (size / TILE) * (size / TILE), count = tiles <= FEW_TILES ? tiles : BLOCK;
    return POINTS * count * (c_in + PANEL);
}

void winograd(const float *x, const float *style, const float *u, const float *scale, const float *bias, float *y,
              long size, long c_in, long c_out, float **scratch) {
    wino w = {x, style, u, scale, bias, y, size, c_in, c_out, scratch};
    perform(wino_job, &w, sizeof w, 0);
}

/* ---- convolutions as sums of matrix products, one for each tap: strided, transposed, 1x1 ---- */

typedef struct {
    const float *x, *weights; /* weights [taps][panels][c_in][64] */
    float *y;
    long rows, columns;                 /* of results */
    long x_row, x_column, y_row, y_column; /* steps in floats from one result to the next */
    long c_in, c_out, taps, add;
    const long *offsets; /* [taps] where in x a tap begins, in floats */
} tapped;

static void tapped_job(void *data, int thread, int threads) {
    const tapped *t = data;
    const long panels = t->c_out / PANEL;
    long from = 0, to = t->rows, panel_from = 0, panel_to = panels;
    if (t->rows * t->columns <= 1100 && panels >= threads)
        share(panels, thread, threads, &panel_from, &panel_to);
    else
        share(t->rows, thread, threads, &from, &to);
    const long step = 1 + 256 / t->columns; /* rows at a time: weights of a tap stay near while they are used */
    for (long row = from; row < to; row += step)
        for (long panel = panel_from; panel < panel_to; panel++)
            for (long tap = 0; tap < t->taps; tap++)
                for (long r = row; r < least(row + step, to); r++)
                    product(t->columns, t->x + r * t->x_row + t->offsets[tap], t->x_column,
                            t->weights + (tap * panels + panel) * t->c_in * PANEL, t->c_in,
                            t->y + r * t->y_row + panel * PANEL, t->y_column, t->add || tap > 0);
}

void convolve_taps(const float *x, const float *weights, float *y, long rows, long columns, long x_row, long x_column,
                   long y_row, long y_column, long c_in, long c_out, long taps, long add, const long *offsets) {
    tapped t = {x, weights, y, rows, columns, x_row, x_column, y_row, y_column, c_in, c_out, taps, add, offsets};
    perform(tapped_job, &t, sizeof t, 0);
}

/* ---- convolutions by the processor's matrix unit (AMX) ----

   A float32 is the sum of PARTS bfloat16 numbers, rounded to nearest one after the other; the products of which neither
   factor is a rest of a rest are summed in float32 ("bf16x3": Henry, Tang and Heinecke, "Leveraging the bfloat16
   artificial intelligence datatype for higher-precision computations", 2019). Pictures are split as
   [steps of 32 channels][PARTS][positions][32]; weights as [panels of 32][taps][steps of 32 channels][PARTS][2 tiles of 1 KB].
   Positions are those of the padded picture, row after row, so that sixteen that follow each other are one tile
   wherever they begin; those that fall between two rows are computed and dropped. */

enum { PARTS = 2, SIDE = 16, DEEP = 32, WIDE = 32, TILE_HALVES = 512 };

typedef struct {
    const float *x, *style; /* style may be NULL */
    uint16_t *y;
    long size, channels, positions, pad, phases; /* phases 2: even and odd rows and columns become pictures of their own */
} splitting;

typedef struct {
    const uint16_t *x, *weights;
    const float *scale, *bias; /* bias NULL: no activation; scale may be NULL */
    float *y;
    long positions, rows, columns, row_positions, y_row, y_column, c_in, c_out, taps, add;
    const long *offsets; /* [taps] positions */
} flat;

#ifdef MATRIX_UNIT

enum { ASK_FOR_STATE = 0x1023, TILE_STATE = 18 };

/* Parts a number is split in, or 0 where the kernel or its settings keep the matrix unit from this process. */
int matrix_parts(void) { return syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_STATE) == 0 ? PARTS : 0; }

static inline void split16(v16 v, uint16_t *y, long step) { /* into parts that lie `step` apart */
    for (int part = 0; part < PARTS; part++) {
        __m256i rounded = (__m256i)_mm512_cvtneps_pbh((__m512)v);
        _mm256_storeu_si256((__m256i *)(y + part * step), rounded);
        v -= (v16)_mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16);
    }
}

/* where the first channels of a pixel of the picture lie */
static inline uint16_t *split_place(const splitting *s, long row, long column) {
    const long p = s->phases, side = (s->size + 2 * s->pad + p - 1) / p;
    row += s->pad;
    column += s->pad;
    const long phase = p == 1 ? 0 : row % 2 * 2 + column % 2;
    return s->y + ((phase * side + row / p) * side + column / p) * DEEP;
}

static inline void split_pixel(const splitting *s, uint16_t *place, long channel, v16 v) {
    if (s->style) v *= load(s->style + channel);
    split16(v, place + channel / DEEP * PARTS * s->positions * DEEP + channel % DEEP, s->positions * DEEP);
}

static void split_border(const splitting *s) { /* empties it, where there is one: one pixel wide, phases 1 */
    const long edge = s->size + 2, pixel = DEEP * sizeof(uint16_t);
    for (long plane = 0; s->pad && plane < s->channels / DEEP * PARTS; plane++) {
        uint16_t *y = s->y + plane * s->positions * DEEP;
        memset(y, 0, (edge + 1) * pixel);
        for (long row = 1; row < edge - 2; row++) memset(y + ((row + 1) * edge - 1) * DEEP, 0, 2 * pixel);
        memset(y + ((edge - 1) * edge - 1) * DEEP, 0, (edge + 1) * pixel);
    }
}

static void splitting_job(void *data, int thread, int threads) {
    const splitting *s = data;
    const long n = s->size, c = s->channels;
    long from, to;
    share(n, thread, threads, &from, &to);
    if (thread == 0) split_border(s);
    for (long row = from; row < to; row++)
        for (long column = 0; column < n; column++) {
            uint16_t *place = split_place(s, row, column);
            for (long k = 0; k < c; k += LANES) split_pixel(s, place, k, load(s->x + (row * n + column) * c + k));
        }
}

/* weights [taps][panels of 64][c_in][64] -> the matrix unit's order, pairs of input channels side by side */
void split_weights(const float *weights, uint16_t *y, long taps, long c_in, long c_out) {
    for (long panel = 0; panel < c_out / WIDE; panel++)
        for (long tap = 0; tap < taps; tap++)
            for (long k = 0; k < c_in; k++) {
                const long wide = panel * WIDE / PANEL, within = panel * WIDE % PANEL;
                const float *row = weights + ((tap * (c_out / PANEL) + wide) * c_in + k) * PANEL + within;
                uint16_t *step = y + ((panel * taps + tap) * (c_in / DEEP) + k / DEEP) * PARTS * 2 * TILE_HALVES;
                for (long tile = 0; tile < 2; tile++) {
                    uint16_t parts[PARTS][LANES];
                    split16(load(row + tile * SIDE), parts[0], LANES);
                    for (int part = 0; part < PARTS; part++)
                        for (int lane = 0; lane < LANES; lane++)
                            step[(part * 2 + tile) * TILE_HALVES + k % DEEP / 2 * DEEP + lane * 2 + k % 2] =
                                parts[part][lane];
                }
            }
}

static void flat_block(const flat *f, long first, long panel, long count) {
    float sums[2 * SIDE][WIDE];
    const long part = f->positions * DEEP, steps = f->c_in / DEEP;
    const uint16_t *b = f->weights + panel * f->taps * steps * PARTS * 2 * TILE_HALVES;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
#define TILES_MULTIPLY                                                                                                \
    _tile_dpbf16ps(0, 4, 6);                                                                                          \
    _tile_dpbf16ps(1, 4, 7);                                                                                          \
    _tile_dpbf16ps(2, 5, 6);                                                                                          \
    _tile_dpbf16ps(3, 5, 7);
    for (long tap = 0; tap < f->taps; tap++) {
        const uint16_t *a = f->x + (first + f->offsets[tap]) * DEEP;
        for (long k = 0; k < steps; k++, a += PARTS * part, b += PARTS * 2 * TILE_HALVES) {
            _tile_loadd(4, a + part, 64);
            _tile_loadd(6, b, 64);
            _tile_loadd(7, b + TILE_HALVES, 64);
            _tile_loadd(5, a + part + TILE_HALVES, 64);
            TILES_MULTIPLY /* rest times whole */
#ifdef PF
            for (int line = 0; line < 64; line++) _mm_prefetch(b + PARTS * 2 * TILE_HALVES + line * 32, _MM_HINT_T0);
#endif
            _tile_loadd(4, a, 64);
            _tile_loadd(5, a + TILE_HALVES, 64);
            TILES_MULTIPLY /* whole times whole */
            _tile_loadd(6, b + 2 * TILE_HALVES, 64);
            _tile_loadd(7, b + 3 * TILE_HALVES, 64);
            TILES_MULTIPLY /* whole times rest */
        }
    }
    _tile_stored(0, sums[0], sizeof sums[0]);
    _tile_stored(1, sums[0] + SIDE, sizeof sums[0]);
    _tile_stored(2, sums[SIDE], sizeof sums[0]);
    _tile_stored(3, sums[SIDE] + SIDE, sizeof sums[0]);
    const long channel = panel * WIDE;
    long row = first / f->row_positions, column = first % f->row_positions;
    for (long i = 0; i < count; i++) {
        float *y = f->y + row * f->y_row + column * f->y_column + channel;
        if (column < f->columns)
            for (long c = 0; c < WIDE; c += LANES) {
                v16 v = load(sums[i] + c);
                if (f->scale) v *= load(f->scale + channel + c);
                if (f->bias) v = leaky(v + load(f->bias + channel + c));
                if (f->add) v += load(y + c);
                store(y + c, v);
            }
        if (++column == f->row_positions) column = 0, row++;
    }
}

static void flat_job(void *data, int thread, int threads) {
    const flat *f = data;
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } tiles = {.palette = 1};
    for (int i = 0; i < 8; i++) tiles.rows[i] = SIDE, tiles.row_bytes[i] = 64;
    const long wanted = (f->rows - 1) * f->row_positions + f->columns, panels = f->c_out / WIDE;
    const long blocks = (wanted + 2 * SIDE - 1) / (2 * SIDE);
    long from = 0, to = blocks, panel_from = 0, panel_to = panels;
    if (blocks <= 40 && panels >= threads)
        share(panels, thread, threads, &panel_from, &panel_to);
    else
        share(blocks, thread, threads, &from, &to);
    const long together = 16384 / f->c_in > 0 ? 16384 / f->c_in : 1; /* blocks of the picture that stay in the cache */
    _tile_loadconfig(&tiles);
    for (; from < to; from += together)
        for (long panel = panel_from; panel < panel_to; panel++)
            for (long block = from; block < least(from + together, to); block++)
                flat_block(f, block * 2 * SIDE, panel, least(2 * SIDE, wanted - block * 2 * SIDE));
    _tile_release();
}

void split_picture(const float *x, const float *style, uint16_t *y, long size, long channels, long positions, long pad,
                   long phases) {
    splitting s = {x, style, y, size, channels, positions, pad, phases};
    perform(splitting_job, &s, sizeof s, 0);
}

void convolve_split(const uint16_t *x, const uint16_t *weights, const float *scale, const float *bias, float *y,
                    long positions, long rows, long columns, long row_positions, long y_row, long y_column, long c_in, long c_out,
                    long taps, long add, const long *offsets) {
    flat f = {x, weights, scale, bias, y, positions, rows, columns, row_positions, y_row, y_column, c_in, c_out, taps, add, offsets};
    perform(flat_job, &f, sizeof f, 0);
}

#else
int matrix_parts(void) { return 0; }
static inline uint16_t *split_place(const splitting *s, long row, long column) { return (void)row, (void)column, s->y; }
static inline void split_pixel(const splitting *s, uint16_t *place, long channel, v16 v) {
    (void)s, (void)place, (void)channel, (void)v;
}
static void split_border(const splitting *s) { (void)s; }
#endif

/* ---- the four-tap filter (1, 3, 3, 1), over zeros outside ---- */

typedef struct {
    const float *x, *scale, *bias; /* bias not NULL: y = leaky(filtered * scale + bias) */
    float *y;
    long x_size, y_size, channels, pad, stride;
    float gain; /* of one axis */
    float **scratch;
    splitting split; /* the result as a split picture instead of y, where its y is not NULL */
} filter;

static void filter_job(void *data, int thread, int threads) {
    const filter *f = data;
    const long width = f->x_size * f->channels;
    const v16 outer = all(0.125f * f->gain), inner = all(0.375f * f->gain);
    const v16 k[4] = {outer, inner, inner, outer};
    float *line = f->scratch[thread]; /* one filtered row, with `pad` empty pixels before and two after */
    memset(line, 0, sizeof(float) * (width + (f->pad + 2) * f->channels));
    long from, to;
    share(f->y_size, thread, threads, &from, &to);
    const splitting *parts = f->split.y ? &f->split : NULL;
    if (parts && thread == 0) split_border(parts);
    for (long row = from; row < to; row++) {
        const float *source[4];
        int count = 0;
        v16 weight[4];
        for (int i = 0; i < 4; i++) {
            long at = row * f->stride + i - f->pad;
            if (at < 0 || at >= f->x_size) continue;
            source[count] = f->x + at * width;
            weight[count++] = k[i];
        }
        for (long c = 0; c < width; c += LANES) {
            v16 sum = all(0);
            for (int i = 0; i < count; i++) sum += weight[i] * load(source[i] + c);
            store(line + f->pad * f->channels + c, sum);
        }
        float *y = f->y + row * f->y_size * f->channels;
        for (long column = 0; column < f->y_size; column++) {
            uint16_t *place = parts ? split_place(parts, row, column) : NULL;
            for (long c = 0; c < f->channels; c += LANES) {
                const float *p = line + column * f->stride * f->channels + c;
                v16 sum = outer * (load(p) + load(p + 3 * f->channels));
                sum += inner * (load(p + f->channels) + load(p + 2 * f->channels));
                if (f->bias) sum = leaky(sum * load(f->scale + c) + load(f->bias + c));
                if (place)
                    split_pixel(parts, place, c, sum);
                else
                    store(y + column * f->channels + c, sum);
            }
        }
    }
}

void filter_picture(const float *x, const float *scale, const float *bias, float *y, long x_size, long y_size,
                    long channels, long pad, long stride, float gain, float **scratch) {
    filter f = {x, scale, bias, y, x_size, y_size, channels, pad, stride, gain, scratch, {0}};
    perform(filter_job, &f, sizeof f, 0);
}

/* the same, its result scaled by style [channels] (or not, NULL) and split for the matrix unit */
void filter_and_split(const float *x, const float *scale, const float *bias, const float *style, uint16_t *y,
                      long x_size, long y_size, long channels, long pad, long stride, float gain, float **scratch,
                      long positions, long split_pad, long phases) {
    splitting s = {NULL, style, y, y_size, channels, positions, split_pad, phases};
    filter f = {x, scale, bias, NULL, x_size, y_size, channels, pad, stride, gain, scratch, s};
    perform(filter_job, &f, sizeof f, 0);
}

/* ---- small passes ---- */

typedef struct {
    const float *x, *a, *b;
    float *y;
    long size, channels;
} pass;

/* x scaled by a [channels], with one empty pixel all around: [size + 2][size + 2][channels] */
static void pad_job(void *data, int thread, int threads) {
    const pass *p = data;
    const long row_floats = (p->size + 2) * p->channels;
    long from, to;
    share(p->size + 2, thread, threads, &from, &to);
    for (long row = from; row < to; row++) {
        float *y = p->y + row * row_floats;
        memset(y, 0, sizeof(float) * row_floats);
        if (row == 0 || row == p->size + 1) continue;
        const float *x = p->x + (row - 1) * p->size * p->channels;
        for (long i = 0; i < p->size; i++)
            for (long c = 0; c < p->channels; c += LANES)
                store(y + (i + 1) * p->channels + c, load(x + i * p->channels + c) * load(p->a + c));
    }
}

void scale_and_pad(const float *x, const float *style, float *y, long size, long channels) {
    pass p = {x, style, NULL, y, size, channels};
    perform(pad_job, &p, sizeof p, 0);
}

/* y = leaky(y * scale + bias); scale may be NULL */
static void activate_job(void *data, int thread, int threads) {
    const pass *p = data;
    long from, to;
    share(p->size, thread, threads, &from, &to);
    for (long i = from; i < to; i++)
        for (long c = 0; c < p->channels; c += LANES) {
            float *y = p->y + i * p->channels + c;
            v16 v = load(y);
            if (p->a) v *= load(p->a + c);
            store(y, leaky(v + load(p->b + c)));
        }
}

void activate(float *y, const float *scale, const float *bias, long pixels, long channels) {
    pass p = {NULL, scale, bias, y, pixels, channels};
    perform(activate_job, &p, sizeof p, 0);
}

/* ---- codes and styles ---- */

typedef struct {
    const float *matrix, *x, *bias; /* bias NULL: y = 1 / sqrt(matrix x^2 + epsilon), the demodulation */
    float *y;
    long rows, columns;
} affinity;

static void affine_job(void *data, int thread, int threads) {
    const affinity *a = data;
    long from, to;
    share(a->rows, thread, threads, &from, &to);
    for (long row = from; row < to; row++) {
        const float *m = a->matrix + row * a->columns;
        v16 sums = all(0);
        float sum = 0;
        long c = 0;
        for (; c + LANES <= a->columns; c += LANES) {
            v16 x = load(a->x + c);
            if (!a->bias) x *= x;
            sums += load(m + c) * x;
        }
        for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
        for (; c < a->columns; c++) sum += m[c] * (a->bias ? a->x[c] : a->x[c] * a->x[c]);
        a->y[row] = a->bias ? sum + a->bias[row] : 1.0f / sqrtf(sum + 5e-9f);
    }
}

void affine(const float *matrix, const float *x, const float *bias, float *y, long rows, long columns) {
    affinity a = {matrix, x, bias, y, rows, columns};
    perform(affine_job, &a, sizeof a, rows * columns < 4096);
}

typedef struct {
    const float *x, *factor, *summand; /* [channels], either NULL */
    float *y;
    long outer, channels, inner;
} styling;

static void styling_job(void *data, int thread, int threads) {
    const styling *s = data;
    long from, to;
    share(s->outer, thread, threads, &from, &to);
    for (long o = from; o < to; o++)
        for (long c = 0; c < s->channels; c++)
            for (long i = 0; i < s->inner; i++) {
                const long at = (o * s->channels + c) * s->inner + i;
                s->y[at] = s->x[at] * (s->factor ? s->factor[c] : 1) + (s->summand ? s->summand[c] : 0);
            }
}

/* y [outer][channels][inner] = x * factor + summand */
void style_weights(const float *x, const float *factor, const float *summand, float *y, long outer, long channels,
                   long inner) {
    styling s = {x, factor, summand, y, outer, channels, inner};
    perform(styling_job, &s, sizeof s, 1);
}

/* the first layer: planes x [4][pixels] -> leaky(1x1 convolution), a = weights [4][channels] */
static void stem_job(void *data, int thread, int threads) {
    const pass *p = data;
    long from, to;
    share(p->size, thread, threads, &from, &to);
    for (long i = from; i < to; i++)
        for (long c = 0; c < p->channels; c += LANES) {
            v16 sum = load(p->b + c);
            for (int k = 0; k < 4; k++) sum += all(p->x[k * p->size + i]) * load(p->a + k * p->channels + c);
            store(p->y + i * p->channels + c, leaky(sum));
        }
}

void stem(const float *planes, const float *weights, const float *bias, float *y, long pixels, long channels) {
    pass p = {planes, weights, bias, y, pixels, channels};
    perform(stem_job, &p, sizeof p, 0);
}

/* ---- heads: flow, mask and depth at one resolution; per pixel 16 floats: flow 0-2, depth motion 3-7, depth 8 ---- */

typedef struct {
    const float *x, *feature, *previous; /* previous [size / 2][size / 2][16] or NULL */
    const float *flow_weight;            /* [3][channels], this frame's */
    const float *motion_weight;          /* [5][channels], this frame's */
    const float *depth_weight;           /* [channels] */
    const float *bias;                   /* [16] in the order above */
    const float *mix;                    /* [5] of the softmax into depth, then bias before and offset after */
    float *blended;                      /* may be x itself; NULL at the last resolution */
    float *heads;
    long size, channels;
} head;

static v16 upsampled(const float *previous, long size, long y, long x) {
    const long half = size / 2, y0 = (y - 1) >> 1, x0 = (x - 1) >> 1; /* weights 1/4 and 3/4, nearer one more */
    const float wy = (y & 1) ? 0.25f : 0.75f, wx = (x & 1) ? 0.25f : 0.75f;
    v16 sum = all(0);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            long yy = y0 + i, xx = x0 + j;
            if (yy < 0 || yy >= half || xx < 0 || xx >= half) continue;
            sum += all((i ? wy : 1 - wy) * (j ? wx : 1 - wx)) * load(previous + (yy * half + xx) * HEAD);
        }
    return sum;
}

/* `count` pixels of one row from x0 on, at most sixteen: one lane each wherever no channels are involved */
static void head_span(const head *h, long y, long x0, long count) {
    const long n = h->size, channels = h->channels;
    const float *row = h->x + (y * n + x0) * channels;
    float value[HEAD][LANES] = {{0}}, coarse_depth[LANES] = {0}, mask[LANES], px[LANES], py[LANES];
    v16 sums[6][LANES];
    memset(sums, 0, sizeof sums);
    for (long i = 0; i < count; i++) {
        v16 coarse = h->previous ? upsampled(h->previous, n, y, x0 + i) : all(0);
        coarse_depth[i] = coarse[8];
        coarse += load(h->bias);
        for (int k = 0; k < 8; k++) value[k][i] = coarse[k];
        v16 f0 = all(0), f1 = all(0), f2 = all(0);
        for (long c = 0; c < channels; c += LANES) {
            v16 v = load(row + i * channels + c);
            f0 += v * load(h->flow_weight + c);
            f1 += v * load(h->flow_weight + channels + c);
            f2 += v * load(h->flow_weight + 2 * channels + c);
        }
        sums[0][i] = f0;
        sums[1][i] = f1;
        sums[2][i] = f2;
    }
    for (int k = 0; k < 3; k++) store(value[k], load(value[k]) + totals(sums[k]));
    store(mask, all(1) / (all(1) + exponential(-load(value[2]))));
    /* grid_sample with align_corners=False of the identity grid, -1 at the first and 1 at the last pixel's centre */
    const float step = 2.0f / (n - 1);
    v16 column = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    store(px, (((column + all(x0)) * all(step) + hyperbolic_tangent(load(value[0]))) * all(n) - all(1)) * all(0.5f));
    store(py, ((all(y * step) + hyperbolic_tangent(load(value[1]))) * all(n) - all(1)) * all(0.5f));
    for (long i = 0; i < count; i++) {
        const float fx = floorf(px[i]), fy = floorf(py[i]), ax = px[i] - fx, ay = py[i] - fy;
        const long left = (long)fx, top = (long)fy;
        const float *at = row + i * channels, *corner[4];
        float weight[4];
        int corners = 0;
        for (int k = 0; k < 4; k++) {
            long yy = top + (k >> 1), xx = left + (k & 1);
            if (yy < 0 || yy >= n || xx < 0 || xx >= n) continue;
            corner[corners] = h->feature + (yy * n + xx) * channels;
            weight[corners++] = (k >> 1 ? ay : 1 - ay) * (k & 1 ? ax : 1 - ax) * mask[i];
        }
        v16 m[5] = {all(0), all(0), all(0), all(0), all(0)}, d = all(0);
        for (long c = 0; c < channels; c += LANES) {
            v16 warped = all(0);
            for (int k = 0; k < corners; k++) warped += all(weight[k]) * load(corner[k] + c);
            d += warped * load(h->depth_weight + c);
            v16 v = warped + load(at + c) * all(1.0f - mask[i]);
            for (int k = 0; k < 5; k++) m[k] += v * load(h->motion_weight + k * channels + c);
            if (h->blended) store(h->blended + (y * n + x0 + i) * channels + c, v);
        }
        for (int k = 0; k < 5; k++) sums[k][i] = m[k];
        sums[5][i] = d;
    }
    v16 greatest = all(-INFINITY), sum = all(0), mixed = all(0);
    for (int k = 0; k < 5; k++) {
        store(value[3 + k], load(value[3 + k]) + totals(sums[k]));
        greatest = greater_of(greatest, load(value[3 + k]));
    }
    for (int k = 0; k < 5; k++) {
        v16 e = exponential(load(value[3 + k]) - greatest);
        sum += e;
        mixed += e * all(h->mix[k]);
    }
    v16 depth = totals(sums[5]) + mixed / sum + all(h->mix[5]);
    store(value[8], leaky(depth) + all(h->mix[6]) + load(coarse_depth));
    for (long i = 0; i < count; i++) {
        float *out = h->heads + (y * n + x0 + i) * HEAD;
        for (int k = 0; k < HEAD; k++) out[k] = value[k][i];
    }
}

static void head_job(void *data, int thread, int threads) {
    const head *h = data;
    long from, to;
    share(h->size, thread, threads, &from, &to);
    for (long y = from; y < to; y++)
        for (long x = 0; x < h->size; x += LANES) head_span(h, y, x, least(LANES, h->size - x));
}

void heads(const float *x, const float *feature, const float *previous, const float *flow_weight,
           const float *motion_weight, const float *depth_weight, const float *bias, const float *mix, float *blended,
           float *out, long size, long channels) {
    head h = {x, feature, previous, flow_weight, motion_weight, depth_weight, bias, mix, blended, out, size, channels};
    perform(head_job, &h, sizeof h, 0);
}

/* ---- the flow generator: 3x3 convolution of the flow logits, weights [2][3][3][3] (out, in, y, x), this frame's ---- */

typedef struct {
    const float *heads, *weight, *bias;
    float *flow, *depth;
    long size;
} student;

static void student_job(void *data, int thread, int threads) {
    const student *s = data;
    const long n = s->size;
    long from, to;
    share(n, thread, threads, &from, &to);
    for (long y = from; y < to; y++)
        for (long x = 0; x < n; x++) {
            float offset[2] = {s->bias[0], s->bias[1]};
            for (int i = -1; i <= 1; i++)
                for (int j = -1; j <= 1; j++) {
                    if (y + i < 0 || y + i >= n || x + j < 0 || x + j >= n) continue;
                    const float *logits = s->heads + ((y + i) * n + x + j) * HEAD;
                    for (int o = 0; o < 2; o++)
                        for (int c = 0; c < 3; c++)
                            offset[o] += logits[c] * s->weight[o * 27 + c * 9 + (i + 1) * 3 + j + 1];
                }
            float *flow = s->flow + (y * n + x) * 2;
            flow[0] = -1.0f + 2.0f * x / (n - 1) + tanhf(offset[0]);
            flow[1] = -1.0f + 2.0f * y / (n - 1) + tanhf(offset[1]);
            s->depth[y * n + x] = s->heads[(y * n + x) * HEAD + 8];
        }
}

void final_flow(const float *head_values, const float *weight, const float *bias, float *flow, float *depth, long size) {
    student s = {head_values, weight, bias, flow, depth, size};
    perform(student_job, &s, sizeof s, 0);
}

/* ---- sparse products with four columns: rows given by start [rows + 1], column and value ---- */

typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));

typedef struct {
    const int32_t *start, *column;
    const float *value, *x;
    float *y;
    long rows, share, width; /* share: divide rows by their fourth number; width: numbers stored of each row, 3 or 4 */
} sparse;

static inline v4 sparse_row(const sparse *s, int32_t i, int32_t end) {
    v4 a = {0, 0, 0, 0}, b = a, c = a, d = a; /* four sums at once: no addition waits for the one before */
    for (; i + 3 < end; i += 4) {
        a += s->value[i] * *(const v4 *)(s->x + 4 * (long)s->column[i]);
        b += s->value[i + 1] * *(const v4 *)(s->x + 4 * (long)s->column[i + 1]);
        c += s->value[i + 2] * *(const v4 *)(s->x + 4 * (long)s->column[i + 2]);
        d += s->value[i + 3] * *(const v4 *)(s->x + 4 * (long)s->column[i + 3]);
    }
    for (; i < end; i++) a += s->value[i] * *(const v4 *)(s->x + 4 * (long)s->column[i]);
    return (a + b) + (c + d);
}

static void sparse_job(void *data, int thread, int threads) {
    const sparse *s = data;
    long from, to;
    share(s->rows, thread, threads, &from, &to);
    for (long row = from; row < to; row++) {
        v4 sum = sparse_row(s, s->start[row], s->start[row + 1]);
        if (s->share && sum[3] > 0) sum *= 1.0f / sum[3];
        if (s->width == 4)
            *(v4 *)(s->y + 4 * row) = sum;
        else
            memcpy(s->y + 3 * row, &sum, 3 * sizeof(float));
    }
}

void sparse_product(const int32_t *start, const int32_t *column, const float *value, const float *x, float *y,
                    long rows, long divide_by_share, long width) {
    sparse s = {start, column, value, x, y, rows, divide_by_share, width};
    perform(sparse_job, &s, sizeof s, 0);
}
