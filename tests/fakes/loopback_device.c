// Stands in for v4l2loopback where there is none: preloaded, it makes of an ordinary file named *.loopback a device that
// answers the ioctls of a video output, keeps what is written to it, and can refuse or vanish.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fake = -1;

int open(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    int is_fake = strstr(path, ".loopback") != NULL;
    int made = real(path, is_fake ? flags | O_APPEND : flags, mode);
    if (is_fake && made >= 0) fake = made;
    return made;
}

int ioctl(int file, unsigned long request, ...) {
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    va_list more;
    va_start(more, request);
    void *given = va_arg(more, void *);
    va_end(more);
    if (file != fake) return real(file, request, given);
    if (request == VIDIOC_QUERYCAP) {
        struct v4l2_capability *about = given;
        memset(about, 0, sizeof *about);
        strcpy((char *)about->driver, getenv("FAKE_DRIVER") ? getenv("FAKE_DRIVER") : "v4l2 loopback");
        about->capabilities = V4L2_CAP_VIDEO_OUTPUT;
        return 0;
    }
    if (request == VIDIOC_S_FMT) {
        struct v4l2_format *wanted = given;
        if (wanted->fmt.pix.pixelformat == V4L2_PIX_FMT_YUV420) return 0;
    }
    errno = EINVAL;
    return -1;
}
