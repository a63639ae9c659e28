// What a depth camera's every frame needs of a processor, for one thread: see depth_kernels.py.

#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { CHUNK = 256, EMPTY = 65535 };

// One pixel between four: `part` holds how far it is from the left ones and the upper ones, in 32nds.
static inline uint8_t between(int left, int right, int lower_left, int lower_right, const uint8_t *part) {
    int above = left * (32 - part[0]) + right * part[0];
    int below = lower_left * (32 - part[0]) + lower_right * part[0];
    return (uint8_t)((above + (((below - above) * part[1] + 16) >> 5) + 16) >> 5);
}

static void straighten_one(const uint8_t *from, int width, int height, const int16_t *at, const uint8_t *part,
                           uint8_t *to) {
    int x0 = at[0] < 0 ? 0 : at[0] >= width ? width - 1 : at[0];
    int x1 = at[0] + 1 < 0 ? 0 : at[0] + 1 >= width ? width - 1 : at[0] + 1;
    int y0 = at[1] < 0 ? 0 : at[1] >= height ? height - 1 : at[1];
    int y1 = at[1] + 1 < 0 ? 0 : at[1] + 1 >= height ? height - 1 : at[1] + 1;
    const uint8_t *above = from + 3 * (int64_t)width * y0, *below = from + 3 * (int64_t)width * y1;
    for (int channel = 0; channel < 3; channel++) {
        int c = 2 - channel;
        to[channel] = between(above[3 * x0 + c], above[3 * x1 + c], below[3 * x0 + c], below[3 * x1 + c], part);
    }
}

#ifdef __AVX2__
static inline __m256i four(const uint8_t *from, const int32_t *start) {
    int64_t pixels[4];
    for (int i = 0; i < 4; i++) memcpy(&pixels[i], from + start[i], 8);
    return _mm256_set_epi64x(pixels[3], pixels[2], pixels[1], pixels[0]);
}

// Four pixels, each from two that stand side by side in a row and two in the row below.
static inline void straighten_four(const uint8_t *from, int row_bytes, const int32_t *start, const uint8_t *part,
                                   const uint64_t *across, const uint64_t *down, uint8_t *to) {
    const __m256i pairs = _mm256_setr_epi8(2, 5, 1, 4, 0, 3, -1, -1, 10, 13, 9, 12, 8, 11, -1, -1,  //
                                           2, 5, 1, 4, 0, 3, -1, -1, 10, 13, 9, 12, 8, 11, -1, -1);
    const __m256i dense = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                           0, 1, 2, 4, 5, 6, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    __m256i wx = _mm256_set_epi64x(across[part[6]], across[part[4]], across[part[2]], across[part[0]]);
    __m256i wy = _mm256_set_epi64x(down[part[7]], down[part[5]], down[part[3]], down[part[1]]);
    __m256i above = _mm256_maddubs_epi16(_mm256_shuffle_epi8(four(from, start), pairs), wx);
    __m256i below = _mm256_maddubs_epi16(_mm256_shuffle_epi8(four(from + row_bytes, start), pairs), wx);
    __m256i sum = _mm256_add_epi16(above, _mm256_mulhrs_epi16(_mm256_sub_epi16(below, above), wy));
    sum = _mm256_srai_epi16(_mm256_add_epi16(sum, _mm256_set1_epi16(16)), 5);
    __m256i bytes = _mm256_shuffle_epi8(_mm256_packus_epi16(sum, sum), dense);
    _mm_storel_epi64((__m128i *)to, _mm256_castsi256_si128(bytes));
    _mm_storel_epi64((__m128i *)(to + 6), _mm256_extracti128_si256(bytes, 1));
}
#endif

// A picture of BGR as an RGB one without its lens: pixel i lies at `at[2 i]`, and `part[2 i]` 32nds beside it.
// `start[i]` is the first byte of its upper left pixel, or -1 where the four pixels are not all well inside.
void straighten(const uint8_t *from, int width, int height, const int16_t *at, const uint8_t *part,
                const int32_t *start, uint8_t *to) {
#ifdef __AVX2__
    uint64_t across[32], down[32];
    for (uint64_t i = 0; i < 32; i++) {
        across[i] = ((32 - i) | i << 8) * 0x0001000100010001u;
        down[i] = (i << 10) * 0x0001000100010001u;
    }
#endif
    for (int64_t i = 0, count = (int64_t)width * height; i < count;) {
#ifdef __AVX2__
        if (i + 5 <= count && (start[i] | start[i + 1] | start[i + 2] | start[i + 3]) >= 0) {
            straighten_four(from, 3 * width, start + i, part + 2 * i, across, down, to + 3 * i);
            i += 4;
            continue;
        }
#endif
        straighten_one(from, width, height, at + 2 * i, part + 2 * i, to + 3 * i);
        i++;
    }
}

// Writes each reading where the other camera sees it, in ticks; of those that meet, the nearest stays. `seen` has one
// pixel of border on all sides, for what lies beside the picture; `ticks`, without it, is 0 where nothing was seen.
void scatter(const float *depth, const float *ray_u, const float *ray_v, const float *ray_z, int count,
             const float *origin, int width, int height, uint16_t *seen, uint16_t *ticks) {
    const float last_column = (float)(width + 1), last_row = (float)(height + 1);
    const int stride = width + 2;
    memset(seen, 0xFF, sizeof *seen * (size_t)stride * (size_t)(height + 2));
    for (int first = 0; first < count; first += CHUNK) {
        int32_t target[CHUNK], distance[CHUNK];
        const int many = count - first < CHUNK ? count - first : CHUNK;
        for (int i = 0; i < many; i++) {
            const int j = first + i;
            float z = depth[j] * ray_z[j] + origin[2];
            int there = (depth[j] > 0.0f) & (z >= 1.0f) & (z < (float)EMPTY);
            float inverse = 1.0f / (there ? z : 1.0f);
            float u = (depth[j] * ray_u[j] + origin[0]) * inverse, v = (depth[j] * ray_v[j] + origin[1]) * inverse;
            u = u > 0.0f ? u : 0.0f;
            v = v > 0.0f ? v : 0.0f;
            u = u < last_column ? u : last_column;
            v = v < last_row ? v : last_row;
            target[i] = there ? (int32_t)v * stride + (int32_t)u : 0;
            distance[i] = there ? (int32_t)z : EMPTY;
        }
        for (int i = 0; i < many; i++) {
            uint16_t *place = seen + target[i];
            if (distance[i] < *place) *place = (uint16_t)distance[i];
        }
    }
    for (int row = 0; row < height; row++) {
        const uint16_t *from = seen + (int64_t)(row + 1) * stride + 1;
        uint16_t *to = ticks + (int64_t)row * width;
        for (int column = 0; column < width; column++) to[column] = from[column] == EMPTY ? 0 : from[column];
    }
}
