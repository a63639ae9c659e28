// What moving a head costs most, for one thread: see motion_kernels.py.
#include <math.h>
#include <stdint.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define LANES 8
#define TOGETHER 8 // vectors whose sums are kept in registers
typedef float f8 __attribute__((vector_size(32), aligned(4)));

typedef int16_t s8 __attribute__((vector_size(16), aligned(2)));

#ifdef __AVX2__ // what compilers do not find by themselves
static inline f8 numbers(const int16_t *from) {
    return (f8)_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)from)));
}
#else
static inline f8 numbers(const int16_t *from) { return __builtin_convertvector(*(const s8 *)from, f8); }
#endif
static inline f8 all(float x) { return (f8){x, x, x, x, x, x, x, x}; }

// ------------------------------------------------------------------------------------------------------------ the skin
enum { BLOCK = TOGETHER * LANES };

typedef struct {
    int32_t numbers, features; // numbers: three for each vertex
    const int32_t *feature;    // [features]
    const float *rest, *scale; // [numbers]; [features] of the fields
    const int16_t *field;      // [blocks of numbers, features, BLOCK]: in the order in which it is read
    float *sum;                // [numbers]
} Patch;

// For each patch, its fields times the features that move it, added to what it is at rest. All has to come from afar in
// every frame: fields of half the size take half the time, and features that are zero are not looked at.
void sum_fields(const Patch *patches, int count, const float *features) {
    for (const Patch *p = patches; p < patches + count; ++p) {
        int place[256], used = 0;
        float weight[256];
        for (int f = 0; f < p->features; ++f) {
            const float w = features[p->feature[f]] * p->scale[f];
            if (w != 0) place[used] = f * BLOCK, weight[used++] = w;
        }
        const int16_t *field = p->field;
        for (int at = 0; at < p->numbers; at += BLOCK, field += p->features * BLOCK) {
            f8 sum[TOGETHER];
            for (int v = 0; v < TOGETHER; ++v) sum[v] = all(0);
            for (int f = 0; f < used; ++f) {
                const f8 w = all(weight[f]);
                for (int v = 0; v < TOGETHER; ++v)
                    sum[v] += w * numbers(field + place[f] + v * LANES);
            }
            if (at + BLOCK <= p->numbers)
                for (int v = 0; v < TOGETHER; ++v)
                    *(f8 *)(p->sum + at + v * LANES) = *(const f8 *)(p->rest + at + v * LANES) + sum[v];
            else
                for (int i = at; i < p->numbers; ++i) p->sum[i] = p->rest[i] + sum[(i - at) / LANES][(i - at) % LANES];
        }
    }
}

// ----------------------------------------------------------------------------------------------------- the controllers
typedef float f4 __attribute__((vector_size(16), aligned(4)));

// Adds to each of `count` vertices what it shares with controllers of their displacement [controllers, 4], of which the
// fourth is nothing: shares [start[i], start[i + 1]) are of vertex[i].
void follow_controllers(float *vertices, const int32_t *vertex, int count, const int32_t *start, const uint16_t *column,
                        const float *share, const float *moved) {
    for (int i = 0; i < count; ++i) {
        f4 a = {0, 0, 0, 0}, b = a, c = a, d = a; // four sums at once: no addition waits for the one before
        int k = start[i];
        const int end = start[i + 1];
        for (; k + 3 < end; k += 4) {
            a += share[k] * *(const f4 *)(moved + 4 * column[k]);
            b += share[k + 1] * *(const f4 *)(moved + 4 * column[k + 1]);
            c += share[k + 2] * *(const f4 *)(moved + 4 * column[k + 2]);
            d += share[k + 3] * *(const f4 *)(moved + 4 * column[k + 3]);
        }
        for (; k < end; ++k) a += share[k] * *(const f4 *)(moved + 4 * column[k]);
        a += b + (c + d);
        float *v = vertices + 3L * vertex[i];
        v[0] += a[0], v[1] += a[1], v[2] += a[2];
    }
}

// ------------------------------------------------------------------------------------------------------------ the lids
typedef struct {
    const int32_t *start, *column; // a sparse matrix, row by row: [rows + 1] and for each number
    const float *share;
} Sparse;

static float product(const Sparse *m, int row, const float *values) {
    float sum = 0;
    for (int i = m->start[row]; i < m->start[row + 1]; ++i) sum += m->share[i] * values[m->column[i]];
    return sum;
}

// Turns vertices of an eye's skin upwards about the axis along the eye, by `turning` times `turns`, and away from it by
// 1 + `growing` times `growth` (0: not at all). `frame` [3, 3]: along the eye, up, out.
void turn_lids(float *vertices, const int64_t *which, int count, const float *frame, const float *centre,
               const Sparse *turning, const float *turns, const Sparse *growing, const float *growth) {
    for (int i = 0; i < count; ++i) {
        float *v = vertices + 3 * which[i], local[3];
        const float x = v[0] - centre[0], y = v[1] - centre[1], z = v[2] - centre[2];
        for (int k = 0; k < 3; ++k) local[k] = frame[3 * k] * x + frame[3 * k + 1] * y + frame[3 * k + 2] * z;
        const float angle = product(turning, i, turns), c = cosf(angle), s = sinf(angle);
        const float grown = growth ? 1 + product(growing, i, growth) : 1;
        const float up = (c * local[1] + s * local[2]) * grown, out = (c * local[2] - s * local[1]) * grown;
        for (int k = 0; k < 3; ++k) v[k] = local[0] * frame[k] + up * frame[3 + k] + out * frame[6 + k] + centre[k];
    }
}

// ------------------------------------------------------------------------------------------------------------ the eyes
typedef struct {
    int32_t ball_count, cover_count, profile_count;
    float centre[3], farthest;       // farthest: square of the profile's greatest
    const int64_t *ball, *cover;
    const float *rest_ball;          // [ball_count, 3] from the centre
    const float *rest_cover;         // [cover_count, 3]
    const float *rest_distance;      // [cover_count] of those from the centre
    const double *cosines, *profile; // [profile_count] ascending, and how far the ball reaches there
} Eyeball;

static double interpolated(const Eyeball *e, double at) {
    const int last = e->profile_count - 1;
    if (!(at > e->cosines[0])) return e->profile[0];
    if (at >= e->cosines[last]) return e->profile[last];
    int low = 0, high = last;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (e->cosines[middle] <= at) low = middle;
        else high = middle;
    }
    const double share = (at - e->cosines[low]) / (e->cosines[high] - e->cosines[low]);
    return e->profile[low] + share * (e->profile[high] - e->profile[low]);
}

// Turns the ball by `rotation` [3, 3], and pushes out skin that has sunk into it. Skin at rest stays, in or out.
void turn_eyeball(const Eyeball *e, float *vertices, const float *rotation) {
    for (int i = 0; i < e->ball_count; ++i) {
        const float *p = e->rest_ball + 3 * i;
        float *v = vertices + 3 * e->ball[i];
        for (int k = 0; k < 3; ++k)
            v[k] = rotation[3 * k] * p[0] + rotation[3 * k + 1] * p[1] + rotation[3 * k + 2] * p[2] + e->centre[k];
    }
    for (int i = 0; i < e->cover_count; ++i) {
        float *v = vertices + 3 * e->cover[i];
        const float x = v[0] - e->centre[0], y = v[1] - e->centre[1], z = v[2] - e->centre[2];
        const float square = x * x + y * y + z * z;
        if (!(square < e->farthest)) continue; // it lies in front of any part of the ball
        const double distance = sqrtf(square), safe = distance > 1e-9 ? distance : 1e-9;
        const double outer = interpolated(e, (x * rotation[2] + y * rotation[5] + z * rotation[8]) / safe);
        if (!(distance < outer)) continue;
        const float *rest = e->rest_cover + 3 * i;
        const float dx = v[0] - rest[0], dy = v[1] - rest[1], dz = v[2] - rest[2];
        const double allowed = e->rest_distance[i] + sqrtf(dx * dx + dy * dy + dz * dz);
        const double least = (outer < allowed ? outer : allowed) / safe;
        const float push = (float)(least > 1 ? least : 1);
        v[0] = x * push + e->centre[0], v[1] = y * push + e->centre[1], v[2] = z * push + e->centre[2];
    }
}
