// This project's own networks for one thread: see native_generator.py. Pictures are [rows, columns,
// channels], channels in multiples of eight; what heads say is kept as planes with a border of zeros.
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define LANES 8
typedef float f8 __attribute__((vector_size(32)));
typedef float f8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t i8 __attribute__((vector_size(32)));
typedef int32_t i8u __attribute__((vector_size(32), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (i8){__VA_ARGS__})
#endif
#ifdef __AVX512F__ // with 32 registers
#define WIDE 16 // numbers in the widest of them
#define ROWS 12
#else
#define WIDE 8
#define ROWS 6
#endif
#define VECTORS 2 // registers of results beside each other
typedef float wide __attribute__((vector_size(4 * WIDE)));
typedef float wideu __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));

enum { TILE = 4, SPAN = 6, POINTS = SPAN * SPAN, BLOCK = 32, PLANES = 9, MARGIN = 8, CHUNK = 64, MOST_SIZE = 512, MOST_WIDTH = 512 };
static const float SLOPE = 0.2f, EPSILON = 5e-9f;

INLINE f8 all(float x) { return (f8){x, x, x, x, x, x, x, x}; }
INLINE f8 load(const float *from) { return *(const f8u *)from; }
INLINE void store(float *to, f8 x) { *(f8u *)to = x; }
#ifdef __AVX2__ // what compilers do not find by themselves
INLINE f8 most(f8 a, f8 b) { return (f8)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE f8 least(f8 a, f8 b) { return (f8)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE f8 lower(f8 a) { return (f8)_mm256_floor_ps((__m256)a); }
#else
INLINE f8 pick(i8 which, f8 yes, f8 no) { return (f8)((which & (i8)yes) | (~which & (i8)no)); }
INLINE f8 most(f8 a, f8 b) { return pick(a > b, a, b); }
INLINE f8 least(f8 a, f8 b) { return pick(a < b, a, b); }
INLINE f8 lower(f8 a) {
    f8 whole = __builtin_convertvector(__builtin_convertvector(a, i8), f8);
    return whole - (f8)((whole > a) & (i8)all(1));
}
#endif
INLINE f8 leaky(f8 x) { return most(x, x * all(SLOPE)); } // the slope is below one
INLINE f8 exponential(f8 x) { // to 2e-7 of the result; 2^n times a polynomial
    x = least(most(x, all(-87.0f)), all(87.0f));
    i8 n = __builtin_convertvector(x * all(1.44269504f) + all(128.5f), i8) - 128;
    f8 r = x - __builtin_convertvector(n, f8) * all(0.693147181f);
    f8 p = all(1.0f / 5040);
    p = p * r + all(1.0f / 720);
    p = p * r + all(1.0f / 120);
    p = p * r + all(1.0f / 24);
    p = p * r + all(1.0f / 6);
    p = p * r + all(0.5f);
    p = p * r + all(1);
    p = p * r + all(1);
    return p * (f8)((n + 127) << 23);
}
INLINE f8 hyperbolic_tangent(f8 x) { return all(1) - all(2) / (exponential(x + x) + all(1)); }
INLINE f8 sigmoid(f8 x) { return all(1) / (all(1) + exponential(-x)); }
INLINE void interleave(f8 a, f8 b, f8 *first, f8 *second) {
    *first = SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    *second = SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
INLINE void transpose(f8 *m) { // eight rows become eight columns
    f8 a[8], b[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        a[2 * i] = SHUFFLE(m[2 * i], m[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        a[2 * i + 1] = SHUFFLE(m[2 * i], m[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 2
        for (int k = 0; k < 2; ++k) {
            b[i + 2 * k] = SHUFFLE(a[i + k], a[i + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            b[i + 2 * k + 1] = SHUFFLE(a[i + k], a[i + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        m[i] = SHUFFLE(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        m[i + 4] = SHUFFLE(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

// ---------------------------------------------------------------------------------------------------------- products
// `rows` places of `a`, `step` apart, times a panel of the weights [taps · depth, vectors of `type`]; a tap begins
// `offsets` beside a place.
#define PRODUCT(name, type, typeu)                                                                                     \
    INLINE void name(const int rows, const int vectors, const float *a, long step, int taps, const long *offsets,      \
                     long depth, const float *weights, float *y, long y_step) {                                        \
        const int lanes = sizeof(type) / sizeof(float);                                                                \
        type sum[ROWS][VECTORS];                                                                                       \
        _Pragma("GCC unroll 12") for (int r = 0; r < rows; ++r)                                                        \
            _Pragma("GCC unroll 2") for (int v = 0; v < vectors; ++v) sum[r][v] = (type){0};                           \
        for (int t = 0; t < taps; ++t) {                                                                               \
            const float *from = a + offsets[t];                                                                        \
            for (long k = 0; k < depth; ++k, weights += vectors * lanes) {                                             \
                type w[VECTORS];                                                                                       \
                _Pragma("GCC unroll 2") for (int v = 0; v < vectors; ++v) w[v] = *(const typeu *)(weights + v * lanes);  \
                _Pragma("GCC unroll 12") for (int r = 0; r < rows; ++r)                                                \
                    _Pragma("GCC unroll 2") for (int v = 0; v < vectors; ++v) sum[r][v] += from[r * step + k] * w[v];  \
            }                                                                                                          \
        }                                                                                                              \
        _Pragma("GCC unroll 12") for (int r = 0; r < rows; ++r)                                                        \
            _Pragma("GCC unroll 2") for (int v = 0; v < vectors; ++v)                                                  \
                *(typeu *)(y + r * y_step + v * lanes) = sum[r][v];                                                    \
    }
PRODUCT(wide_product, wide, wideu)
PRODUCT(narrow_product, f8, f8u)

// Results beside each other in panels, of which as many as fit are as wide as `panel_width`, then one of half of it and
// one of eight where so many are left.
INLINE void products(const int results, long count, const float *a, long step, int taps, const long *offsets,
                     long depth, const float *weights, float *y, long y_step) {
    long parts = (count + ROWS - 1) / ROWS; // as even as can be
    for (long done = 0; parts > 0; --parts) {
        long rows = (count - done + parts - 1) / parts;
        const float *from = a + done * step;
        float *to = y + done * y_step;
#define CASE(n)                                                                                                        \
    case n:                                                                                                            \
        if (results == LANES) narrow_product(n, 1, from, step, taps, offsets, depth, weights, to, y_step);            \
        else wide_product(n, results / WIDE, from, step, taps, offsets, depth, weights, to, y_step);                  \
        break;
        switch (rows) {
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if ROWS == 12
            CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
        }
#undef CASE
        done += rows;
    }
}

typedef struct {
    long rows, columns, x_row, x_column, y_row, y_column; // of results; from one to the next
    long depth, results;
    int taps;
    const long *offsets;
} Taps;

long panel_width(void) { return VECTORS * WIDE; }

// Weights are panels [taps · depth, results of the panel], one after the other.
static void convolve(const Taps *t, const float *x, const float *weights, float *y) {
    for (long first = 0; first < t->results;) {
        const long left = t->results - first, width = left >= 2 * WIDE ? 2 * WIDE : left >= WIDE ? WIDE : LANES;
        for (long row = 0; row < t->rows; ++row) {
            const float *a = x + row * t->x_row;
            float *to = y + row * t->y_row + first;
            if (width == 2 * WIDE)
                products(2 * WIDE, t->columns, a, t->x_column, t->taps, t->offsets, t->depth, weights, to, t->y_column);
            else if (width == WIDE)
                products(WIDE, t->columns, a, t->x_column, t->taps, t->offsets, t->depth, weights, to, t->y_column);
            else products(LANES, t->columns, a, t->x_column, t->taps, t->offsets, t->depth, weights, to, t->y_column);
        }
        weights += t->taps * t->depth * width;
        first += width;
    }
}

// y [columns] = bias + matrix [rows, columns] x, or 1 / √(matrix x² + ε) where there is no bias: the demodulation
static void affine(const float *matrix, const float *x, const float *bias, float *y, long rows, long columns) {
    enum { TOGETHER = 8 }; // vectors whose sums are kept in registers
    for (long c = 0; c < columns; c += TOGETHER * LANES) {
        const int many = columns - c < TOGETHER * LANES ? (columns - c) / LANES : TOGETHER;
        f8 sum[TOGETHER];
        for (int v = 0; v < many; ++v) sum[v] = bias ? load(bias + c + v * LANES) : all(EPSILON);
        for (long r = 0; r < rows; ++r) {
            const f8 factor = all(bias ? x[r] : x[r] * x[r]);
            const float *row = matrix + r * columns + c;
            if (many == TOGETHER)
#pragma GCC unroll 8
                for (int v = 0; v < TOGETHER; ++v) sum[v] += load(row + v * LANES) * factor;
            else
                for (int v = 0; v < many; ++v) sum[v] += load(row + v * LANES) * factor;
        }
        for (int v = 0; v < many; ++v) store(y + c + v * LANES, sum[v]);
    }
    for (long c = 0; !bias && c < columns; ++c) y[c] = 1.0f / sqrtf(y[c]);
}

// ------------------------------------------------------- 3x3 at one size: Winograd's F(4x4, 3x3) (Lavin and Gray 2016)
typedef struct {
    const float *x, *style, *weights, *scale, *bias; // weights of 36 points, each in panels
    float *y, *scratch;
    long size, depth, results;
} Same;

static void transform_input(const Same *s, long ty, long tx, float *u, long apart) {
    const long n = s->size, channels = s->depth;
    for (long c = 0; c < channels; c += LANES) {
        f8 d[SPAN][SPAN], style = load(s->style + c);
        for (int i = 0; i < SPAN; ++i)
            for (int j = 0; j < SPAN; ++j) {
                long y = ty * TILE + i - 1, x = tx * TILE + j - 1;
                d[i][j] = all(0);
                if (y >= 0 && y < n && x >= 0 && x < n) d[i][j] = load(s->x + (y * n + x) * channels + c) * style;
            }
#define LINE(A, B, C, D, E, F)                                                                                        \
    {                                                                                                                 \
        f8 a = A, b = B, cc = C, dd = D, e = E, f = F;                                                                \
        A = 4.0f * a - 5.0f * cc + e;                                                                                 \
        B = -4.0f * (b + cc) + dd + e;                                                                                \
        C = 4.0f * (b - cc) - dd + e;                                                                                 \
        D = 2.0f * (dd - b) - cc + e;                                                                                 \
        E = 2.0f * (b - dd) - cc + e;                                                                                 \
        F = 4.0f * b - 5.0f * dd + f;                                                                                 \
    }
        for (int j = 0; j < SPAN; ++j) LINE(d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j])
        for (int i = 0; i < SPAN; ++i) {
            LINE(d[i][0], d[i][1], d[i][2], d[i][3], d[i][4], d[i][5])
            for (int j = 0; j < SPAN; ++j) store(u + (i * SPAN + j) * apart + c, d[i][j]);
        }
#undef LINE
    }
}

static void transform_output(const Same *s, long ty, long tx, const float *m, long apart) {
    const long n = s->size, channels = s->results;
    for (long c = 0; c < channels; c += LANES) {
        f8 t[TILE][SPAN], scale = load(s->scale + c), bias = load(s->bias + c);
        for (int j = 0; j < SPAN; ++j) {
            f8 d[SPAN];
            for (int i = 0; i < SPAN; ++i) d[i] = load(m + (i * SPAN + j) * apart + c);
            f8 s1 = d[1] + d[2], d1 = d[1] - d[2], s2 = d[3] + d[4], d2 = d[3] - d[4];
            t[0][j] = d[0] + s1 + s2;
            t[1][j] = d1 + 2.0f * d2;
            t[2][j] = s1 + 4.0f * s2;
            t[3][j] = d1 + 8.0f * d2 + d[5];
        }
        for (int i = 0; i < TILE; ++i) {
            f8 s1 = t[i][1] + t[i][2], d1 = t[i][1] - t[i][2], s2 = t[i][3] + t[i][4], d2 = t[i][3] - t[i][4];
            f8 r[TILE] = {t[i][0] + s1 + s2, d1 + 2.0f * d2, s1 + 4.0f * s2, d1 + 8.0f * d2 + t[i][5]};
            float *out = s->y + ((ty * TILE + i) * n + tx * TILE) * channels + c;
            for (int j = 0; j < TILE; ++j) store(out + j * channels, leaky(r[j] * scale + bias));
        }
    }
}

// Floats of scratch for it: what two points are apart is no multiple of a page, where their cache lines would meet.
long same_scratch(long size, long depth, long results) {
    long tiles = size / TILE * (size / TILE), block = tiles < BLOCK ? tiles : BLOCK;
    return POINTS * (block * (depth + results) + 2 * MARGIN * 2);
}

static void convolve_same(const Same *s) {
    static const long nowhere = 0;
    const long across = s->size / TILE, tiles = across * across, point = s->depth * s->results;
    for (long first = 0; first < tiles; first += BLOCK) {
        const long count = tiles - first < BLOCK ? tiles - first : BLOCK;
        const long u_apart = count * s->depth + 2 * MARGIN, m_apart = count * s->results + 2 * MARGIN;
        float *u = s->scratch, *m = u + POINTS * u_apart;
        for (long t = 0; t < count; ++t)
            transform_input(s, (first + t) / across, (first + t) % across, u + t * s->depth, u_apart);
        const Taps taps = {1, count, 0, s->depth, 0, s->results, s->depth, s->results, 1, &nowhere};
        for (int p = 0; p < POINTS; ++p) convolve(&taps, u + p * u_apart, s->weights + p * point, m + p * m_apart);
        for (long t = 0; t < count; ++t)
            transform_output(s, (first + t) / across, (first + t) % across, m + t * s->results, m_apart);
    }
}

// ------------------------------------------------------------------------------------------------------------- levels
typedef struct {
    long size, depth, results;                         // channels of what comes in and goes out
    long up_style, same_style, flow_style, motion_style; // where each begins among the styles
    const float *up_energy, *up_bias, *up_weights[4];  // [depth, results]; by parity (row, column) of the result
    const float *same_energy, *same_bias, *same_weights;
    const float *feature;              // [size, size, results] of the avatar
    const float *seen, *warped;        // [results, 8] heads of what comes, 3 of flow and 5 of depth's motion, and of the
                                       // warped feature: 5 of depth's motion, depth itself, 2 empty
    const float *bias, *mix;           // [8]; [7] of the softmax into depth, then bias before and offset after
    float *padded, *raw, *x, *y, *planes;
} Level;

INLINE long plane_row(long size) { return size + 2 * MARGIN; }
INLINE long plane_size(long size) { return (size + 2) * plane_row(size); }
INLINE float *plane_at(float *planes, long size, int plane, long row) {
    return planes + plane * plane_size(size) + (row + 1) * plane_row(size) + MARGIN;
}

// Transposed convolution: output 2i collects tap 0 from pixel i and tap 2 from pixel i - 1, output 2i + 1 tap 1 from i.
static void twice(const Level *l, const float *x, const float *style) {
    const long half = l->size / 2, in_row = (half + 2) * l->depth, out_row = (2 * half + 1) * l->results;
    for (long row = 0; row < half; ++row)
        for (long column = 0; column < half; ++column)
            for (long c = 0; c < l->depth; c += LANES)
                store(l->padded + (row + 1) * in_row + (column + 1) * l->depth + c,
                      load(x + (row * half + column) * l->depth + c) * load(style + c));
    for (int parity = 0; parity < 4; ++parity) {
        const int odd_row = parity >> 1, odd_column = parity & 1;
        long offsets[4];
        int taps = 0;
        for (int i = 0; i <= !odd_row; ++i)
            for (int j = 0; j <= !odd_column; ++j) offsets[taps++] = (1 - i) * in_row + (1 - j) * l->depth;
        const Taps t = {half + 1 - odd_row, half + 1 - odd_column, in_row, l->depth, 2 * out_row, 2 * l->results,
                        l->depth, l->results, taps, offsets};
        convolve(&t, l->padded, l->up_weights[parity], l->raw + (odd_row + 1) * out_row + odd_column * l->results);
    }
}

// The filter (1, 3, 3, 1) / 4 along both axes after it, demodulation, bias and activation.
static void filtered(const Level *l, const float *scale) {
    const long n = l->size, channels = l->results, row = (n + 1) * channels;
    float line[(MOST_SIZE + 3) * 8];
    memset(line, 0, sizeof(float) * LANES);
    for (long y = 0; y < n; ++y)
        for (long c = 0; c < channels; c += LANES) {
            const float *from = l->raw + y * row + c; // a row of zeros comes first
            for (long x = 0; x <= n; ++x, from += channels)
                store(line + (x + 1) * LANES, load(from) + load(from + 3 * row) + 3.0f * (load(from + row) + load(from + 2 * row)));
            store(line + (n + 2) * LANES, all(0));
            const f8 factor = load(scale + c) * all(1.0f / 16), bias = load(l->up_bias + c);
            f8 a = load(line), b = load(line + LANES), d = load(line + 2 * LANES);
            for (long x = 0; x < n; ++x) {
                f8 e = load(line + (x + 3) * LANES);
                store(l->x + (y * n + x) * channels + c, leaky((a + e + 3.0f * (b + d)) * factor + bias));
                a = b, b = d, d = e;
            }
        }
}

// A row of the coarser planes, doubled; nothing comes from outside of them.
static void doubled(float *planes, long half, int plane, long y, float *out) {
    const float *above = plane_at(planes, half, plane, (y - 1) >> 1), *below = above + plane_row(half);
    const f8 wa = all(y & 1 ? 0.75f : 0.25f), wb = all(y & 1 ? 0.25f : 0.75f), near = all(0.75f), far = all(0.25f);
    for (long x = 0; x < half; x += LANES) {
        f8 first, second, here = load(above + x) * wa + load(below + x) * wb;
        f8 before = load(above + x - 1) * wa + load(below + x - 1) * wb;
        f8 after = load(above + x + 1) * wa + load(below + x + 1) * wb;
        interleave(here * near + before * far, here * near + after * far, &first, &second);
        store(out + 2 * x, first);
        store(out + 2 * x + LANES, second);
    }
}

// What heads [channels, 8] make of `count` pixels: eight planes, CHUNK apart.
static void heads_of(const float *x, long count, long channels, const float *heads, float *planes) {
    static const long nowhere = 0;
    for (long i = 0; i < count; i += LANES) {
        float own[LANES * LANES];
        f8 m[LANES];
        products(LANES, LANES, x + i * channels, channels, 1, &nowhere, channels, heads, own, LANES);
        for (int k = 0; k < LANES; ++k) m[k] = load(own + k * LANES);
        transpose(m);
        for (int k = 0; k < LANES; ++k) store(planes + k * CHUNK + i, m[k]);
    }
}

typedef struct { // of pixels of a row: where each looks, and how much of each of four neighbours it takes
    int32_t at[4][CHUNK];
    float weight[4][CHUNK];
} Corners;

// grid_sample with align_corners=False of the identity grid, -1 at the first and 1 at the last pixel's centre, plus
// flow: of outside counts nothing.
INLINE void find_corners(f8 flow_x, f8 flow_y, long y, long x, long n, Corners *corners, long i) {
    const f8 step = all(2.0f / (n - 1)), size = all(n), zero = all(0), one = all(1), last = all(n - 1);
    const f8 column = (f8){0, 1, 2, 3, 4, 5, 6, 7} + all(x);
    f8 px = ((column * step + flow_x) * size - one) * all(0.5f), py = ((all(y) * step + flow_y) * size - one) * all(0.5f);
    px = least(most(px, all(-2)), size + one);
    py = least(most(py, all(-2)), size + one);
    const f8 left = lower(px), top = lower(py), ax = px - left, ay = py - top;
    for (int k = 0; k < 4; ++k) {
        const f8 cx = left + all(k & 1), cy = top + all(k >> 1);
        const f8 inside = (f8)((cx >= zero) & (cx <= last) & (cy >= zero) & (cy <= last) & (i8)one);
        const f8 at = least(most(cy, zero), last) * size + least(most(cx, zero), last);
        *(i8u *)(corners->at[k] + i) = __builtin_convertvector(at, i8);
        store(corners->weight[k] + i, (k & 1 ? ax : one - ax) * (k >> 1 ? ay : one - ay) * inside);
    }
}

static void warp(const float *feature, const Corners *corners, long count, long channels, float *warped) {
    for (long i = 0; i < count; ++i) {
        const float *a = feature + corners->at[0][i] * channels, *b = feature + corners->at[1][i] * channels;
        const float *c = feature + corners->at[2][i] * channels, *d = feature + corners->at[3][i] * channels;
        const f8 wa = all(corners->weight[0][i]), wb = all(corners->weight[1][i]), wc = all(corners->weight[2][i]),
                 wd = all(corners->weight[3][i]);
        for (long k = 0; k < channels; k += LANES)
            store(warped + i * channels + k, (load(a + k) * wa + load(b + k) * wb) + (load(c + k) * wc + load(d + k) * wd));
    }
}

// Pixels [x, x + count) of a row. Step by step for all of them: what one pixel waits for, others have done meanwhile.
static void head_chunk(const Level *l, const float *seen, const float *warped_heads, float up[PLANES][MOST_SIZE], long y,
                       long x, long count, int last) {
    const long n = l->size, channels = l->results;
    float own[LANES * CHUNK], shown[LANES * CHUNK], mask[CHUNK], warped[CHUNK * MOST_WIDTH], *to[PLANES];
    Corners corners;
    for (int plane = 0; plane < PLANES; ++plane) to[plane] = plane_at(l->planes, n, plane, y) + x;
    heads_of(l->y + (y * n + x) * channels, count, channels, seen, own);
    for (long i = 0; i < count; i += LANES) {
        f8 value[3];
        for (int k = 0; k < 3; ++k) {
            value[k] = load(own + k * CHUNK + i) + all(l->bias[k]) + load(up[k] + x + i);
            store(to[k] + i, value[k]);
        }
        store(mask + i, sigmoid(value[2]));
        find_corners(hyperbolic_tangent(value[0]), hyperbolic_tangent(value[1]), y, x + i, n, &corners, i);
    }
    warp(l->feature, &corners, count, channels, warped);
    heads_of(warped, count, channels, warped_heads, shown);
    for (long i = 0; !last && i < count; ++i) { // the widest blend is never formed: all that is asked of it is linear
        float *blended = l->y + (y * n + x + i) * channels;
        for (long k = 0; k < channels; k += LANES)
            store(blended + k, load(warped + i * channels + k) * all(mask[i]) + load(blended + k) * all(1 - mask[i]));
    }
    for (long i = 0; i < count; i += LANES) {
        const f8 with = load(mask + i), without = all(1) - with;
        f8 value[5], greatest = all(-INFINITY), sum = all(0), mixed = all(0);
        for (int k = 0; k < 5; ++k) {
            value[k] = load(shown + k * CHUNK + i) * with + load(own + (3 + k) * CHUNK + i) * without;
            value[k] += all(l->bias[3 + k]) + load(up[3 + k] + x + i);
            store(to[3 + k] + i, value[k]);
            greatest = most(greatest, value[k]);
        }
        for (int k = 0; k < 5; ++k) {
            const f8 e = exponential(value[k] - greatest);
            sum += e;
            mixed += e * all(l->mix[k]);
        }
        const f8 depth = leaky(load(shown + 5 * CHUNK + i) * with + mixed / sum + all(l->mix[5]));
        store(to[8] + i, depth + all(l->mix[6]) + load(up[8] + x + i));
    }
}

static void head_row(const Level *l, const Level *coarse, const float *seen, const float *warped_heads, long y, int last) {
    const long n = l->size;
    float up[PLANES][MOST_SIZE];
    for (int plane = 0; plane < PLANES; ++plane)
        if (coarse) doubled(coarse->planes, n / 2, plane, y, up[plane]);
        else memset(up[plane], 0, sizeof(float) * n);
    for (long x = 0; x < n; x += CHUNK)
        head_chunk(l, seen, warped_heads, up, y, x, n - x < CHUNK ? n - x : CHUNK, last);
}

static void level(const Level *l, const Level *coarse, const float *x, const float *styles, float *scratch, int last) {
    const long channels = l->results;
    float scale[MOST_WIDTH], seen[MOST_WIDTH * LANES], warped[MOST_WIDTH * LANES];
    twice(l, x, styles + l->up_style);
    affine(l->up_energy, styles + l->up_style, NULL, scale, l->depth, channels);
    filtered(l, scale);
    affine(l->same_energy, styles + l->same_style, NULL, scale, channels, channels);
    const Same same = {l->x, styles + l->same_style, l->same_weights, scale, l->same_bias, l->y, scratch, l->size, channels, channels};
    convolve_same(&same);
    for (long c = 0; c < channels; ++c) {
        const float f = styles[l->flow_style + c], m = styles[l->motion_style + c];
        store(seen + c * LANES, load(l->seen + c * LANES) * (f8){f, f, f, m, m, m, m, m});
        store(warped + c * LANES, load(l->warped + c * LANES) * (f8){m, m, m, m, m, 1, 0, 0});
    }
    for (long y = 0; y < l->size; ++y) head_row(l, coarse, seen, warped, y, last);
}

// ------------------------------------------------------------------------------------------------- the flow generator
typedef struct {
    long levels, codes, style_count, student_style, scale; // scale: of what comes out over the last level, 1 or 2
    const Level *level;
    const float *styles, *styles_bias;                                    // [codes, style_count]
    const float *first, *first_bias, *first_energy, *first_activation;    // [codes, 16 · channels]
    const float *student, *student_bias;                                  // [3, 3, 9] results, inputs, taps; [3]
    float *style, *start, *fields, *scratch; // fields: planes of flow's two offsets, mask and depth
} Generator;

// 3x3 convolution of the flow logits, into planes whose outermost values are repeated around them
static void student(const Generator *g, const Level *l) {
    const long n = l->size;
    float weights[3][27];
    for (int o = 0; o < 3; ++o)
        for (int k = 0; k < 27; ++k) weights[o][k] = g->student[o * 27 + k] * g->style[g->student_style + k / 9];
    for (long y = 0; y < n; ++y) {
        for (long x = 0; x < n; x += 2 * LANES) { // where that is too far, into the margin
            f8 sum[3][2];
            for (int o = 0; o < 3; ++o) sum[o][0] = sum[o][1] = all(g->student_bias[o]);
            for (int k = 0; k < 27; ++k) {
                const float *logits = plane_at(l->planes, n, k / 9, y + k % 9 / 3 - 1) + x + k % 3 - 1;
                const f8 first = load(logits), second = load(logits + LANES);
                for (int o = 0; o < 3; ++o) {
                    sum[o][0] += first * all(weights[o][k]);
                    sum[o][1] += second * all(weights[o][k]);
                }
            }
            for (int i = 0; i < 2; ++i) {
                store(plane_at(g->fields, n, 0, y) + x + i * LANES, hyperbolic_tangent(sum[0][i]));
                store(plane_at(g->fields, n, 1, y) + x + i * LANES, hyperbolic_tangent(sum[1][i]));
                store(plane_at(g->fields, n, 2, y) + x + i * LANES, sigmoid(sum[2][i]));
                store(plane_at(g->fields, n, 3, y) + x + i * LANES, load(plane_at(l->planes, n, 8, y) + x + i * LANES));
            }
        }
        for (int plane = 0; plane < 4; ++plane) {
            float *row = plane_at(g->fields, n, plane, y);
            row[-1] = row[0], row[n] = row[n - 1];
        }
    }
    for (int plane = 0; plane < 4; ++plane) {
        const size_t bytes = sizeof(float) * plane_row(n);
        memcpy(plane_at(g->fields, n, plane, -1) - MARGIN, plane_at(g->fields, n, plane, 0) - MARGIN, bytes);
        memcpy(plane_at(g->fields, n, plane, n) - MARGIN, plane_at(g->fields, n, plane, n - 1) - MARGIN, bytes);
    }
}

INLINE void store_flow(float *to, f8 x, f8 y) {
    f8 first, second;
    interleave(x, y, &first, &second);
    store(to, first);
    store(to + LANES, second);
}

static void as_they_are(const Generator *g, long n, float *flow, float *depth, float *mask) {
    const f8 step = all(2.0f / (n - 1)), column = {0, 1, 2, 3, 4, 5, 6, 7};
    for (long y = 0; y < n; ++y)
        for (long x = 0; x < n; x += LANES) {
            f8 fx = (column + all(x)) * step - all(1) + load(plane_at(g->fields, n, 0, y) + x);
            f8 fy = all(y) * step - all(1) + load(plane_at(g->fields, n, 1, y) + x);
            store_flow(flow + (y * n + x) * 2, fx, fy);
            store(mask + y * n + x, load(plane_at(g->fields, n, 2, y) + x));
            store(depth + y * n + x, load(plane_at(g->fields, n, 3, y) + x));
        }
}

// Bilinear; the way each pixel looks stays as long, and begins at 2 · index / size - 1.
static void enlarged(const Generator *g, long half, float *flow, float *depth, float *mask) {
    const long n = 2 * half;
    const f8 step = all(2.0f / n), column = {0, 1, 2, 3, 4, 5, 6, 7};
    float line[4][2 * MOST_SIZE];
    for (long y = 0; y < n; ++y) {
        for (int plane = 0; plane < 4; ++plane) doubled(g->fields, half, plane, y, line[plane]);
        memcpy(mask + y * n, line[2], sizeof(float) * n);
        memcpy(depth + y * n, line[3], sizeof(float) * n);
        for (long x = 0; x < n; x += LANES)
            store_flow(flow + (y * n + x) * 2, (column + all(x)) * step - all(1) + load(line[0] + x),
                       all(y) * step - all(1) + load(line[1] + x));
    }
}

// code [codes] -> flow [N, N, 2], depth [N, N], mask [N, N]
void generate(const Generator *g, const float *code, float *flow, float *depth, float *mask) {
    const long channels = g->level->depth;
    float scale[MOST_WIDTH];
    affine(g->styles, code, g->styles_bias, g->style, g->codes, g->style_count);
    affine(g->first, code, g->first_bias, g->start, g->codes, 16 * channels);
    affine(g->first_energy, g->style, NULL, scale, channels, channels);
    for (long i = 0; i < 16; ++i)
        for (long c = 0; c < channels; c += LANES) {
            float *at = g->start + i * channels + c;
            store(at, leaky(load(at) * load(scale + c) + load(g->first_activation + c)));
        }
    const float *x = g->start;
    for (long i = 0; i < g->levels; ++i) {
        level(g->level + i, i ? g->level + i - 1 : NULL, x, g->style, g->scratch, i + 1 == g->levels);
        x = g->level[i].y;
    }
    const Level *last = g->level + g->levels - 1;
    student(g, last);
    (g->scale == 1 ? as_they_are : enlarged)(g, last->size, flow, depth, mask);
}

// -------------------------------------------------------------------------------------------------------- the encoder
typedef struct {
    long size, depth, results; // of what comes in; channels of that and of what goes out
    const float *same_weights, *same_bias, *down_weights, *down_bias, *skip_weights;
    float *full, *blurred, *small, *skipped, *y;
} Block;

typedef struct {
    long blocks, codes, scale; // scale: of the driver's picture over the first block, 1 or 2
    const Block *block;
    const float *stem, *stem_bias;           // [4, channels], [channels]
    const float *to_alpha, *to_alpha_bias;   // [16 · channels, codes in multiples of eight]
    float *picture, *scratch;
} Encoder;

// The filter (1, 3, 3, 1) / 8 along both axes, from `pad` pixels outside on, at every `stride`th pixel.
static void blur(const float *x, long n, long channels, long pad, long stride, float *y) {
    const long size = (n + 2 * pad - 4) / stride + 1, row = n * channels;
    float line[(MOST_SIZE + 4) * LANES];
    for (long i = 0; i < pad; ++i) {
        store(line + i * LANES, all(0));
        store(line + (n + pad + i) * LANES, all(0));
    }
    for (long out = 0; out < size; ++out)
        for (long c = 0; c < channels; c += LANES) {
            const long first = out * stride - pad;
            const float *from = x + first * row + c;
            f8 weight[4];
            for (int k = 0; k < 4; ++k) weight[k] = all(first + k < 0 || first + k >= n ? 0.0f : k % 3 ? 3.0f / 64 : 1.0f / 64);
            const float *rows[4];
            for (int k = 0; k < 4; ++k) rows[k] = first + k < 0 || first + k >= n ? x + c : from + k * row;
            for (long i = 0; i < n; ++i) {
                const long at = i * channels;
                f8 sum = load(rows[0] + at) * weight[0] + load(rows[1] + at) * weight[1];
                store(line + (i + pad) * LANES, sum + load(rows[2] + at) * weight[2] + load(rows[3] + at) * weight[3]);
            }
            for (long i = 0; i < size; ++i) {
                const float *at = line + i * stride * LANES;
                f8 sum = load(at) + load(at + 3 * LANES) + 3.0f * (load(at + LANES) + load(at + 2 * LANES));
                store(y + (out * size + i) * channels + c, sum);
            }
        }
}

static const float *encode_block(const Block *b, const float *x, float *scratch) {
    static const long nowhere = 0;
    const long half = b->size / 2, wide_row = (b->size + 1) * b->depth;
    float ones[MOST_WIDTH];
    long offsets[9];
    for (long c = 0; c < b->depth; ++c) ones[c] = 1;
    for (int k = 0; k < 9; ++k) offsets[k] = k / 3 * wide_row + k % 3 * b->depth;
    const Same same = {x, ones, b->same_weights, ones, b->same_bias, b->full, scratch, b->size, b->depth, b->depth};
    convolve_same(&same);
    blur(b->full, b->size, b->depth, 2, 1, b->blurred);
    const Taps down = {half, half, 2 * wide_row, 2 * b->depth, half * b->results, b->results, b->depth, b->results, 9, offsets};
    convolve(&down, b->blurred, b->down_weights, b->y);
    blur(x, b->size, b->depth, 1, 2, b->small);
    const Taps skip = {1, half * half, 0, b->depth, 0, b->results, b->depth, b->results, 1, &nowhere};
    convolve(&skip, b->small, b->skip_weights, b->skipped);
    for (long i = 0; i < half * half; ++i)
        for (long c = 0; c < b->results; c += LANES) {
            float *at = b->y + i * b->results + c;
            store(at, leaky(load(at) + load(b->down_bias + c)) + load(b->skipped + i * b->results + c));
        }
    return b->y;
}

// A row of one plane of the driver's picture, blocks of scale² pixels averaged.
static void shrunk(const float *plane, long y, long n, long scale, float *line) {
    const float *above = plane + y * scale * n * scale, *below = above + n * scale;
    if (scale == 1) {
        memcpy(line, above, sizeof(float) * n);
        return;
    }
    for (long x = 0; x < n; x += LANES) {
        const f8 a = load(above + 2 * x) + load(below + 2 * x), b = load(above + 2 * x + LANES) + load(below + 2 * x + LANES);
        const f8 even = SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14), odd = SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
        store(line + x, (even + odd) * all(0.25f));
    }
}

// driving [4, N, N] -> alpha [codes in multiples of eight]
void encode(const Encoder *e, const float *driving, float *alpha) {
    const long n = e->block->size, large = n * e->scale, channels = e->block->depth;
    float line[4][MOST_SIZE];
    for (long y = 0; y < n; ++y) {
        for (int k = 0; k < 4; ++k) shrunk(driving + k * large * large, y, n, e->scale, line[k]);
        for (long c = 0; c < channels; c += LANES) {
            const f8 bias = load(e->stem_bias + c);
            f8 stem[4];
            for (int k = 0; k < 4; ++k) stem[k] = load(e->stem + k * channels + c);
            for (long x = 0; x < n; ++x) {
                const f8 first = stem[0] * all(line[0][x]) + stem[1] * all(line[1][x]);
                const f8 second = stem[2] * all(line[2][x]) + stem[3] * all(line[3][x]);
                store(e->picture + (y * n + x) * channels + c, leaky(first + second + bias));
            }
        }
    }
    const float *x = e->picture;
    for (long i = 0; i < e->blocks; ++i) x = encode_block(e->block + i, x, e->scratch);
    const long codes = (e->codes + LANES - 1) / LANES * LANES;
    affine(e->to_alpha, x, e->to_alpha_bias, alpha, 16 * e->block[e->blocks - 1].results, codes);
}
