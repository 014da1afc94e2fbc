/* Append to the file CHAOS_SYNCED, for each fsync that succeeded: the size that the file had before,
 * and its path. What a file had then is on disk after a power loss; of the rest, any pages are. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int record = -1;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("CHAOS_SYNCED");
    if (path) record = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int synced(int file, long number) {
    struct stat before;
    int is_known = fstat(file, &before) == 0;
    int failed = (int)syscall(number, file);
    char link[64], path[PATH_MAX], line[PATH_MAX + 32];
    if (failed || !is_known || record < 0) return failed;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return failed;
    path[length] = 0;
    int size = snprintf(line, sizeof line, "%lld %s\n", (long long)before.st_size, path);
    if (write(record, line, (size_t)size) != size) abort(); /* the run would be wrong */
    return failed;
}

int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }
