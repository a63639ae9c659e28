// What the flow engine does around its network, for one thread: see following_kernels.py.
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 8
typedef float f8 __attribute__((vector_size(32), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))
INLINE f8 all(float x) { return (f8){x, x, x, x, x, x, x, x}; }
INLINE f8 load(const float *from) { return *(const f8 *)from; }
INLINE void store(float *to, f8 x) { *(f8 *)to = x; }
INLINE float total(f8 x) { return ((x[0] + x[4]) + (x[1] + x[5])) + ((x[2] + x[6]) + (x[3] + x[7])); }

// --------------------------------------------------------------------------------------------------- where flow lands
enum { CHUNK = 64 };

static inline float within(float value, float most) { return value > 0 ? (value < most ? value : most) : 0; } // 0 for NaN

// For each place the sums [places, 3] of weight, weight · column and weight · row over the pixels that land on it.
// `at` [(size + 3)²] is the place there, or -1; `wanted` whether any of the four pixels from here on is one; pixels
// whose `mask` is below a half land nowhere (NULL: all do).
void splat_flow(const float *flow, const float *mask, const int32_t *at, const uint8_t *wanted, double *sums, long size) {
    const long stride = size + 3;
    const float half = 0.5f * size, most = size + 1;
    for (long pixel = 0; pixel < size * size; pixel += CHUNK) {
        const long count = size * size - pixel < CHUNK ? size * size - pixel : CHUNK;
        float x[CHUNK], y[CHUNK];
        int32_t base[CHUNK];
        for (long i = 0; i < count; ++i) { // several at once
            x[i] = within(flow[2 * (pixel + i)] * half + (half + 1), most);
            y[i] = within(flow[2 * (pixel + i) + 1] * half + (half + 1), most);
            base[i] = (int32_t)y[i] * (int32_t)stride + (int32_t)x[i];
        }
        for (long i = 0; i < count; ++i) {
            if (!wanted[base[i]] || (mask && mask[pixel + i] < 0.5f)) continue;
            const long row = (pixel + i) / size, column = (pixel + i) % size;
            const double ax = x[i] - (float)(int32_t)x[i], ay = y[i] - (float)(int32_t)y[i];
            for (int k = 0; k < 4; ++k) {
                const int32_t place = at[base[i] + (k >> 1) * stride + (k & 1)];
                if (place < 0) continue;
                const double weight = (k & 1 ? ax : 1 - ax) * (k >> 1 ? ay : 1 - ay);
                double *sum = sums + place * 3L;
                sum[0] += weight;
                sum[1] += weight * column;
                sum[2] += weight * row;
            }
        }
    }
}

static float lowest(const float *picture, long size, long column, long row, long reach) {
    float least = INFINITY;
    for (long y = row - reach; y <= row + reach; ++y)
        for (long x = column - reach; x <= column + reach; ++x)
            if (y >= 0 && y < size && x >= 0 && x < size && picture[y * size + x] < least) least = picture[y * size + x];
    return least;
}

// Bilinear look-up at `at` [count, 2] (column, row), those of the border repeated beyond it; where `around` is not 0, of
// the least value of all pixels so near.
void sample_picture(const float *picture, long size, const double *at, const uint8_t *around, double *values, long count) {
    for (long i = 0; i < count; ++i) {
        const double most = size - 1.001, cx = at[2 * i], cy = at[2 * i + 1];
        const double x = cx > 0 ? (cx < most ? cx : most) : 0, y = cy > 0 ? (cy < most ? cy : most) : 0;
        const long column = (long)x, row = (long)y;
        const double ax = x - column, ay = y - row;
        float corner[4];
        for (int k = 0; k < 4; ++k) {
            const long c = column + (k & 1), r = row + (k >> 1);
            corner[k] = around[i] ? lowest(picture, size, c, r, around[i]) : picture[r * size + c];
        }
        values[i] = (corner[0] * (1 - ax) + corner[1] * ax) * (1 - ay) + (corner[2] * (1 - ax) + corner[3] * ax) * ay;
    }
}

// ---------------------------------------------------------------------------------------------------------- the guard
enum { MOST_UNITS = 64, ACROSS = 2, DOWN = 4 };

// Cholesky's factor of the upper half of `m` [units, units], in place, and the solution of m x = b, in b.
static void solve(float *m, float *b, int units) {
    for (int i = 0; i < units; ++i) {
        const float root = 1.0f / sqrtf(m[i * MOST_UNITS + i]);
        for (int j = i; j < units; ++j) m[i * MOST_UNITS + j] *= root;
        for (int k = i + 1; k < units; ++k) {
            const float f = m[i * MOST_UNITS + k];
            for (int j = k; j < units; ++j) m[k * MOST_UNITS + j] -= f * m[i * MOST_UNITS + j];
        }
    }
    for (int i = 0; i < units; ++i) {
        b[i] /= m[i * MOST_UNITS + i];
        for (int j = i + 1; j < units; ++j) b[j] -= m[i * MOST_UNITS + j] * b[i];
    }
    for (int i = units - 1; i >= 0; --i) {
        for (int j = i + 1; j < units; ++j) b[i] -= m[i * MOST_UNITS + j] * b[j];
        b[i] /= m[i * MOST_UNITS + i];
    }
}

// The weights [units], between `least` and `most`, of which units [points · 3, units] come nearest to `given` [points, 3],
// each point counting by `trust` [points], and `fit` [points, 3] what these come to. Every `every`th point takes part;
// units in multiples of eight, at most 64.
void fit_units(const float *unit, const float *given, const float *trust, long points, long units, long every, float ridge,
               float least, float most, float *fit) {
    float normal[MOST_UNITS * MOST_UNITS], told[MOST_UNITS] = {0};
    for (long i = 0; i < units; i += DOWN)
        for (long j = i / (ACROSS * LANES) * (ACROSS * LANES); j < units; j += ACROSS * LANES) {
            const int both = j + LANES < units;
            f8 sum[DOWN][ACROSS];
            for (int d = 0; d < DOWN; ++d)
                for (int a = 0; a < ACROSS; ++a) sum[d][a] = all(0);
            for (long p = 0; p < points; p += every) {
                if (trust[p] == 0) continue;
                const f8 share = all(trust[p]);
                const float *row = unit + p * 3 * units;
                for (int axis = 0; axis < 3; ++axis, row += units) {
                    const f8 first = load(row + j) * share, second = load(row + (both ? j + LANES : j)) * share;
                    for (int d = 0; d < DOWN; ++d) {
                        const f8 own = all(row[i + d]);
                        sum[d][0] += own * first;
                        sum[d][1] += own * second;
                    }
                }
            }
            for (int d = 0; d < DOWN; ++d)
                for (int a = 0; a <= both; ++a) store(normal + (i + d) * MOST_UNITS + j + a * LANES, sum[d][a]);
        }
    for (long p = 0; p < points; p += every)
        for (int axis = 0; axis < 3 && trust[p] != 0; ++axis) {
            const f8 value = all(given[3 * p + axis] * trust[p]);
            const float *row = unit + (3 * p + axis) * units;
            for (long j = 0; j < units; j += LANES) store(told + j, load(told + j) + load(row + j) * value);
        }
    for (long i = 0; i < units; ++i) normal[i * MOST_UNITS + i] += ridge;
    solve(normal, told, (int)units);
    for (long i = 0; i < units; ++i) told[i] = told[i] < least ? least : told[i] > most ? most : told[i];
    for (long n = 0; n < 3 * points; ++n, unit += units) {
        f8 sum = all(0);
        for (long j = 0; j < units; j += LANES) sum += load(unit + j) * load(told + j);
        fit[n] = total(sum);
    }
}

// ---------------------------------------------------------------------------------------------------------- the edges
// Numbers of the edges (`first`, `second` [count]) whose squared length is above `most` [count]; returns how many.
long long_edges(const float *vertices, const int32_t *first, const int32_t *second, const float *most, long count,
                int64_t *found) {
    long many = 0;
    for (long from = 0; from < count; from += 64) {
        const long to = count - from < 64 ? count : from + 64;
        int any = 0;
        for (long i = from; i < to; ++i) {
            const float *a = vertices + 3L * first[i], *b = vertices + 3L * second[i];
            const float x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
            any |= x * x + y * y + z * z > most[i];
        }
        for (long i = from; any && i < to; ++i) {
            const float *a = vertices + 3L * first[i], *b = vertices + 3L * second[i];
            const float x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
            if (x * x + y * y + z * z > most[i]) found[many++] = i;
        }
    }
    return many;
}
