/* A wrong clock, for tests: loaded before libc (LD_PRELOAD).
 *
 * CLOCK_AHEAD_SECS  how many seconds the clock of the day is ahead
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = ((typeof(&clock_gettime))dlsym(RTLD_NEXT, "clock_gettime"))(clock, time);
    const char *ahead = getenv("CLOCK_AHEAD_SECS");
    if (result == 0 && clock == CLOCK_REALTIME && ahead) time->tv_sec += atoll(ahead);
    return result;
}
