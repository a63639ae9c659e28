// A head drawn by the processor: vertices, visibility, light and texture, outlines, lashes. The caller's thread, and
// another one that helps where a core is free; no state but that one.
//
// The light is that of render/gl/shaders/studio_light.glsl and studio.frag.glsl, the outlines' smoothing that of
// outline.frag.glsl; what differs is when: visibility comes first (Burns and Hunt, "The visibility buffer: a
// cache-friendly approach to deferred shading", JCGT 2013), so that every pixel is lit once, eight at a time, however
// small the triangles are.
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define LANES 8
typedef float f8 __attribute__((vector_size(32)));
typedef int32_t i8 __attribute__((vector_size(32)));
typedef uint32_t u8 __attribute__((vector_size(32)));

static inline f8 all(float x) { return (f8){x, x, x, x, x, x, x, x}; }
static inline i8 alli(int x) { return (i8){x, x, x, x, x, x, x, x}; }
#ifdef __AVX2__ // what compilers do not find by themselves
static inline f8 pick(i8 which, f8 yes, f8 no) { return (f8)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)which); }
static inline f8 most(f8 a, f8 b) { return (f8)_mm256_max_ps((__m256)a, (__m256)b); }
static inline f8 least(f8 a, f8 b) { return (f8)_mm256_min_ps((__m256)a, (__m256)b); }
static inline f8 root(f8 x) { return (f8)_mm256_sqrt_ps((__m256)x); }
static inline f8 about_root(f8 x) { return x * (f8)_mm256_rsqrt_ps((__m256)most(x, (f8)_mm256_set1_ps(1e-12f))); } // 12 bits
static inline f8 about_inverse(f8 x) { return (f8)_mm256_rcp_ps((__m256)x); }
static inline u8 looked_up(const uint32_t *from, i8 at) {
    return (u8)_mm256_i32gather_epi32((const int *)from, (__m256i)at, 4);
}
#else
static inline f8 pick(i8 which, f8 yes, f8 no) { return (f8)((which & (i8)yes) | (~which & (i8)no)); }
static inline f8 most(f8 a, f8 b) { return pick(a > b, a, b); }
static inline f8 least(f8 a, f8 b) { return pick(a < b, a, b); }
static inline f8 root(f8 x) {
    f8 r;
    for (int i = 0; i < LANES; ++i) r[i] = __builtin_sqrtf(x[i]);
    return r;
}
static inline f8 about_root(f8 x) { return root(x); }
static inline f8 about_inverse(f8 x) { return 1.0f / x; }
static inline u8 looked_up(const uint32_t *from, i8 at) {
    u8 r;
    for (int i = 0; i < LANES; ++i) r[i] = from[at[i]];
    return r;
}
#endif
static const f8 LANE = {0, 1, 2, 3, 4, 5, 6, 7};
static inline float lower(float a, float b) { return a < b ? a : b; } // `fminf` minds what is no number: it is a call
static inline float higher(float a, float b) { return a > b ? a : b; }

// ---------------------------------------------------------------------------------------------------- what is handed in
#define BAND 32 // rows
enum { LIT_VERTICES = 1, TWO_SIDED = 2, BALL = 4, VERTEX_COLORS = 8, HAS_INSIDE = 16, HIDDEN = 32 };

typedef struct {
    int32_t first_vertex, vertices, first_face, faces, flags, texture, squarings;
    float base[3], gain[3], offset[3], softness[3], sheen, glint, back[3];
} Group;

typedef struct {
    const uint32_t *texels[14]; // the picture and its halves, a byte each for red, green, blue, from the lowest on
    int32_t width[14], height[14], levels, repeat;
} Texture;

typedef struct {
    int32_t groups, textures, vertices, faces, welded, edges, hairs;
    const Group *group;
    const Texture *texture;
    const int32_t *vertex_of; // [vertices] of the mesh
    const int32_t *weld;      // [vertices] which of the `welded` smooth places
    const int32_t *corners;   // [faces, 3] of the vertices
    const float *color;     // [vertices, 3] sRGB
    // Edges where an outline may be: own and other ends (mesh vertices), faces, the mesh vertex across, border or slit.
    const int32_t *edge; // [edges, 8] own0 own1 other0 other1 left right across kind
    float apart;
    const int32_t *hair;     // [hairs, 3] mesh vertices of thin faces
    const float *hair_tint;  // [hairs, 3] sRGB
} Scene;

enum { BORDER = 1, SLIT = 2 };

typedef struct {
    const float *points; // [mesh vertices, 3]
    const float *open;   // [mesh vertices] share of its surroundings that each sees
    const float *centre; // [mesh vertices, 3] of its eyeball
    float clip[16], light[9]; // row by row; light turns normals into the axes the lights stand in
    float outline_pull, hair_pull; // in device depth
    int32_t width, height, boxes, inside[16 * 4], as_lines; // boxes: left, first row, width, height
} View;

typedef struct {
    float *vertex; // [vertices, 16], see below
    float *normal; // [welded, 3]
    float *front;  // [faces] twice the area in the picture, negative where the back shows
    float *depth;  // [height, stride]
    int32_t *seen; // [workers, BAND + 1, stride] face, -1 where none; its back: -2 - face
    int32_t *bands, *entries; // [height / BAND + 1, 2] first and last entry; [most_entries, 2] face as seen, next entry
    int32_t most_entries;
    uint32_t *picture, *backdrop; // [height, width] 0xAARRGGBB, alpha multiplied in; room for eight more behind the picture
    uint32_t *blends;             // [most_blends, 2] place and colour
    int32_t most_blends, count;
    float *row; // [workers, 3, stride]
    void *runs; // [workers, width, 128 bytes]
    int32_t box[4];     // where the head is in the picture, and was in the last one
    int32_t changed[4]; // since then
    int32_t stride, workers;
} Work;

// A vertex in the picture: what is interpolated over faces, and where it is.
enum { LIGHT = 0, SHINE = 3, INWARD = 6, NORMAL = 0, OPEN = 3, TINT = 4, U = 7, V = 8, X, Y, DEPTH, PER_W, ROW = 16 };

// ------------------------------------------------------------------------------------------------------------ the light
static const float KEY[3] = {-0.4640f, 0.5104f, 0.7240f}, KEY_HALF[3] = {-0.2499f, 0.2749f, 0.9284f};
static const float FILL[3] = {0.8452f, 0.0754f, 0.5292f}, RIM[3] = {0.5571f, 0.4457f, -0.7008f};
static const float RIM_LEFT[3] = {-0.7071f, 0.2828f, -0.6481f}, GLINT_HALF[3] = {-0.2000f, 0.1300f, 0.9712f};
static const float KEY_COLOR[3] = {0.80f, 0.752f, 0.70f}, FILL_COLOR[3] = {0.150f, 0.172f, 0.205f};
static const float RIM_COLOR[3] = {0.52f, 0.55f, 0.60f}, SKY[3] = {0.215f, 0.228f, 0.245f};
static const float GROUND[3] = {0.105f, 0.088f, 0.080f};
static const float SHADE_0[3] = {1.5f, 0.9f, 0.84f}, SHADE_1[3] = {-0.5f, 0.1f, 0.16f};
#define GLINT_FROM 0.99664f
#define GLINT_TO 0.99872f

static inline f8 along(const f8 n[3], const float to[3]) { return n[0] * to[0] + n[1] * to[1] + n[2] * to[2]; }
static inline f8 to_linear(f8 c) { return c * (0.0342f + c * (0.5998f + c * 0.3660f)); }
static inline f8 gleam(f8 red) { return least(most(0.2f + 6.0f * red, all(0)), all(1)); }
static inline f8 develop(f8 seen) {
    f8 bright = most(seen - 0.62f, all(0));
    seen = most(seen - bright + bright * about_inverse(1.0f + 2.4f * bright), all(0));
    f8 s = about_root(seen);
    return 1.46759f * s - 0.12853f * about_root(s) + seen * (0.14746f * s - 0.48652f);
}

static inline void light_surface(const Group *g, const f8 n[3], f8 open, f8 diffuse[3], f8 *shine) {
    f8 toward = along(n, KEY), fill = most(0.35f + 0.65f * along(n, FILL), all(0)), up = 0.5f + 0.5f * n[1];
    f8 edge = 1.0f - most(n[2], all(0)), edge2 = edge * edge;
    f8 rim = (most(along(n, RIM) + 0.25f, all(0)) + 0.6f * most(along(n, RIM_LEFT) + 0.2f, all(0))) * open * open;
    for (int i = 0; i < 3; ++i) {
        f8 key = most(toward * g->gain[i] + g->offset[i], all(0));
        key *= key * (1.0f - g->softness[i]) + g->softness[i];
        f8 shade = open * (SHADE_0[i] + SHADE_1[i] * open);
        f8 around = GROUND[i] + (SKY[i] - GROUND[i]) * up + FILL_COLOR[i] * fill;
        diffuse[i] = around * shade + KEY_COLOR[i] * key * (0.25f + 0.75f * shade) + RIM_COLOR[i] * (rim * edge);
    }
    f8 glare = most(along(n, KEY_HALF), all(0));
    for (int i = 0; i < g->squarings; ++i) glare *= glare;
    *shine = g->sheen * open * (glare + 1.2f * rim * edge2 * edge2);
}

// --------------------------------------------------------------------------------------------------------- the vertices
#define MARGIN 4 // pixels: outlines and lashes are drawn a little wider than the mesh

static void place_vertices(const Scene *s, const View *v, Work *w) {
    const float *m = v->clip;
    for (int i = 0; i < s->vertices; ++i) {
        const float *p = v->points + 3 * s->vertex_of[i];
        float *to = w->vertex + (long)ROW * i;
        float cw = m[12] * p[0] + m[13] * p[1] + m[14] * p[2] + m[15];
        float in = cw > 1e-6f ? 1.0f / cw : -1.0f; // behind the camera
        to[X] = ((m[0] * p[0] + m[1] * p[1] + m[2] * p[2] + m[3]) * in * 0.5f + 0.5f) * v->width;
        to[Y] = ((m[4] * p[0] + m[5] * p[1] + m[6] * p[2] + m[7]) * in * 0.5f + 0.5f) * v->height;
        to[DEPTH] = (m[8] * p[0] + m[9] * p[1] + m[10] * p[2] + m[11]) * in;
        to[PER_W] = in;
    }
}

// The pixels that the head may reach, with room for its edges; all where some of it is behind the camera.
static void find_box(const Scene *s, const View *v, const Work *w, int32_t box[4]) {
    float low[2] = {v->width, v->height}, high[2] = {0, 0}, most_of[2] = {v->width, v->height};
    for (int i = 0; i < s->vertices; ++i) {
        const float *at = w->vertex + (long)ROW * i;
        for (int k = 0; k < 2; ++k) {
            low[k] = lower(low[k], at[PER_W] > 0 ? at[X + k] : 0);
            high[k] = higher(high[k], at[PER_W] > 0 ? at[X + k] : most_of[k]);
        }
    }
    for (int k = 0; k < 2; ++k) {
        int from = (int)floorf(lower(higher(low[k] - MARGIN, 0), most_of[k]));
        int to = (int)ceilf(lower(higher(high[k] + MARGIN, 0), most_of[k]));
        box[k] = from, box[2 + k] = to > from ? to - from : 0;
    }
}

static void clear(const View *v, Work *w, const int32_t box[4]) {
    for (int row = box[1]; row < box[1] + box[3]; ++row) {
        long at = (long)row * v->width + box[0], kept = (long)row * w->stride + box[0];
        memcpy(w->picture + at, w->backdrop + at, sizeof(uint32_t) * box[2]);
        memset(w->seen + (long)(row % BAND) * w->stride + box[0], 0xFF, sizeof(int32_t) * box[2]);
        const int columns = box[2];
        float *restrict depth = w->depth + kept;
        for (int x = 0; x < columns; ++x) depth[x] = 1.0f;
    }
}

static void work_out_normals(const Scene *s, const View *v, Work *w) {
    memset(w->normal, 0, sizeof(float) * 3 * s->welded);
    for (int f = 0; f < s->faces; ++f) {
        const int32_t *c = s->corners + 3 * f;
        const float *a = v->points + 3 * s->vertex_of[c[0]], *b = v->points + 3 * s->vertex_of[c[1]];
        const float *d = v->points + 3 * s->vertex_of[c[2]];
        float ux = b[0] - a[0], uy = b[1] - a[1], uz = b[2] - a[2], vx = d[0] - a[0], vy = d[1] - a[1], vz = d[2] - a[2];
        float nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
        for (int k = 0; k < 3; ++k) {
            float *to = w->normal + 3 * s->weld[c[k]];
            to[0] += nx, to[1] += ny, to[2] += nz;
        }
    }
}

// What is interpolated over the faces of a group: light, where it is worked out here, or what it takes to do so later.
static void light_vertices(const Scene *s, const View *v, const Group *g, Work *w) {
    const int last = g->first_vertex + g->vertices;
    for (int start = g->first_vertex; start < last; start += LANES) {
        int count = last - start < LANES ? last - start : LANES;
        f8 raw[3] = {all(0), all(0), all(0)}, open = all(1), tint[3] = {all(1), all(1), all(1)};
        for (int i = 0; i < count; ++i) {
            int at = start + i, own = s->vertex_of[at];
            const float *from = w->normal + 3 * s->weld[at], *p = v->points + 3 * own;
            for (int k = 0; k < 3; ++k) {
                raw[k][i] = g->flags & BALL ? p[k] - v->centre[3 * own + k] : from[k];
                if (g->flags & VERTEX_COLORS) tint[k][i] = s->color[3 * at + k];
            }
            open[i] = v->open[own];
        }
        f8 turned[3];
        for (int k = 0; k < 3; ++k)
            turned[k] = v->light[3 * k] * raw[0] + v->light[3 * k + 1] * raw[1] + v->light[3 * k + 2] * raw[2];
        f8 size = root(most(turned[0] * turned[0] + turned[1] * turned[1] + turned[2] * turned[2], all(1e-36f)));
        f8 out[7];
        for (int k = 0; k < 3; ++k) turned[k] /= size;
        int values = 7;
        if (g->flags & LIT_VERTICES) {
            values = 4;
            light_surface(g, turned, open, out, &out[3]);
            if (g->flags & VERTEX_COLORS) {
                for (int k = 0; k < 3; ++k) tint[k] = to_linear(tint[k]), out[k] *= tint[k];
                out[3] *= gleam(tint[0]);
            }
        } else
            for (int k = 0; k < 3; ++k) out[NORMAL + k] = turned[k], out[TINT + k] = tint[k];
        if (values == 7) out[OPEN] = open;
        for (int i = 0; i < count; ++i) {
            float *to = w->vertex + (long)ROW * (start + i);
            for (int k = 0; k < values; ++k) to[k] = out[k][i];
            if (values == 4) to[INWARD] = turned[2][i];
        }
    }
}

// ----------------------------------------------------------------------------------------------------------- visibility
// Pixels whose centre lies between two edges, row by row. Where an edge passes depends on its two ends alone, and not on
// the face, so that neighbours leave no gap and share no pixel.
typedef struct { float x, y, z; } Point;

static inline void swap_up(Point *a, Point *b) {
    if (b->y < a->y || (b->y == a->y && b->x < a->x)) { Point t = *a; *a = *b; *b = t; }
}

static void see_face(const Point corner[3], int32_t mark, const int32_t box[4], Work *w) {
    Point a = corner[0], b = corner[1], c = corner[2];
    swap_up(&a, &b), swap_up(&b, &c), swap_up(&a, &b);
    int first = (int)ceilf(a.y - 0.5f), middle = (int)ceilf(b.y - 0.5f), end = (int)ceilf(c.y - 0.5f);
    if (first < box[1]) first = box[1];
    if (end > box[1] + box[3]) end = box[1] + box[3];
    if (first >= end) return;
    float area = (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
    if (area == 0) return;
    float dx = ((b.z - a.z) * (c.y - a.y) - (c.z - a.z) * (b.y - a.y)) / area;
    float dy = ((c.z - a.z) * (b.x - a.x) - (b.z - a.z) * (c.x - a.x)) / area;
    f8 low = all(lower(a.z, lower(b.z, c.z))), high = all(higher(a.z, higher(b.z, c.z)));
    // in double precision it does not matter in which order the compiler does this
    double slope = ((double)c.x - a.x) / ((double)c.y - a.y), start = box[0], stop = box[0] + box[2];
    for (int row = first; row < end;) {
        Point from = row < middle ? a : b, to = row < middle ? b : c;
        int until = row < middle && middle < end ? middle : end;
        double bent = ((double)to.x - from.x) / ((double)to.y - from.y);
        for (; row < until; ++row) {
            double at = row + 0.5, one = a.x + (at - a.y) * slope, other = from.x + (at - from.y) * bent;
            double left = one < other ? one : other, right = one < other ? other : one;
            int x = (int)ceil((left > start ? left : start) - 0.5), last = (int)ceil((right < stop ? right : stop) - 0.5);
            float z = a.z + dx * (x + 0.5f - a.x) + dy * ((float)at - a.y);
            float *depth = w->depth + (long)row * w->stride + x;
            int32_t *seen = w->seen + (long)(row % BAND) * w->stride + x;
            for (int n = last - x; n > 0; n -= LANES, depth += LANES, seen += LANES, z += LANES * dx) {
                f8 old, here = least(most(z + dx * LANE, low), high); // slivers would shoot past their corners
                i8 who;
                memcpy(&old, depth, sizeof old), memcpy(&who, seen, sizeof who);
                i8 nearer = (here <= old) & (LANE < all((float)n));
                old = pick(nearer, here, old), who = (i8)pick(nearer, (f8)alli(mark), (f8)who);
                memcpy(depth, &old, sizeof old), memcpy(seen, &who, sizeof who);
            }
        }
    }
}

static int in_boxes(const Point corner[3], const View *v) {
    float left = lower(corner[0].x, lower(corner[1].x, corner[2].x));
    float right = higher(corner[0].x, higher(corner[1].x, corner[2].x));
    float low = lower(corner[0].y, lower(corner[1].y, corner[2].y));
    float high = higher(corner[0].y, higher(corner[1].y, corner[2].y));
    for (int i = 0; i < v->boxes; ++i) {
        const int32_t *b = v->inside + 4 * i;
        if (left <= b[0] + b[2] && right >= b[0] && low <= b[1] + b[3] && high >= b[1]) return 1;
    }
    return 0;
}

static int corners_of(const Scene *s, const Work *w, int face, Point p[3]) {
    int behind = 0;
    for (int k = 0; k < 3; ++k) {
        const float *at = w->vertex + (long)ROW * s->corners[3 * face + k];
        p[k] = (Point){at[X], at[Y], at[DEPTH]}, behind |= at[PER_W] < 0;
    }
    return behind;
}

// Bands of rows are finished one after the other, so that what is seen in one stays near the processor meanwhile.
static void into_bands(const Work *w, const Point p[3], int32_t mark, int32_t *count) {
    float low = lower(p[0].y, lower(p[1].y, p[2].y)), high = higher(p[0].y, higher(p[1].y, p[2].y));
    if (high < w->box[1] || low > w->box[1] + w->box[3]) return;
    int first = (int)higher(low, w->box[1]) / BAND, last = (int)lower(high, w->box[1] + w->box[3] - 1) / BAND;
    for (int band = first; band <= last; ++band) {
        if (*count == w->most_entries) return;
        int32_t entry = (*count)++;
        w->entries[2 * entry] = mark, w->entries[2 * entry + 1] = -1;
        if (w->bands[2 * band] < 0) w->bands[2 * band] = entry;
        else w->entries[2 * w->bands[2 * band + 1] + 1] = entry;
        w->bands[2 * band + 1] = entry;
    }
}

static void sort_group(const Scene *s, const View *v, const Group *g, Work *w, int32_t *count) {
    for (int f = g->first_face; f < g->first_face + g->faces; ++f) {
        Point p[3];
        int behind = corners_of(s, w, f, p);
        // rows count from the top: the front is where corners run clockwise
        float area = (p[1].x - p[0].x) * (p[2].y - p[0].y) - (p[1].y - p[0].y) * (p[2].x - p[0].x);
        w->front[f] = behind ? 0 : -area;
        if (behind || area == 0 || g->flags & HIDDEN) continue;
        if (area < 0 || g->flags & TWO_SIDED) into_bands(w, p, f, count);
        else if (g->flags & HAS_INSIDE && in_boxes(p, v)) into_bands(w, p, -2 - f, count);
    }
}

// ---------------------------------------------------------------------------------------------------------- the picture
// Bilinear, of one level. `inner`: nothing is looked up beyond the picture's edges.
static inline void texels(const Texture *t, int level, int inner, f8 u, f8 v, f8 rgb[3]) {
    const int width = t->width[level], height = t->height[level];
    if (t->repeat && !inner)
        for (int i = 0; i < LANES; ++i) u[i] -= floorf(u[i]), v[i] -= floorf(v[i]);
    f8 x = u * (float)width + 0.5f, y = v * (float)height + 0.5f; // from one texel before the first
    x = least(most(x, all(0)), all((float)width + 1)), y = least(most(y, all(0)), all((float)height + 1));
    i8 fx = __builtin_convertvector(x * 256.0f + 0.5f, i8), fy = __builtin_convertvector(y * 256.0f + 0.5f, i8);
    i8 x0 = (fx >> 8) - 1, y0 = (fy >> 8) - 1;
    u8 wx = (u8)(fx & 255), wy = (u8)(fy & 255);
    const uint32_t *from = t->texels[level];
    u8 t00, t10, t01, t11;
    if (inner) {
        i8 at = y0 * width + x0;
        t00 = looked_up(from, at), t10 = looked_up(from + 1, at);
        t01 = looked_up(from + width, at), t11 = looked_up(from + width + 1, at);
    } else {
        i8 x1 = x0 + 1, y1 = y0 + 1, right = alli(width - 1), low = alli(height - 1);
        if (t->repeat) {
            x0 += (x0 < 0) & alli(width), y0 += (y0 < 0) & alli(height);
            x0 -= (x0 > right) & alli(width), y0 -= (y0 > low) & alli(height);
            x1 -= (x1 > right) & alli(width), y1 -= (y1 > low) & alli(height);
        } else {
            x0 &= ~(x0 < 0), y0 &= ~(y0 < 0);
            x0 = (x0 & (x0 < right)) | (right & (x0 >= right)), x1 = (x1 & (x1 < right)) | (right & (x1 >= right));
            y0 = (y0 & (y0 < low)) | (low & (y0 >= low)), y1 = (y1 & (y1 < low)) | (low & (y1 >= low));
        }
        t00 = looked_up(from, y0 * width + x0), t10 = looked_up(from, y0 * width + x1);
        t01 = looked_up(from, y1 * width + x0), t11 = looked_up(from, y1 * width + x1);
    }
    const uint32_t pair = 0x00FF00FF, half = 0x00800080; // red and blue at once, then green
    u8 nx = 256 - wx, ny = 256 - wy;
    u8 rb0 = (((t00 & pair) * nx + (t10 & pair) * wx + half) >> 8) & pair;
    u8 rb1 = (((t01 & pair) * nx + (t11 & pair) * wx + half) >> 8) & pair;
    u8 rb = (((rb0 * ny + rb1 * wy) + half) >> 8) & pair;
    u8 g0 = ((t00 >> 8) & 255) * nx + ((t10 >> 8) & 255) * wx, g1 = ((t01 >> 8) & 255) * nx + ((t11 >> 8) & 255) * wx;
    u8 g = (g0 * ny + g1 * wy) >> 8;
    rgb[0] = __builtin_convertvector((i8)(rb & 255), f8) * (1.0f / 255);
    rgb[1] = __builtin_convertvector((i8)g, f8) * (1.0f / 65280);
    rgb[2] = __builtin_convertvector((i8)(rb >> 16), f8) * (1.0f / 255);
}

static inline u8 packed(const f8 rgb[3]) {
    u8 out = (u8)alli((int)0xFF000000);
    for (int k = 0; k < 3; ++k) {
        f8 bounded = least(most(rgb[k], all(0)), all(1)) * 255.0f + 0.5f;
        out |= (u8)__builtin_convertvector(bounded, i8) << (16 - 8 * k);
    }
    return out;
}

#define FLAT 0.004f // of the distance: a middle then is off by a thousandth of the face

// Part of a row that shows one face, as shading needs it: weights of its second and third corner over the picture, and values at the corners.
typedef struct {
    int32_t from, to, mark, level, inner, back, flat; // inner: to the texture's edges; flat: too small for perspective to show
    const Group *group;
    float wx1, wy1, w1, wx2, wy2, w2; // barycentric weight = w + wx * x + wy * y
    const float *a, *b, *c;
} Run;
_Static_assert(sizeof(Run) <= 128, "there is room for so much");

static void take_face(const Scene *s, const Work *w, int32_t mark, const Group *const *group_of, Run *t) {
    const int face = mark >= 0 ? mark : -2 - mark;
    const int32_t *corner = s->corners + 3 * face;
    const float *a = w->vertex + (long)ROW * corner[0], *b = w->vertex + (long)ROW * corner[1];
    const float *c = w->vertex + (long)ROW * corner[2];
    float bx = b[X] - a[X], by = b[Y] - a[Y], cx = c[X] - a[X], cy = c[Y] - a[Y], in = 1.0f / (bx * cy - by * cx);
    t->mark = mark, t->back = mark < 0 || w->front[face] < 0, t->group = group_of[face], t->a = a, t->b = b, t->c = c;
    t->wx1 = cy * in, t->wy1 = -cx * in, t->w1 = -(t->wx1 * a[X] + t->wy1 * a[Y]);
    t->wx2 = -by * in, t->wy2 = bx * in, t->w2 = -(t->wx2 * a[X] + t->wy2 * a[Y]);
    t->level = 0;
    if (t->group->texture >= 0) { // as hardware chooses it: by the longer of the steps that a pixel makes in the texture
        const Texture *tex = s->texture + t->group->texture;
        float du1 = (b[U] - a[U]) * tex->width[0], du2 = (c[U] - a[U]) * tex->width[0];
        float dv1 = (b[V] - a[V]) * tex->height[0], dv2 = (c[V] - a[V]) * tex->height[0];
        float ux = du1 * t->wx1 + du2 * t->wx2, vx = dv1 * t->wx1 + dv2 * t->wx2;
        float uy = du1 * t->wy1 + du2 * t->wy2, vy = dv1 * t->wy1 + dv2 * t->wy2;
        float rho2 = higher(ux * ux + vx * vx, uy * uy + vy * vy);
        for (float limit = 2; rho2 > limit && t->level < tex->levels - 1; limit *= 4) ++t->level;
        float width = tex->width[t->level], height = tex->height[t->level];
        t->inner = lower(a[U], lower(b[U], c[U])) * width > 1 && higher(a[U], higher(b[U], c[U])) * width < width - 1 &&
                   lower(a[V], lower(b[V], c[V])) * height > 1 && higher(a[V], higher(b[V], c[V])) * height < height - 1;
    }
    float nearest = higher(a[PER_W], higher(b[PER_W], c[PER_W])), farthest = lower(a[PER_W], lower(b[PER_W], c[PER_W]));
    t->flat = nearest - farthest < FLAT * nearest;
}

// Light that eight pixels of a row send to the camera.
static inline void shade(const Scene *s, const Run *t, f8 x, float y, f8 seen[3]) {
    const Group *g = t->group;
    const float *a = t->a, *b = t->b, *c = t->c;
    f8 p1 = t->w1 + t->wx1 * x + t->wy1 * y, p2 = t->w2 + t->wx2 * x + t->wy2 * y;
    p1 = least(most(p1, all(0)), all(1)), p2 = least(most(p2, all(0)), all(1));
    if (!t->flat) {
        f8 p0 = (1.0f - p1 - p2) * a[PER_W];
        p1 *= b[PER_W], p2 *= c[PER_W];
        f8 in = 1.0f / (p0 + p1 + p2);
        p1 *= in, p2 *= in;
    }
#define VALUE(i) (a[i] + p1 * (b[i] - a[i]) + p2 * (c[i] - a[i]))
    if (t->mark < 0) { // what lies behind an opening: dark, never shiny
        f8 n = g->flags & LIT_VERTICES ? VALUE(INWARD) : VALUE(NORMAL + 2);
        f8 share = 0.25f + 0.5f * most(-n, all(0));
        for (int k = 0; k < 3; ++k) seen[k] = g->back[k] * share;
        return;
    }
    f8 surface[3] = {all(g->base[0]), all(g->base[1]), all(g->base[2])}, lit[3], shine;
    if (g->texture >= 0) {
        f8 rgb[3];
        texels(s->texture + g->texture, t->level, t->inner, VALUE(U), VALUE(V), rgb);
        for (int k = 0; k < 3; ++k) surface[k] *= to_linear(rgb[k]);
    }
    if (g->flags & LIT_VERTICES) {
        lit[0] = VALUE(LIGHT), lit[1] = VALUE(LIGHT + 1), lit[2] = VALUE(LIGHT + 2), shine = VALUE(SHINE);
        shine *= gleam(surface[0]);
        for (int k = 0; k < 3; ++k) seen[k] = surface[k] * lit[k] + shine;
    } else {
        f8 n[3] = {VALUE(NORMAL), VALUE(NORMAL + 1), VALUE(NORMAL + 2)}, open = VALUE(OPEN);
        f8 size = root(most(n[0] * n[0] + n[1] * n[1] + n[2] * n[2], all(1e-36f)));
        for (int k = 0; k < 3; ++k) n[k] = (t->back ? -n[k] : n[k]) / size;
        if (g->flags & VERTEX_COLORS)
            for (int k = 0; k < 3; ++k) surface[k] *= to_linear(VALUE(TINT + k));
        light_surface(g, n, open, lit, &shine);
        shine *= gleam(surface[0]);
        for (int k = 0; k < 3; ++k) seen[k] = surface[k] * lit[k] + shine;
        if (g->glint > 0) {
            f8 toward = along(n, GLINT_HALF), spark;
            if (g->flags & BALL) {
                f8 share = least(most((toward - GLINT_FROM) * (1.0f / (GLINT_TO - GLINT_FROM)), all(0)), all(1));
                spark = (0.25f + 0.75f * open) * (share * share * (3.0f - 2.0f * share));
            } else {
                spark = most(toward, all(0));
                for (int i = 0; i < 8; ++i) spark *= spark;
                spark *= 0.4f + 0.6f * open;
            }
            for (int k = 0; k < 3; ++k) seen[k] += g->glint * spark;
        }
    }
}

// Have the texels of a run brought near: a picture's lie all over the memory, and waiting for them one run after the
// other took longer than all else.
static inline void fetch(const Scene *s, const Run *t, float y) {
    if (t->group->texture < 0 || t->mark < 0 || !t->inner) return;
    const Texture *texture = s->texture + t->group->texture;
    const int width = texture->width[t->level], height = texture->height[t->level];
    for (int end = 0; end < 2; ++end) {
        float x = end ? t->to - 0.5f : t->from + 0.5f;
        float p1 = t->w1 + t->wx1 * x + t->wy1 * y, p2 = t->w2 + t->wx2 * x + t->wy2 * y;
        int column = (int)((t->a[U] + p1 * (t->b[U] - t->a[U]) + p2 * (t->c[U] - t->a[U])) * width - 0.5f);
        int line = (int)((t->a[V] + p1 * (t->b[V] - t->a[V]) + p2 * (t->c[V] - t->a[V])) * height - 0.5f);
        const uint32_t *at = texture->texels[t->level] + (long)line * width + column; // only a hint: may lie anywhere
        __builtin_prefetch(at), __builtin_prefetch(at + width);
    }
}

static void paint(const Scene *s, const View *v, Work *w, const int32_t box[4], const Group *const *group_of) {
    const int start = box[0], end = box[0] + box[2];
    for (int row = box[1]; row < box[1] + box[3]; ++row) {
        const int32_t *seen = w->seen + (long)(row % BAND) * w->stride;
        Run *runs = w->runs, *run = runs;
        for (int x = start; x < end; ++x) {
            if (seen[x] == -1) continue;
            run->from = x;
            while (x + 1 < end && seen[x + 1] == seen[x]) ++x;
            run->to = x + 1;
            take_face(s, w, seen[x], group_of, run);
            fetch(s, run, row + 0.5f);
            ++run;
        }
        if (run == runs) continue;
        const int first = runs[0].from, last = run[-1].to;
        for (Run *t = runs; t < run; ++t) // what is worked out beyond the end of one is written over by the next
            for (int x = t->from; x < t->to; x += LANES) {
                f8 light[3];
                shade(s, t, LANE + (x + 0.5f), row + 0.5f, light);
                for (int k = 0; k < 3; ++k) memcpy(w->row + (long)k * w->stride + x, &light[k], sizeof(f8));
            }
        uint32_t *to = w->picture + (long)row * v->width;
        for (int x = first; x < last; x += LANES) {
            f8 light[3];
            u8 old;
            i8 who;
            for (int k = 0; k < 3; ++k) {
                memcpy(&light[k], w->row + (long)k * w->stride + x, sizeof(f8));
                light[k] = develop(light[k]);
            }
            const int here = x + LANES <= v->width ? LANES : v->width - x; // the next row may be another thread's
            old = (u8)alli(0);
            if (here == LANES) memcpy(&old, to + x, sizeof old);
            else memcpy(&old, to + x, sizeof *to * here);
            memcpy(&who, seen + x, sizeof who);
            old = (u8)pick((who != -1) & (LANE < all((float)(last - x))), (f8)packed(light), (f8)old);
            if (here == LANES) memcpy(to + x, &old, sizeof old);
            else memcpy(to + x, &old, sizeof *to * here);
        }
    }
}

// ------------------------------------------------------------------------------------------------------- edges, lashes
// Of colours that have been multiplied by their alpha: before a transparent backdrop edges are as opaque as they cover.
static inline uint32_t mixed(uint32_t own, uint32_t other, float share) {
    uint32_t out = 0;
    for (int shift = 0; shift < 32; shift += 8) {
        float a = (own >> shift) & 255, b = (other >> shift) & 255;
        out |= (uint32_t)(a + (b - a) * share + 0.5f) << shift;
    }
    return out;
}

static inline int to_picture(const View *v, const float *p, float out[3]) {
    const float *m = v->clip;
    float w = m[12] * p[0] + m[13] * p[1] + m[14] * p[2] + m[15];
    if (w <= 1e-6f) return 0;
    out[0] = ((m[0] * p[0] + m[1] * p[1] + m[2] * p[2] + m[3]) / w * 0.5f + 0.5f) * v->width;
    out[1] = ((m[4] * p[0] + m[5] * p[1] + m[6] * p[2] + m[7]) / w * 0.5f + 0.5f) * v->height;
    out[2] = (m[8] * p[0] + m[9] * p[1] + m[10] * p[2] + m[11]) / w;
    return 1;
}

// Where an outline crosses a pixel, the share of it beyond takes the colour of the neighbour beyond (Persson, "Geometric
// anti-aliasing methods", GPU Pro 2, 2011).
static void smooth_edge(const View *v, Work *w, int32_t one, int32_t other) {
    float a[3], b[3];
    if (!to_picture(v, v->points + 3 * one, a) || !to_picture(v, v->points + 3 * other, b)) return;
    float dx = b[0] - a[0], dy = b[1] - a[1];
    if (dx == 0 && dy == 0) return;
    int flat = fabsf(dx) >= fabsf(dy), main = flat ? 0 : 1, side = 1 - main;
    if (b[main] < a[main]) for (int k = 0; k < 3; ++k) { float t = a[k]; a[k] = b[k]; b[k] = t; }
    float run = b[main] - a[main], slope = (b[side] - a[side]) / run, fall = (b[2] - a[2]) / run;
    int low = (int)ceilf(higher(a[main], w->box[main]) - 0.5f);
    int high = (int)ceilf(lower(b[main], w->box[main] + w->box[2 + main]) - 0.5f);
    int size[2] = {v->width, v->height};
    for (int i = low; i < high; ++i) {
        float centre = i + 0.5f, passes = a[side] + slope * (centre - a[main]);
        int j = (int)floorf(passes);
        if (j < w->box[side] || j >= w->box[side] + w->box[2 + side]) continue;
        int x = flat ? i : j, y = flat ? j : i;
        float depth = a[2] + fall * (centre - a[main]) - v->outline_pull;
        if (depth > w->depth[(long)y * w->stride + x]) continue;
        float beyond = passes - (j + 0.5f);
        int next = j + (beyond > 0) - (beyond < 0);
        next = next < 0 ? 0 : next >= size[side] ? size[side] - 1 : next;
        long own = (long)y * v->width + x, far = flat ? (long)next * v->width + x : (long)y * v->width + next;
        if (w->count == w->most_blends) return;
        w->blends[2 * w->count] = (uint32_t)own; // written when all have been read
        w->blends[2 * w->count++ + 1] = mixed(w->picture[own], w->picture[far], higher(0.5f - fabsf(beyond), 0));
    }
}

static void smooth_outlines(const Scene *s, const View *v, Work *w) {
    w->count = 0;
    for (int e = 0; e < s->edges; ++e) {
        const int32_t *d = s->edge + 8 * e;
        int left = w->front[d[4]] > 0, right = w->front[d[5]] > 0;
        if (d[7] & BORDER) {
            if (left) smooth_edge(v, w, d[0], d[1]);
            continue;
        }
        if (left != right) {
            const float *a = v->points + 3 * d[0], *b = v->points + 3 * d[1], *over = v->points + 3 * d[6];
            const int32_t *c = s->corners + 3 * d[4];
            const float *p = v->points + 3 * s->vertex_of[c[0]], *q = v->points + 3 * s->vertex_of[c[1]];
            const float *r = v->points + 3 * s->vertex_of[c[2]];
            float ux = q[0] - p[0], uy = q[1] - p[1], uz = q[2] - p[2];
            float vx = r[0] - p[0], vy = r[1] - p[1], vz = r[2] - p[2];
            float turn = (uy * vz - uz * vy) * (over[0] - a[0]) + (uz * vx - ux * vz) * (over[1] - a[1]) +
                         (ux * vy - uy * vx) * (over[2] - a[2]);
            if (turn < 0 && a != b) smooth_edge(v, w, d[0], d[1]);
        }
        if (d[7] & SLIT) {
            float most_apart = 0;
            for (int k = 0; k < 2; ++k)
                for (int i = 0; i < 3; ++i)
                    most_apart = higher(most_apart, fabsf(v->points[3 * d[k] + i] - v->points[3 * d[2 + k] + i]));
            if (most_apart > s->apart) {
                if (left) smooth_edge(v, w, d[0], d[1]);
                if (right) smooth_edge(v, w, d[2], d[3]);
            }
        }
    }
    for (int i = 0; i < w->count; ++i) w->picture[w->blends[2 * i]] = w->blends[2 * i + 1];
}

// A face thinner than a pixel as a strip at least one pixel wide along its longest side, as opaque as it covers a pixel.
static void draw_hair(const View *v, Work *w, const int32_t *corner, const float *tint) {
    float p[3][3], side[3];
    for (int k = 0; k < 3; ++k)
        if (!to_picture(v, v->points + 3 * corner[k], p[k])) return;
    for (int k = 0; k < 3; ++k) side[k] = hypotf(p[(k + 1) % 3][0] - p[k][0], p[(k + 1) % 3][1] - p[k][1]);
    int first = side[0] >= higher(side[1], side[2]) ? 0 : side[1] >= side[2] ? 1 : 2;
    int second = (first + 1) % 3, third = (first + 2) % 3;
    float run = higher(side[first], 1e-6f);
    float ax = (p[second][0] - p[first][0]) / run, ay = (p[second][1] - p[first][1]) / run;
    float width = fabsf((p[third][0] - p[first][0]) * -ay + (p[third][1] - p[first][1]) * ax) * 0.5f;
    float half = 0.5f * higher(width, 1) + 0.5f, length = run * (2.0f / 3);
    float mx = (2 * p[first][0] + p[third][0]) / 3, my = (2 * p[first][1] + p[third][1]) / 3;
    float ex = mx + ax * length, ey = my + ay * length, fall = (p[second][2] - p[first][2]) / higher(length, 1e-6f);
    int left = (int)floorf(lower(mx, ex) - half), right = (int)ceilf(higher(mx, ex) + half);
    int low = (int)floorf(lower(my, ey) - half), high = (int)ceilf(higher(my, ey) + half);
    left = left < w->box[0] ? w->box[0] : left, low = low < w->box[1] ? w->box[1] : low;
    right = right > w->box[0] + w->box[2] ? w->box[0] + w->box[2] : right;
    high = high > w->box[1] + w->box[3] ? w->box[1] + w->box[3] : high;
    uint32_t color = 0xFF000000;
    for (int k = 0; k < 3; ++k) color |= (uint32_t)(lower(higher(tint[k], 0), 1) * 255 + 0.5f) << (16 - 8 * k);
    for (int y = low; y < high; ++y)
        for (int x = left; x < right; ++x) {
            float fx = x + 0.5f - mx, fy = y + 0.5f - my, t = fx * ax + fy * ay, across = fabsf(-fx * ay + fy * ax);
            if (t < 0 || t >= length || across >= half) continue;
            if (p[first][2] + fall * t - v->hair_pull > w->depth[(long)y * w->stride + x]) continue;
            float alpha = lower(half - across, 1) * lower(width, 1);
            uint32_t *to = w->picture + (long)y * v->width + x;
            *to = mixed(*to, color, alpha);
        }
}

// ------------------------------------------------------------------------------------------------------------- in bands
// Each band is painted by whoever comes first to it.
typedef struct {
    const Scene *scene;
    const View *view;
    const Work *work;
    const Group *const *group_of;
    const int32_t *box;
    atomic_int next;
} Bands;

static void paint_bands(Bands *job, int worker) {
    const int32_t *box = job->box, end = box[1] + box[3];
    Work own = *job->work; // its rows are this worker's
    own.seen += (long)worker * (BAND + 1) * own.stride, own.row += (long)worker * 3 * own.stride;
    own.runs = (Run *)own.runs + (long)worker * job->view->width;
    for (int band; (band = atomic_fetch_add(&job->next, 1)) * BAND < end;) {
        int from = band * BAND > box[1] ? band * BAND : box[1], until = (band + 1) * BAND < end ? (band + 1) * BAND : end;
        int32_t part[4] = {box[0], from, box[2], until - from};
        clear(job->view, &own, part);
        for (int32_t entry = own.bands[2 * band]; entry >= 0; entry = own.entries[2 * entry + 1]) {
            int32_t mark = own.entries[2 * entry];
            Point p[3];
            corners_of(job->scene, &own, mark >= 0 ? mark : -2 - mark, p);
            see_face(p, mark, part, &own);
        }
        paint(job->scene, job->view, &own, part, job->group_of);
    }
}

// The helper, of whoever paints first: another painter at the same time paints alone.
static pthread_mutex_t engaged = PTHREAD_MUTEX_INITIALIZER, told = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t posted = PTHREAD_COND_INITIALIZER, finished = PTHREAD_COND_INITIALIZER;
static Bands *posted_job;
static int taken;
static pid_t helper_of; // a process that was forked has none

static void *help(void *unused) {
    (void)unused;
#ifdef __linux__
    prctl(PR_SET_NAME, "painter"); // by which realtime/threads/processor.py knows it
#endif
    pthread_mutex_lock(&told);
    for (;;) {
        while (!posted_job || taken) pthread_cond_wait(&posted, &told);
        Bands *job = posted_job;
        taken = 1;
        pthread_mutex_unlock(&told);
        paint_bands(job, 1);
        pthread_mutex_lock(&told);
        posted_job = NULL;
        pthread_cond_signal(&finished);
    }
    return NULL;
}

static int has_helper(void) {
    if (helper_of == getpid()) return 1;
    sigset_t all_signals, before; // those are for Python's threads
    pthread_t thread;
    told = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; // the helper of before a fork may have held it
    posted = finished = (pthread_cond_t)PTHREAD_COND_INITIALIZER, posted_job = NULL, taken = 0;
    sigfillset(&all_signals);
    pthread_sigmask(SIG_SETMASK, &all_signals, &before);
    int failed = pthread_create(&thread, NULL, help, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) return 0;
    pthread_detach(thread);
    helper_of = getpid();
    return 1;
}

static void paint_all_bands(Bands *job) {
    if (job->work->workers < 2 || pthread_mutex_trylock(&engaged)) {
        paint_bands(job, 0);
        return;
    }
    int helped = has_helper();
    if (helped) {
        pthread_mutex_lock(&told);
        posted_job = job, taken = 0;
        pthread_cond_signal(&posted);
        pthread_mutex_unlock(&told);
    }
    paint_bands(job, 0);
    if (helped) {
        pthread_mutex_lock(&told);
        if (!taken) posted_job = NULL; // no core was free: nothing is waited for
        while (posted_job) pthread_cond_wait(&finished, &told);
        pthread_mutex_unlock(&told);
    }
    pthread_mutex_unlock(&engaged);
}

// -------------------------------------------------------------------------------------------------------------- a frame
// `group_of`: room for a pointer for each face.
void draw_head(const Scene *s, const View *v, Work *w, const Group **group_of) {
    place_vertices(s, v, w);
    int32_t box[4], last[4];
    memcpy(last, w->box, sizeof last);
    find_box(s, v, w, w->box);
    memcpy(box, w->box, sizeof box);
    if (last[2] > 0 && last[3] > 0) // an empty one has no place
        for (int k = 0; k < 2; ++k) {
            int end = box[2 + k] > 0 && box[k] + box[2 + k] > last[k] + last[2 + k] ? box[k] + box[2 + k] : last[k] + last[2 + k];
            if (box[2 + k] == 0 || last[k] < box[k]) box[k] = last[k];
            box[2 + k] = end - box[k];
        }
    memcpy(w->changed, box, sizeof box);
    work_out_normals(s, v, w);
    for (int band = 0; band <= (v->height - 1) / BAND; ++band) w->bands[2 * band] = -1;
    int32_t entries = 0;
    for (int i = 0; i < s->groups; ++i) {
        const Group *g = s->group + i;
        light_vertices(s, v, g, w);
        for (int f = g->first_face; f < g->first_face + g->faces; ++f) group_of[f] = g;
        sort_group(s, v, g, w, &entries);
    }
    Bands job = {.scene = s, .view = v, .work = w, .group_of = group_of, .box = box};
    atomic_init(&job.next, box[1] / BAND);
    paint_all_bands(&job);
    smooth_outlines(s, v, w);
    if (v->as_lines)
        for (int i = 0; i < s->hairs; ++i) draw_hair(v, w, s->hair + 3 * i, s->hair_tint + 3 * i);
}

// Whether this processor was compiled for eight lanes at a time: with fewer, OpenGL's rasteriser is quicker.
int is_quick(void) {
#ifdef __AVX2__
    return 1;
#else
    return 0;
#endif
}
