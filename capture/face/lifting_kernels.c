// What lifting landmarks into space costs most, in double precision: see lifting_kernels.py. Both functions do what
// their NumPy twins in head_pose.py and depth_sampling.py do, step by step.
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { MOST_POINTS = 512, MOST_SIDE = 9, MOST_PATCH = MOST_SIDE * MOST_SIDE, PARAMETERS = 6, TILT = 4, TOGETHER = 16 };

static inline double least(double a, double b) { return a < b ? a : b; }
static inline double most(double a, double b) { return a > b ? a : b; }

static void sort_doubles(double *values, int count) {
    for (int gap = count / 2; gap > 0; gap = gap == 2 ? 1 : (int)(gap / 2.2))
        for (int i = gap; i < count; ++i) {
            double one = values[i];
            int j = i;
            for (; j >= gap && values[j - gap] > one; j -= gap) values[j] = values[j - gap];
            values[j] = one;
        }
}

static double median(const double *values, int count) {
    double sorted[MOST_POINTS];
    memcpy(sorted, values, sizeof(double) * count);
    sort_doubles(sorted, count);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

// Cholesky's factors of a symmetric matrix, then both triangles solved. 0 where it is not positive definite.
static int solve(int size, double matrix[size][size], double right[size]) {
    for (int i = 0; i < size; ++i)
        for (int j = 0; j <= i; ++j) {
            double sum = matrix[i][j];
            for (int k = 0; k < j; ++k) sum -= matrix[i][k] * matrix[j][k];
            if (i != j) matrix[i][j] = sum / matrix[j][j];
            else if (!(sum > 0)) return 0;
            else matrix[i][i] = sqrt(sum);
        }
    for (int i = 0; i < size; ++i) {
        for (int k = 0; k < i; ++k) right[i] -= matrix[i][k] * right[k];
        right[i] /= matrix[i][i];
    }
    for (int i = size - 1; i >= 0; --i) {
        for (int k = i + 1; k < size; ++k) right[i] -= matrix[k][i] * right[k];
        right[i] /= matrix[i][i];
    }
    return 1;
}

// ------------------------------------------------------------------------------------------------------------- the pose
static void turn(const double v[3], double rotation[9]) {
    const double angle = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    if (angle < 1e-12) return;
    const double x = v[0] / angle, y = v[1] / angle, z = v[2] / angle, c = cos(angle), s = sin(angle), u = 1 - c;
    const double by[9] = {c + u * x * x,     u * x * y - s * z, u * x * z + s * y, u * x * y + s * z, c + u * y * y,
                          u * y * z - s * x, u * x * z - s * y, u * y * z + s * x, c + u * z * z};
    double before[9];
    memcpy(before, rotation, sizeof before);
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j)
            rotation[3 * i + j] = by[3 * i] * before[j] + by[3 * i + 1] * before[3 + j] + by[3 * i + 2] * before[6 + j];
}

typedef struct {
    int32_t count, absolute, iterations;
    double nearest, huber, settled;
    const double *points, *weights, *rays, *depth, *depth_weight; // [count, 3], [count], [count, 2], [count], [count]
} Task;

// Improves rotation [3, 3] and translation [3]. 0 where the equations have no solution.
int solve_pose(const Task *t, double *rotation, double *translation, double *error) {
    const int n = t->count;
    double residual[MOST_POINTS][3], slope[MOST_POINTS][3][PARAMETERS], size[MOST_POINTS], all_weights = 0;
    for (int i = 0; i < n; ++i) all_weights += t->weights[i];
    for (int iteration = 0; iteration < t->iterations; ++iteration) {
        const double distance = translation[2];
        double mean = 0, means[2] = {0, 0}; // of what only differences of depth are known of
        memset(slope, 0, sizeof(slope[0]) * n);
        for (int i = 0; i < n; ++i) {
            const double *p = t->points + 3 * i;
            double turned[3], near[3];
            for (int k = 0; k < 3; ++k)
                turned[k] = rotation[3 * k] * p[0] + rotation[3 * k + 1] * p[1] + rotation[3 * k + 2] * p[2];
            const double z = most(turned[2] + translation[2], t->nearest), inverse = 1 / z;
            for (int k = 0; k < 3; ++k) near[k] = turned[k] * inverse;
            double (*s)[PARAMETERS] = slope[i], *r = residual[i];
            for (int k = 0; k < 2; ++k) {
                const double place = near[k] + translation[k] * inverse;
                s[k][0] = -place * near[1] - (k == 1 ? near[2] : 0);
                s[k][1] = place * near[0] + (k == 0 ? near[2] : 0);
                s[k][2] = k == 0 ? -near[1] : near[0];
                s[k][3 + k] = inverse;
                s[k][5] = -place * inverse;
                r[k] = t->rays[2 * i + k] - place;
            }
            s[2][0] = turned[1] / distance, s[2][1] = -turned[0] / distance;
            if (t->absolute) {
                r[2] = (t->depth[i] - z) / distance, s[2][5] = 1 / distance;
            } else {
                const double share = t->weights[i] / all_weights;
                r[2] = t->depth[i] - z / distance;
                mean += share * r[2], means[0] += share * s[2][0], means[1] += share * s[2][1];
            }
        }
        double normal[PARAMETERS][PARAMETERS] = {{0}}, step[PARAMETERS] = {0};
        for (int i = 0; i < n; ++i) {
            residual[i][2] -= mean, slope[i][2][0] -= means[0], slope[i][2][1] -= means[1];
            const double *r = residual[i], deep = t->depth_weight[i] * t->depth_weight[i];
            size[i] = sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2] * deep);
        }
        *error = median(size, n);
        for (int i = 0; i < n; ++i) {
            const double robust = least(1, t->huber * *error / most(size[i], 1e-12)) * t->weights[i];
            const double deep = t->depth_weight[i] * t->depth_weight[i];
            for (int k = 0; k < 3; ++k) {
                const double weight = k == 2 ? robust * deep : robust, *s = slope[i][k];
                for (int a = 0; a < PARAMETERS; ++a) {
                    for (int b = 0; b <= a; ++b) normal[a][b] += weight * s[a] * s[b];
                    step[a] += weight * s[a] * residual[i][k];
                }
            }
        }
        for (int a = 0; a < PARAMETERS; ++a) normal[a][a] *= 1 + 1e-9;
        if (!solve(PARAMETERS, normal, step)) return 0;
        turn(step, rotation);
        double farthest = 0;
        for (int k = 0; k < 3; ++k) translation[k] += step[3 + k];
        for (int a = 0; a < PARAMETERS; ++a) farthest = most(farthest, fabs(step[a]));
        translation[2] = most(translation[2], t->nearest);
        if (farthest < t->settled) break;
    }
    return 1;
}

// ------------------------------------------------------------------------------------------------------------ the depth
typedef struct {
    int32_t landmarks, moved, stable, radius, least_tilt_readings, tilt_rounds;
    double coarse_gate, fine_gate, least_share, tilt_prior, face_spread;
    const double *tilt_scales;           // [tilt_rounds]
    const int64_t *moved_place, *partner; // [moved] landmarks that are read to the side, and towards which
    const double *inward;                // [moved] how far
    const int64_t *stable_place;         // [stable]
    const uint8_t *readable;             // [landmarks]
    const float *reach;                  // [landmarks, landmarks], symmetric
} Face;

// Readings around landmarks, so many landmarks beside each other: [patch, TOGETHER], sorted along the first axis.
typedef struct { float reading[MOST_PATCH][TOGETHER]; } Patches;

static void read_patches(const float *depth, int width, int height, const double (*at)[2], int count, int radius,
                         Patches *to) {
    if (count < TOGETHER) memset(to, 0, sizeof *to);
    for (int i = 0; i < count; ++i) {
        const double column = floor(at[i][0]), row = floor(at[i][1]);
        int number = 0;
        if (column >= radius && column < width - radius && row >= radius && row < height - radius) {
            const float *middle = depth + (int64_t)row * width + (int64_t)column;
            for (int dy = -radius; dy <= radius; ++dy)
                for (int dx = -radius; dx <= radius; ++dx) {
                    const float reading = middle[(int64_t)dy * width + dx];
                    to->reading[number++][i] = reading > 0 ? reading : 0; // what is no number is no reading either
                }
            continue;
        }
        for (int dy = -radius; dy <= radius; ++dy)
            for (int dx = -radius; dx <= radius; ++dx) {
                const double c = column + dx, r = row + dy;
                const int inside = c >= 0 && c < width && r >= 0 && r < height;
                const float reading = inside ? depth[(int64_t)r * width + (int64_t)c] : 0;
                to->reading[number++][i] = reading > 0 ? reading : 0;
            }
    }
}

// Batcher's odd-even merge sort (AFIPS 1968), of all landmarks at once.
static void sort_patches(Patches *p, int size) {
    for (int run = 1; run < size; run *= 2)
        for (int apart = run; apart >= 1; apart /= 2)
            for (int from = apart % run; from + apart < size; from += 2 * apart)
                for (int i = from; i < from + apart && i + apart < size; ++i) {
                    if ((i ^ (i + apart)) & -(2 * run)) continue; // in two runs
                    float *restrict one = p->reading[i], *restrict other = p->reading[i + apart];
                    for (int k = 0; k < TOGETHER; ++k) {
                        const float low = one[k] < other[k] ? one[k] : other[k];
                        const float high = one[k] < other[k] ? other[k] : one[k];
                        one[k] = low, other[k] = high;
                    }
                }
}

// The greatest float32 up to a limit, and the least from it on: readings compare with it as with the limit.
static float rounded_down(double limit) {
    const float single = (float)limit;
    return single > limit ? nextafterf(single, -INFINITY) : single;
}

static float rounded_up(double limit) {
    const float single = (float)limit;
    return single < limit ? nextafterf(single, INFINITY) : single;
}

// How many readings lie up to one limit, and below the other.
static void count_readings(const Patches *p, int size, const float *up_to, const float *below, int32_t *first,
                           int32_t *last) {
    int32_t low[TOGETHER] = {0}, high[TOGETHER] = {0};
    for (int j = 0; j < size; ++j)
        for (int k = 0; k < TOGETHER; ++k) {
            low[k] += p->reading[j][k] <= up_to[k];
            high[k] += p->reading[j][k] < below[k];
        }
    memcpy(first, low, sizeof low), memcpy(last, high, sizeof high);
}

static void gate(const Face *f, const Patches *patches, int size, const double *predicted, double reach,
                 double *correction, double *trust) {
    for (int start = 0; start < f->landmarks; start += TOGETHER) {
        const Patches *p = patches + start / TOGETHER;
        const int count = f->landmarks - start < TOGETHER ? f->landmarks - start : TOGETHER;
        float up_to[TOGETHER] = {0}, below[TOGETHER] = {0};
        int32_t first[TOGETHER], last[TOGETHER];
        for (int k = 0; k < count; ++k) {
            up_to[k] = rounded_down(most(predicted[start + k] - reach, 0));
            below[k] = rounded_up(predicted[start + k] + reach);
        }
        count_readings(p, size, up_to, below, first, last);
        for (int k = 0; k < count; ++k) {
            const int within = last[k] - first[k], middle = first[k] + (within > 1 ? (within - 1) / 2 : 0);
            const double share = (double)within / size;
            const int seen = share >= f->least_share;
            correction[start + k] = seen ? p->reading[middle < size ? middle : size - 1][k] - predicted[start + k] : 0;
            trust[start + k] = seen ? share : 0;
        }
    }
}

// Corrections over neighbours, by how much each counts; added to `sum`.
static void spread(const Face *f, const double *corrections, const double *trust, double *sum) {
    const int n = f->landmarks;
    float support[MOST_POINTS] = {0}, sums[MOST_POINTS] = {0};
    for (int i = 0; i < n; ++i) {
        const float own = (float)trust[i], all = (float)(trust[i] * corrections[i]), *reach = f->reach + (int64_t)i * n;
        if (own == 0) continue;
        for (int j = 0; j < n; ++j) support[j] += own * reach[j], sums[j] += all * reach[j];
    }
    for (int j = 0; j < n; ++j) sum[j] += sums[j] / most(support[j], 1e-9);
}

// An offset, a tilt and another depth of the whole face, by robust least squares; written to `tilted`.
static int tilt(const Face *f, const Patches *patches, int size, const double *predicted, const double (*across)[2],
                double *tilted) {
    const int n = f->landmarks;
    int seen[MOST_POINTS], count = 0;
    double design[MOST_POINTS][TILT], off[MOST_POINTS], answer[TILT] = {0};
    const double middle = median(predicted, n);
    for (int i = 0; i < n; ++i) {
        design[i][0] = 1, design[i][1] = across[i][0], design[i][2] = across[i][1], design[i][3] = predicted[i] - middle;
        const Patches *p = patches + i / TOGETHER;
        const int lane = i % TOGETHER;
        int first = 0;
        while (first < size && p->reading[first][lane] <= 0) ++first;
        const int read = size - first;
        if (!f->readable[i] || read == 0) continue;
        const float lower = p->reading[first + (read - 1) / 2][lane], upper = p->reading[first + read / 2][lane];
        off[i] = ((double)lower + upper) / 2 - predicted[i];
        seen[count++] = i;
    }
    memset(tilted, 0, sizeof(double) * n);
    if (count < f->least_tilt_readings) return 1;
    const double held = f->tilt_prior * count * f->face_spread * f->face_spread;
    for (int round = 0; round < f->tilt_rounds; ++round) {
        double normal[TILT][TILT] = {{0}}, right[TILT] = {0};
        for (int s = 0; s < count; ++s) {
            const int i = seen[s];
            const double *own = design[i];
            const double left = (off[i] - (answer[0] + answer[1] * own[1] + answer[2] * own[2] + answer[3] * own[3])) /
                                f->tilt_scales[round];
            const double weight = 1 / (1 + left * left);
            for (int a = 0; a < TILT; ++a) {
                for (int b = 0; b <= a; ++b) normal[a][b] += weight * own[a] * own[b];
                right[a] += weight * own[a] * off[i];
            }
        }
        for (int a = 1; a < TILT; ++a) normal[a][a] += held;
        if (!solve(TILT, normal, right)) return 0;
        memcpy(answer, right, sizeof answer);
    }
    for (int i = 0; i < n; ++i)
        for (int a = 0; a < TILT; ++a) tilted[i] += answer[a] * design[i][a];
    return 1;
}

// Corrects `predicted` [landmarks] by a depth picture read around `px` [landmarks, 2]; `metres` to a pixel there.
// 0 where the equations have no solution.
int correct_depth(const Face *f, const float *depth, int width, int height, const double *px, const double *predicted,
                  double metres, double *corrected, double *trust) {
    const int n = f->landmarks;
    double at[MOST_POINTS][2], across[MOST_POINTS][2], carried[MOST_POINTS], coarse[MOST_POINTS], near[MOST_POINTS];
    double middle[2] = {0, 0}, correction[MOST_POINTS], predicted_now[MOST_POINTS];
    Patches patches[MOST_POINTS / TOGETHER];
    memcpy(at, px, sizeof(double) * 2 * n), memcpy(carried, predicted, sizeof(double) * n);
    for (int m = 0; m < f->moved; ++m) {
        const int64_t own = f->moved_place[m], other = f->partner[m];
        for (int k = 0; k < 2; ++k) at[own][k] += f->inward[m] * (px[2 * other + k] - px[2 * own + k]);
        carried[own] += f->inward[m] * (predicted[other] - predicted[own]);
    }
    const int size = (2 * f->radius + 1) * (2 * f->radius + 1);
    for (int start = 0; start < n; start += TOGETHER) {
        Patches *p = patches + start / TOGETHER;
        read_patches(depth, width, height, at + start, n - start < TOGETHER ? n - start : TOGETHER, f->radius, p);
        sort_patches(p, size);
    }
    for (int s = 0; s < f->stable; ++s)
        for (int k = 0; k < 2; ++k) middle[k] += at[f->stable_place[s]][k] / f->stable;
    for (int i = 0; i < n; ++i)
        for (int k = 0; k < 2; ++k) across[i][k] = (at[i][k] - middle[k]) * metres;
    if (!tilt(f, patches, size, carried, across, coarse)) return 0;
    for (int i = 0; i < n; ++i) predicted_now[i] = carried[i] + coarse[i];
    gate(f, patches, size, predicted_now, f->coarse_gate, correction, near);
    for (int i = 0; i < n; ++i) near[i] *= f->readable[i];
    spread(f, correction, near, coarse);
    for (int i = 0; i < n; ++i) predicted_now[i] = carried[i] + coarse[i];
    gate(f, patches, size, predicted_now, f->fine_gate, correction, trust);
    for (int i = 0; i < n; ++i) trust[i] *= f->readable[i], corrected[i] = predicted[i] + coarse[i];
    spread(f, correction, trust, corrected);
    return 1;
}
