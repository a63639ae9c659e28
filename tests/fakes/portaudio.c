// Stands in for PortAudio where there is no microphone: a library with its functions, as far as sounddevice asks for them,
// and a microphone that clicks. FAKE_MICROPHONE says what is wrong with it, words NAME=NUMBER:
//   none, busy: there is none, it is in use                 rate: the only one it takes
//   ppm: how slow its clock is                              late_ms: blocks come up to so much late, by chance
//   wobble_ms: its times are off by up to so much           notime: it knows no times
//   unplug_s, hang_s: when it goes, or says nothing more    lose_at_s, lose_s, told: loses sound, and says so
//   gone, moved: it is not in the list, or at its end; as always, once PortAudio begins anew
//   manual: time stands still but for fake_advance          click_s: clicks where time is a multiple of it
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct { int version; const char *name; int host, in, out; double low_in, low_out, high_in, high_out, rate; } DeviceInfo;
typedef struct { int version, type; const char *name; int devices, in, out; } HostInfo;
typedef struct { int device, channels; unsigned long format; double latency; void *more; } Parameters;
typedef struct { double adc, now, dac; } Times;
typedef struct { int version; double in, out, rate; } StreamInfo;
typedef int Callback(const void *, void *, unsigned long, const Times *, unsigned long, void *);

enum { UNAVAILABLE = -9985, BAD_RATE = -9997, BAD_DEVICE = -9996, OVERFLOWN = 2 };

static const DeviceInfo known[] = {
    {2, "Fake Speakers", 0, 0, 2, .01, .01, .03, .03, 48000},
    {2, "Fake Microphone:  USB Audio (hw:1,0)", 0, 1, 0, .01, .01, .03, .03, 44100},
    {2, "Fake Line", 0, 8, 0, .01, .01, .03, .03, 48000},
};
static DeviceInfo devices[3];
static int device_count;
static struct {
    Callback *heard; void *user; void (*finished)(void *);
    int channels, active, stopping; unsigned long frames; double rate, begun_s, at_s, lost_s; pthread_t thread; StreamInfo info;
} stream;
static double manual_s = 1000.0;
static uint64_t seed = 1;

static double option(const char *name, double otherwise) {
    const char *all = getenv("FAKE_MICROPHONE");
    char word[64];
    for (; all && *all; all += strcspn(all, " "), all += strspn(all, " ")) {
        sscanf(all, "%63[^= ]", word);
        if (!strcmp(word, name)) return all[strlen(word)] == '=' ? atof(all + strlen(word) + 1) : 1;
    }
    return otherwise;
}

static double chance(void) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(seed >> 11) / 9007199254740992.0;
}

static double now_s(void) {
    struct timespec now;
    if (option("manual", 0)) return manual_s;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

// The next block, where it is there by `until_s`; whether it was.
static int hand_over(double until_s) {
    static int16_t samples[1 << 16];
    double sample_s = (1 + 1e-6 * option("ppm", 0)) / stream.rate, click_s = option("click_s", 1);
    double lose_s = option("lose_s", 0), since_s = stream.at_s - stream.begun_s;
    unsigned long flags = 0;
    if (lose_s && since_s >= option("lose_at_s", 1) * (1 + stream.lost_s / lose_s)) {  // again and again
        stream.at_s += lose_s;
        stream.lost_s += lose_s;
        flags = option("told", 0) ? OVERFLOWN : 0;
    }
    double ends_s = stream.at_s + stream.frames * sample_s;
    if (ends_s > until_s) return 0;
    for (unsigned long i = 0; i < stream.frames; i++) {
        double into_s = fmod(stream.at_s + i * sample_s, click_s);
        for (int c = 0; c < stream.channels; c++) samples[i * stream.channels + c] = into_s < 0.002 ? 20000 : 0;
    }
    double came_s = ends_s + 1e-3 * option("late_ms", 0) * chance();
    Times times = {stream.at_s + 1e-3 * option("wobble_ms", 0) * (2 * chance() - 1), came_s, 0};
    if (option("notime", 0)) times.adc = 0;
    if (option("manual", 0)) manual_s = fmax(manual_s, came_s);
    else if (came_s > now_s()) {
        double rest = came_s - now_s();
        struct timespec wait = {(time_t)rest, (long)(1e9 * (rest - floor(rest)))};
        nanosleep(&wait, NULL);
    }
    stream.at_s = ends_s;
    return !stream.heard(samples, NULL, stream.frames, &times, flags, stream.user);
}

static void *play(void *unused) {
    double unplug_s = option("unplug_s", INFINITY), hang_s = option("hang_s", INFINITY);
    while (!stream.stopping && stream.at_s - stream.begun_s < unplug_s) {
        struct timespec moment = {0, 2000000};
        if (stream.at_s - stream.begun_s >= hang_s || !hand_over(now_s())) nanosleep(&moment, NULL);
    }
    stream.active = 0;
    if (stream.finished) stream.finished(stream.user);
    return unused;
}

double fake_now(void) { return manual_s; }
void fake_advance(double seconds) {
    double until_s = manual_s + seconds;
    double unplug_s = option("unplug_s", INFINITY);
    while (stream.active && stream.at_s - stream.begun_s < unplug_s && hand_over(until_s)) {}
    if (stream.active && stream.at_s - stream.begun_s >= unplug_s) {
        stream.active = 0;
        if (stream.finished) stream.finished(stream.user);
    }
    manual_s = fmax(manual_s, until_s);
}

int Pa_Initialize(void) {
    int gone = option("gone", 0) != 0, moved = option("moved", 0) != 0;
    device_count = 0;
    for (int i = 0; i < 3; i++) if (i != 1 || !(gone || moved)) devices[device_count++] = known[i];
    if (moved) devices[device_count++] = known[1];
    return 0;
}
int Pa_Terminate(void) { return 0; }
int Pa_GetVersion(void) { return 0x130600; }
const char *Pa_GetVersionText(void) { return "a fake"; }
const char *Pa_GetErrorText(int error) {
    return error == UNAVAILABLE ? "Device unavailable" : error == BAD_RATE ? "Invalid sample rate" : "Invalid device";
}
int Pa_GetHostApiCount(void) { return 1; }
int Pa_GetDefaultHostApi(void) { return 0; }
int Pa_GetDeviceCount(void) { return option("none", 0) ? 0 : device_count; }
int Pa_GetDefaultInputDevice(void) { return option("none", 0) ? -1 : 1; }
int Pa_GetDefaultOutputDevice(void) { return option("none", 0) ? -1 : 0; }
const HostInfo *Pa_GetHostApiInfo(int host) {
    static HostInfo info;
    info = (HostInfo){1, 8, "FAKE", Pa_GetDeviceCount(), Pa_GetDefaultInputDevice(), Pa_GetDefaultOutputDevice()};
    return host == 0 ? &info : NULL;
}
int Pa_HostApiDeviceIndexToDeviceIndex(int host, int number) { return host == 0 ? number : BAD_DEVICE; }
const DeviceInfo *Pa_GetDeviceInfo(int device) { return device >= 0 && device < Pa_GetDeviceCount() ? &devices[device] : NULL; }
int Pa_GetSampleSize(unsigned long format) { return format == 8 ? 2 : 4; }
int Pa_IsFormatSupported(const Parameters *in, const Parameters *out, double rate) {
    double only = option("rate", 0);
    if (out || !in || !Pa_GetDeviceInfo(in->device)) return BAD_DEVICE;
    return only && rate != only ? BAD_RATE : 0;
}
int Pa_OpenStream(void **made, const Parameters *in, const Parameters *out, double rate, unsigned long frames,
                  unsigned long flags, Callback *heard, void *user) {
    int refused = Pa_IsFormatSupported(in, out, rate);
    (void)flags;
    if (!refused && in->channels > devices[in->device].in) refused = BAD_DEVICE;
    if (refused) return refused;
    if (option("busy", 0)) return UNAVAILABLE;
    memset(&stream, 0, sizeof stream);
    stream.heard = heard, stream.user = user, stream.channels = in->channels, stream.frames = frames, stream.rate = rate;
    stream.info = (StreamInfo){1, in->latency, 0, rate};
    *made = &stream;
    return 0;
}
const StreamInfo *Pa_GetStreamInfo(void *s) { (void)s; return &stream.info; }
double Pa_GetStreamTime(void *s) { (void)s; return now_s(); }
int Pa_SetStreamFinishedCallback(void *s, void (*finished)(void *)) { (void)s; stream.finished = finished; return 0; }
int Pa_StartStream(void *s) {
    (void)s;
    stream.begun_s = stream.at_s = now_s();
    stream.active = 1;
    return option("manual", 0) ? 0 : pthread_create(&stream.thread, NULL, play, NULL);
}
int Pa_IsStreamActive(void *s) { (void)s; return stream.active; }
int Pa_IsStreamStopped(void *s) { (void)s; return !stream.active; }
int Pa_StopStream(void *s) {
    (void)s;
    stream.stopping = 1;
    if (stream.thread) pthread_join(stream.thread, NULL);
    stream.thread = 0, stream.active = 0;
    return 0;
}
int Pa_AbortStream(void *s) { return Pa_StopStream(s); }
int Pa_CloseStream(void *s) { return Pa_StopStream(s); }
