// The face landmarker's networks for one thread: see native.py. Pictures are [rows, columns, channels], channels in
// multiples of eight, with a border of zeros; whatever fits is done row by row, so that it stays in the nearest cache.
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define LANES 8
typedef float f8 __attribute__((vector_size(32)));
typedef float f8u __attribute__((vector_size(32), aligned(4)));
typedef int32_t i8 __attribute__((vector_size(32)));
#ifdef __AVX512VL__ // with 32 registers
#define MOST_PIXELS 6
#else
#define MOST_PIXELS 4
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE f8 all(float x) { return (f8){x, x, x, x, x, x, x, x}; }
INLINE f8 load(const float *from) { return *(const f8u *)from; }
INLINE void store(float *to, f8 x) { *(f8u *)to = x; }
#ifdef __AVX2__ // what compilers do not find by themselves
INLINE f8 most(f8 a, f8 b) { return (f8)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE f8 least(f8 a, f8 b) { return (f8)_mm256_min_ps((__m256)a, (__m256)b); }
#else
INLINE f8 pick(i8 which, f8 yes, f8 no) { return (f8)((which & (i8)yes) | (~which & (i8)no)); }
INLINE f8 most(f8 a, f8 b) { return pick(a > b, a, b); }
INLINE f8 least(f8 a, f8 b) { return pick(a < b, a, b); }
#endif

// ---------------------------------------------------------------------------------------------------------- products
// sum[p][v] += what `pixels` places, `step` apart in `in`, make of `rows` runs of `span` numbers each, `row` apart;
// `weights` [rows · span, 8 · vectors], its lines `line` apart.
INLINE void multiply(const int pixels, const int vectors, const float *in, long step, int rows, long row, int span,
                     const float *weights, long line, f8 sum[8][4]) {
    for (int r = 0; r < rows; ++r) {
        const float *from = in + r * row;
        for (int k = 0; k < span; ++k, weights += line) {
            f8 w[4];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) w[v] = load(weights + v * LANES);
#pragma GCC unroll 8
            for (int p = 0; p < pixels; ++p) {
                f8 x = all(from[p * step + k]);
#pragma GCC unroll 4
                for (int v = 0; v < vectors; ++v) sum[p][v] += x * w[v];
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------------ convolutions
typedef struct {
    int32_t rows, span, step, channels; // of the kernel, a run of it, and from pixel to pixel; results
    const float *weights;               // blocks of at most 32 results: [rows · span, block]
    const float *bias, *slope;          // [channels]; slope of what is below zero
} Dense;

typedef struct {
    const float *from; // the pixel that goes with the first one of the row; 0: nothing is added
    int32_t channels, pooled;
    long row; // to the next one, where the greatest of four pixels counts
} Added;

typedef struct {
    Dense reduce, dense; // reduce.channels is 0 where the picture itself is what the depthwise convolution sees
    const float *depth, *depth_bias; // [9, channels], [channels]; depth_channels is 0 where there is none
    int32_t depth_channels, depth_stride;
    const float *seen; // where the first kernel begins
    float *out;
    const float *added; // as in `Added`
    float *ring, *line; // [4, (in_width + 2) · channels], zeros to begin with; [out_width · channels]
    int32_t in_row, kernel_row; // from row to row of results, and within a kernel
    int32_t in_height, in_width; // of what the depthwise convolution sees
    int32_t out_row, out_height, out_width, added_row, added_channels, pooled;
} Step;

INLINE void tile(const int pixels, const int vectors, const Dense *d, const float *in, long row, const float *weights,
                 int first, float *out, Added add) {
    f8 sum[8][4];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[p][v] = load(d->bias + first + v * LANES);
    multiply(pixels, vectors, in, d->step, d->rows, row, d->span, weights, (long)vectors * LANES, sum);
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            int channel = first + v * LANES;
            f8 x = sum[p][v];
            if (add.from && channel < add.channels) {
                const float *from = add.from + (long)p * add.channels * (add.pooled ? 2 : 1) + channel;
                f8 other = load(from);
                if (add.pooled) {
                    other = most(other, load(from + add.channels));
                    other = most(other, most(load(from + add.row), load(from + add.row + add.channels)));
                }
                x += other;
            }
            store(out + (long)p * d->channels + channel, most(x, all(0)) + least(x, all(0)) * load(d->slope + channel));
        }
}

INLINE void tiles(const int vectors, const int most_pixels, const Dense *d, const float *in, long row, int width,
                  const float *weights, int first, float *out, Added add) {
    const long apart = (long)add.channels * (add.pooled ? 2 : 1);
    int x = 0;
#define AT(n) tile(n, vectors, d, in + (long)x * d->step, row, weights, first, out + (long)x * d->channels, add)
#define NEXT(n) (x += n, add.from = add.from ? add.from + n * apart : 0)
    if (most_pixels == 8)
        for (; x + 8 <= width; NEXT(8)) AT(8);
    if (most_pixels == 6)
        for (; x + 12 <= width || x + 6 == width; NEXT(6)) AT(6);
    for (; x + 4 <= width; NEXT(4)) AT(4);
    for (; x + 2 <= width; NEXT(2)) AT(2);
    for (; x < width; NEXT(1)) AT(1);
#undef AT
#undef NEXT
}

static void dense_row(const Dense *d, const float *in, long row, int width, float *out, Added add) {
    const float *weights = d->weights;
    for (int first = 0; first < d->channels;) {
        int vectors = (d->channels - first) / LANES;
        vectors = vectors > 4 ? 4 : vectors;
        if (vectors == 4) tiles(4, MOST_PIXELS, d, in, row, width, weights, first, out, add);
        else if (vectors == 3) tiles(3, 4, d, in, row, width, weights, first, out, add);
        else if (vectors == 2) tiles(2, 8, d, in, row, width, weights, first, out, add);
        else tiles(1, 8, d, in, row, width, weights, first, out, add);
        weights += (long)d->rows * d->span * vectors * LANES;
        first += vectors * LANES;
    }
}

static void depth_row(const Step *s, const float *const rows[3], float *out) {
    const int channels = s->depth_channels;
    const long apart = (long)channels * s->depth_stride;
    for (int c = 0; c < channels; c += LANES) {
        f8 w[9], bias = load(s->depth_bias + c);
        for (int k = 0; k < 9; ++k) w[k] = load(s->depth + k * channels + c);
        for (int x = 0; x < s->out_width; ++x) {
            long at = x * apart + c;
            f8 sum = bias, other = all(0);
            for (int k = 0; k < 3; ++k) {
                sum += w[k] * load(rows[0] + at + k * channels);
                other += w[3 + k] * load(rows[1] + at + k * channels);
                sum += w[6 + k] * load(rows[2] + at + k * channels);
            }
            store(out + (long)x * channels + c, sum + other);
        }
    }
}

static void one_step(const Step *s) {
    const int channels = s->depth_channels, before = s->depth_stride == 1; // rows above the first that it sees
    const long ring_row = (long)(s->in_width + 2) * channels;
    int ready = 0; // rows of the ring
    if (s->reduce.channels) // what is beside the picture: above it, zeros
        memset(s->ring + 3 * ring_row, 0, sizeof(float) * ring_row);
    for (int y = 0; y < s->out_height; ++y) {
        Added add = {s->added ? s->added + (long)y * (s->pooled ? 2 : 1) * s->added_row : 0, s->added_channels, s->pooled,
                     s->added_row};
        float *out = s->out + (long)y * s->out_row;
        if (!channels) {
            dense_row(&s->dense, s->seen + (long)y * s->in_row, s->kernel_row, s->out_width, out, add);
            continue;
        }
        const float *rows[3];
        for (int k = 0; k < 3; ++k) {
            int row = y * s->depth_stride - before + k;
            if (!s->reduce.channels) {
                rows[k] = s->seen + (long)row * s->in_row - (before ? channels : 0);
                continue;
            }
            float *own = s->ring + (row & 3) * ring_row;
            if (row == ready && row < s->in_height) {
                dense_row(&s->reduce, s->seen + (long)row * s->in_row, s->kernel_row, s->in_width, own + channels, (Added){0});
                ++ready;
            } else if (row >= s->in_height)
                memset(own, 0, sizeof(float) * ring_row);
            rows[k] = own + (before ? 0 : channels);
        }
        depth_row(s, rows, s->line);
        dense_row(&s->dense, s->line, 0, s->out_width, out, add);
    }
}

void run_steps(const Step *steps, int count) {
    for (int i = 0; i < count; ++i) one_step(steps + i);
}

// ------------------------------------------------------------------------------------------- the coefficients' network
// A mixer (Tolstikhin et al., "MLP-Mixer: an all-MLP architecture for vision", NeurIPS 2021) over tokens made of points.
typedef struct {
    const float *token_gain, *token_in, *token_in_bias, *token_out, *token_out_bias;
    const float *channel_gain, *channel_in, *channel_in_bias, *channel_out, *channel_out_bias;
} Mix;

typedef struct {
    int32_t points, made, tokens, channels, token_hidden, channel_hidden, blocks, results; // made: tokens out of points
    float scale, epsilon;
    const float *embed, *embed_bias;     // [made, points], [made]
    const float *widen, *widen_bias;     // [2, channels], [channels]
    const float *first;                  // [channels] the token that the results are read from
    const float *name, *name_bias;       // [channels, results], [results]
    Mix mix[4];
    const float *given;                  // [points, 2]
    float *state, *even, *hidden, *answer; // [tokens, channels] twice; [the larger hidden layer]; [results]
} Mixer;

// out [rows, columns] = left [rows, depth] · right [depth, columns] + biases, + itself, or what is above zero.
enum { ALONE, ADD, POSITIVE };

INLINE void some_rows(const int rows, const float *left, int depth, const float *right, int columns, float *out,
                      const float *row_bias, const float *column_bias, int how) {
    for (int c = 0; c < columns; c += 4 * LANES) {
        f8 sum[8][4];
#pragma GCC unroll 8
        for (int p = 0; p < rows; ++p)
#pragma GCC unroll 4
            for (int v = 0; v < 4; ++v)
                sum[p][v] = row_bias ? all(row_bias[p]) : load(column_bias + c + v * LANES);
        multiply(rows, 4, left, depth, 1, 0, depth, right + c, columns, sum);
#pragma GCC unroll 8
        for (int p = 0; p < rows; ++p)
#pragma GCC unroll 4
            for (int v = 0; v < 4; ++v) {
                float *to = out + (long)p * columns + c + v * LANES;
                f8 x = sum[p][v];
                store(to, how == ADD ? x + load(to) : how == POSITIVE ? most(x, all(0)) : x);
            }
    }
}

static void product(const float *left, int rows, int depth, const float *right, int columns, float *out,
                    const float *row_bias, const float *column_bias, int how) {
    int r = 0;
#define ROWS(n) \
    some_rows(n, left + (long)r * depth, depth, right, columns, out + (long)r * columns, row_bias ? row_bias + r : 0, \
              column_bias, how)
    for (; r + MOST_PIXELS <= rows; r += MOST_PIXELS) ROWS(MOST_PIXELS);
    for (; r < rows; ++r) ROWS(1);
#undef ROWS
}

// Each token of the same mean and variance.
static void even_out(const Mixer *m, int tokens, const float *gain) {
    const int channels = m->channels;
    for (int t = 0; t < tokens; ++t) {
        const float *from = m->state + (long)t * channels;
        float *to = m->even + (long)t * channels, mean = 0, variance = 0;
        for (int c = 0; c < channels; ++c) mean += from[c];
        mean /= channels;
        for (int c = 0; c < channels; ++c) variance += (from[c] - mean) * (from[c] - mean);
        const float share = 1.0f / sqrtf(variance / channels + m->epsilon);
        for (int c = 0; c < channels; ++c) to[c] = (from[c] - mean) * share * gain[c];
    }
}

static void make_tokens(const Mixer *m) {
    float middle[2] = {0, 0}, size = 0;
    for (int i = 0; i < m->points; ++i)
        for (int k = 0; k < 2; ++k) middle[k] += m->given[2 * i + k] / m->points;
    for (int i = 0; i < m->points; ++i)
        size += hypotf(m->given[2 * i] - middle[0], m->given[2 * i + 1] - middle[1]) / m->points;
    const float share = m->scale / size;
    memcpy(m->state, m->first, sizeof(float) * m->channels);
    for (int t = 0; t < m->made; ++t) {
        float x = 0, y = 0;
        for (int i = 0; i < m->points; ++i) {
            x += m->embed[(long)t * m->points + i] * (m->given[2 * i] - middle[0]);
            y += m->embed[(long)t * m->points + i] * (m->given[2 * i + 1] - middle[1]);
        }
        x = x * share + m->embed_bias[t], y = y * share + m->embed_bias[t];
        float *to = m->state + (long)(t + 1) * m->channels;
        for (int c = 0; c < m->channels; ++c) to[c] = x * m->widen[c] + y * m->widen[m->channels + c] + m->widen_bias[c];
    }
}

void run_mixer(const Mixer *m) {
    make_tokens(m);
    const int channels = m->channels;
    for (int b = 0; b < m->blocks; ++b) {
        const Mix *x = m->mix + b;
        const int kept = b + 1 < m->blocks ? m->tokens : 1; // of the last block's tokens only the first is read
        even_out(m, m->tokens, x->token_gain);
        product(x->token_in, m->token_hidden, m->tokens, m->even, channels, m->hidden, x->token_in_bias, 0, POSITIVE);
        product(x->token_out, kept, m->token_hidden, m->hidden, channels, m->state, x->token_out_bias, 0, ADD);
        even_out(m, kept, x->channel_gain);
        product(m->even, kept, channels, x->channel_in, m->channel_hidden, m->hidden, 0, x->channel_in_bias, POSITIVE);
        product(m->hidden, kept, m->channel_hidden, x->channel_out, channels, m->state, 0, x->channel_out_bias, ADD);
    }
    product(m->state, 1, channels, m->name, m->results, m->answer, 0, m->name_bias, ALONE);
    for (int i = 0; i < m->results; ++i) m->answer[i] = 1.0f / (1.0f + expf(-m->answer[i]));
}

// -------------------------------------------------------------------------------------------------- a face cut out
// One pixel between four, 1/32 apart, as OpenCV's `remap` computes it; places beyond the picture are those on its edge.
static inline void cut_pixel(const uint8_t *rgb, int64_t row, int width, int height, int x32, int y32, float *out) {
    const int x = x32 >> 5, y = y32 >> 5, right = x32 & 31, down = y32 & 31;
    const int x0 = x < 0 ? 0 : x >= width ? width - 1 : x, x1 = x + 1 < 0 ? 0 : x + 1 >= width ? width - 1 : x + 1;
    const int y0 = y < 0 ? 0 : y >= height ? height - 1 : y, y1 = y + 1 < 0 ? 0 : y + 1 >= height ? height - 1 : y + 1;
    const uint8_t *above = rgb + y0 * row, *below = rgb + y1 * row;
    for (int c = 0; c < 3; ++c) {
        int upper = above[3 * x0 + c] * (32 - right) + above[3 * x1 + c] * right;
        int lower = below[3 * x0 + c] * (32 - right) + below[3 * x1 + c] * right;
        out[c] = (float)((upper * (32 - down) + lower * down + 512) >> 10);
    }
}

#ifdef __AVX2__
// The same well inside of the picture; writes one number more than the pixel has.
static inline void cut_inside(const uint8_t *rgb, int64_t row, int x32, int y32, const __m128i shares[2][32], float *out) {
    const __m128i pairs = _mm_setr_epi8(0, 3, 1, 4, 2, 5, -1, -1, 8, 11, 9, 12, 10, 13, -1, -1);
    const uint8_t *from = rgb + (y32 >> 5) * row + 3 * (x32 >> 5);
    __m128i four = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)from), _mm_loadl_epi64((const __m128i *)(from + row)));
    __m128i across = _mm_maddubs_epi16(_mm_shuffle_epi8(four, pairs), shares[0][x32 & 31]);
    __m128i both = _mm_unpacklo_epi16(across, _mm_unpackhi_epi64(across, across));
    __m128i sum = _mm_madd_epi16(both, shares[1][y32 & 31]);
    _mm_storeu_ps(out, _mm_cvtepi32_ps(_mm_srli_epi32(_mm_add_epi32(sum, _mm_set1_epi32(512)), 10)));
}
#endif

// out [size, size, 3] = the pixels of a picture [height, width, 3], its rows `row` bytes apart, at places that are the sum
// of one for the column and one for the row, as 0..255.
void cut_region(const uint8_t *rgb, int64_t row, int width, int height, const float *columns_x, const float *columns_y,
                const float *rows_x, const float *rows_y, int size, float *out, int64_t out_row) {
    enum { TOGETHER = 64 };
    const float farthest = 1 << 20;
#ifdef __AVX2__
    __m128i shares[2][32];
    for (int i = 0; i < 32; ++i) {
        shares[0][i] = _mm_set1_epi16((short)(i << 8 | (32 - i)));
        shares[1][i] = _mm_set1_epi32(i << 16 | (32 - i));
    }
#endif
    for (int r = 0; r < size; ++r, out += out_row)
        for (int first = 0; first < size; first += TOGETHER) {
            const int count = size - first < TOGETHER ? size - first : TOGETHER;
            int32_t x32[TOGETHER], y32[TOGETHER], beside = 0;
            for (int i = 0; i < count; ++i) {
                float x = columns_x[first + i] + rows_x[r], y = columns_y[first + i] + rows_y[r];
                x = x < farthest ? x : farthest, y = y < farthest ? y : farthest;
                x = x > -farthest ? x : -farthest, y = y > -farthest ? y : -farthest;
                x32[i] = (int32_t)rintf(x * 32), y32[i] = (int32_t)rintf(y * 32);
                const int left = x32[i] >> 5, top = y32[i] >> 5;
                beside |= left | top | (width - 3 - left) | (height - 2 - top); // negative if one of them is
            }
            float *to = out + 3L * first;
            int i = 0;
#ifdef __AVX2__
            if (beside >= 0)
                for (; i + 1 < count; ++i) cut_inside(rgb, row, x32[i], y32[i], shares, to + 3 * i);
#endif
            for (; i < count; ++i) cut_pixel(rgb, row, width, height, x32[i], y32[i], to + 3 * i);
        }
}
