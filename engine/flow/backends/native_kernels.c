/* The live graph's heavy operations for CPUs: channels-last float32, Winograd convolutions, a small thread pool.

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
static inline float total(v16 v) {
    float s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
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
    in_parallel(wino_job, &w);
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
    in_parallel(tapped_job, &t);
}

/* ---- the four-tap filter (1, 3, 3, 1), over zeros outside ---- */

typedef struct {
    const float *x, *scale, *bias; /* bias not NULL: y = leaky(filtered * scale + bias) */
    float *y;
    long x_size, y_size, channels, pad, stride;
    float gain; /* of one axis */
    float **scratch;
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
        for (long column = 0; column < f->y_size; column++)
            for (long c = 0; c < f->channels; c += LANES) {
                const float *p = line + column * f->stride * f->channels + c;
                v16 sum = outer * (load(p) + load(p + 3 * f->channels));
                sum += inner * (load(p + f->channels) + load(p + 2 * f->channels));
                if (f->bias) sum = leaky(sum * load(f->scale + c) + load(f->bias + c));
                store(y + column * f->channels + c, sum);
            }
    }
}

void filter_picture(const float *x, const float *scale, const float *bias, float *y, long x_size, long y_size,
                    long channels, long pad, long stride, float gain, float **scratch) {
    filter f = {x, scale, bias, y, x_size, y_size, channels, pad, stride, gain, scratch};
    in_parallel(filter_job, &f);
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
    in_parallel(pad_job, &p);
}

/* y = leaky(y + bias) */
static void activate_job(void *data, int thread, int threads) {
    const pass *p = data;
    long from, to;
    share(p->size, thread, threads, &from, &to);
    for (long i = from; i < to; i++)
        for (long c = 0; c < p->channels; c += LANES) {
            float *y = p->y + i * p->channels + c;
            store(y, leaky(load(y) + load(p->b + c)));
        }
}

void activate(float *y, const float *bias, long pixels, long channels) {
    pass p = {NULL, NULL, bias, y, pixels, channels};
    in_parallel(activate_job, &p);
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
    in_parallel(stem_job, &p);
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

static void head_pixel(const head *h, long y, long x) {
    const long n = h->size, channels = h->channels;
    const float *at = h->x + (y * n + x) * channels;
    v16 out = load(h->bias);
    v16 coarse = h->previous ? upsampled(h->previous, n, y, x) : all(0);
    float coarse_depth = coarse[8];
    out += coarse;
    v16 f0 = all(0), f1 = all(0), f2 = all(0);
    for (long c = 0; c < channels; c += LANES) {
        v16 v = load(at + c);
        f0 += v * load(h->flow_weight + c);
        f1 += v * load(h->flow_weight + channels + c);
        f2 += v * load(h->flow_weight + 2 * channels + c);
    }
    out[0] += total(f0);
    out[1] += total(f1);
    out[2] += total(f2);
    const float mask = 1.0f / (1.0f + expf(-out[2]));
    /* grid_sample with align_corners=False of the identity grid, -1 at the first and 1 at the last pixel's centre */
    const float gx = -1.0f + 2.0f * x / (n - 1) + tanhf(out[0]), gy = -1.0f + 2.0f * y / (n - 1) + tanhf(out[1]);
    const float px = ((gx + 1) * n - 1) * 0.5f, py = ((gy + 1) * n - 1) * 0.5f;
    const float fx = floorf(px), fy = floorf(py), ax = px - fx, ay = py - fy;
    const long x0 = (long)fx, y0 = (long)fy;
    const float *corner[4];
    float weight[4];
    int corners = 0;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            long yy = y0 + i, xx = x0 + j;
            if (yy < 0 || yy >= n || xx < 0 || xx >= n) continue;
            corner[corners] = h->feature + (yy * n + xx) * channels;
            weight[corners++] = (i ? ay : 1 - ay) * (j ? ax : 1 - ax) * mask;
        }
    v16 m[5] = {all(0), all(0), all(0), all(0), all(0)}, d = all(0);
    for (long c = 0; c < channels; c += LANES) {
        v16 warped = all(0);
        for (int i = 0; i < corners; i++) warped += all(weight[i]) * load(corner[i] + c);
        d += warped * load(h->depth_weight + c);
        v16 v = warped + load(at + c) * all(1.0f - mask);
        for (int i = 0; i < 5; i++) m[i] += v * load(h->motion_weight + i * channels + c);
        if (h->blended) store(h->blended + (y * n + x) * channels + c, v);
    }
    float greatest = -INFINITY, sum = 0, mixed = 0;
    for (int i = 0; i < 5; i++) {
        out[3 + i] += total(m[i]);
        greatest = fmaxf(greatest, out[3 + i]);
    }
    for (int i = 0; i < 5; i++) {
        float e = expf(out[3 + i] - greatest);
        sum += e;
        mixed += e * h->mix[i];
    }
    float depth = total(d) + mixed / sum + h->mix[5];
    out[8] = (depth > 0 ? depth : SLOPE * depth) + h->mix[6] + coarse_depth;
    store(h->heads + (y * n + x) * HEAD, out);
}

static void head_job(void *data, int thread, int threads) {
    const head *h = data;
    long from, to;
    share(h->size, thread, threads, &from, &to);
    for (long y = from; y < to; y++)
        for (long x = 0; x < h->size; x++) head_pixel(h, y, x);
}

void heads(const float *x, const float *feature, const float *previous, const float *flow_weight,
           const float *motion_weight, const float *depth_weight, const float *bias, const float *mix, float *blended,
           float *out, long size, long channels) {
    head h = {x, feature, previous, flow_weight, motion_weight, depth_weight, bias, mix, blended, out, size, channels};
    in_parallel(head_job, &h);
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
    in_parallel(student_job, &s);
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
    in_parallel(sparse_job, &s);
}

/* ---- pixels that look at controllers, see flow_tracking.py: for each controller the sums of weight, weight * column
   and weight * row over the pixels that land on it; `at` [(size + 3)^2] is the controller there, or -1 ---- */

typedef struct {
    const float *flow;
    const int32_t *at;
    const uint8_t *wanted; /* whether any of the four pixels from here on is a controller */
    double *sums;          /* [threads][controllers][3], added to */
    long size, controllers;
} splat;

static inline float within(float value, float most) { /* zero for what is no number */
    return value > 0 ? (value < most ? value : most) : 0;
}

static void splat_job(void *data, int thread, int threads) {
    const splat *s = data;
    const long n = s->size, stride = n + 3;
    const float half = 0.5f * n, most = n + 1;
    double *sums = s->sums + thread * s->controllers * 3;
    long from, to;
    share(n, thread, threads, &from, &to);
    for (long row = from; row < to; row++)
        for (long column = 0; column < n; column++) {
            const float *flow = s->flow + (row * n + column) * 2;
            const float x = within(flow[0] * half + (half + 1), most), y = within(flow[1] * half + (half + 1), most);
            const long base = (long)y * stride + (long)x;
            if (!s->wanted[base]) continue;
            const double ax = x - (float)(long)x, ay = y - (float)(long)y;
            for (int i = 0; i < 4; i++) {
                const int32_t controller = s->at[base + (i >> 1) * stride + (i & 1)];
                if (controller < 0) continue;
                const double weight = (i & 1 ? ax : 1 - ax) * (i >> 1 ? ay : 1 - ay);
                double *sum = sums + controller * 3;
                sum[0] += weight;
                sum[1] += weight * column;
                sum[2] += weight * row;
            }
        }
}

void splat_flow(const float *flow, const int32_t *at, const uint8_t *wanted, double *sums, long size,
                long controllers) {
    splat s = {flow, at, wanted, sums, size, controllers};
    in_parallel(splat_job, &s);
}
