/* A disk that loses what was not synced, for LD_PRELOAD.
 *
 * The model: UNSYNCED_SHADOW holds what would be there after the power failed. A file's content gets there when
 * the file is synced (as a copy named after its inode), a directory's names get there when the directory is synced
 * (as a listing of inodes and names). Nothing else does. Only files in UNSYNCED_WATCHED are looked at.
 *
 * The real sync is left out: the test kills the process, not the machine, and rebuilds the directory from the shadow.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    abort();
}

static void publish(const char *scratch, const char *final) {
    if (rename(scratch, final) != 0) fail("rename");
}

static void shadow_file(int fd, const char *shadow, unsigned long inode) {
    char scratch[PATH_MAX], final[PATH_MAX];
    static __thread char buffer[1 << 16];
    snprintf(final, sizeof final, "%s/%lu", shadow, inode);
    snprintf(scratch, sizeof scratch, "%s/%lu.new", shadow, inode);
    int out = open(scratch, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (out < 0) fail(scratch);
    off_t at = 0;
    for (ssize_t got; (got = pread(fd, buffer, sizeof buffer, at)) != 0; at += got) {
        if (got < 0) fail("pread");
        if (write(out, buffer, got) != got) fail("write");
    }
    close(out);
    publish(scratch, final);
}

static void shadow_directory(const char *path, const char *shadow) {
    char scratch[PATH_MAX], final[PATH_MAX];
    snprintf(final, sizeof final, "%s/names", shadow);
    snprintf(scratch, sizeof scratch, "%s/names.new", shadow);
    FILE *out = fopen(scratch, "w");
    DIR *directory = opendir(path);
    if (out == NULL || directory == NULL) fail(path);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_type == DT_REG) fprintf(out, "%lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
    closedir(directory);
    fclose(out);
    publish(scratch, final);
}

static int sync_to_shadow(int fd) {
    const char *shadow = getenv("UNSYNCED_SHADOW"), *watched = getenv("UNSYNCED_WATCHED");
    char link[64], path[PATH_MAX];
    struct stat found;
    if (shadow == NULL || watched == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || fstat(fd, &found) != 0) return 0;
    path[length] = 0;
    if (strncmp(path, watched, strlen(watched)) != 0) return 0;
    if (S_ISDIR(found.st_mode)) shadow_directory(path, shadow);
    else if (S_ISREG(found.st_mode)) shadow_file(fd, shadow, found.st_ino);
    return 0;
}

int fsync(int fd) { return sync_to_shadow(fd); }

int fdatasync(int fd) { return sync_to_shadow(fd); }
