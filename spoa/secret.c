#include "spoa/secret.h"

#include "filters/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *read_fd(int fd, const char *path, char *why, size_t size) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        snprintf(why, size, "%s is not a regular file", path);
        return NULL;
    }
    if ((st.st_mode & 077) != 0) {
        snprintf(why, size, "%s can be read by others (mode %03o): chmod 600 it", path, (unsigned)(st.st_mode & 0777));
        return NULL;
    }
    char *text = calloc(1, SECRET_MAX + 2);
    if (text == NULL) {
        snprintf(why, size, "out of memory");
        return NULL;
    }
    size_t len = 0;
    ssize_t n = 0;
    while (len <= SECRET_MAX && (n = read(fd, text + len, SECRET_MAX + 1 - len)) > 0) len += (size_t)n;
    if (n < 0)
        snprintf(why, size, "cannot read %s: %s", path, strerror(errno));
    else if (len > SECRET_MAX)
        snprintf(why, size, "%s is longer than %d bytes", path, SECRET_MAX);
    else if (memchr(text, '\0', len) != NULL)
        snprintf(why, size, "%s holds a NUL byte", path);
    else {
        if (len > 0 && text[len - 1] == '\n') text[--len] = '\0';
        if (len > 0) return text;
        snprintf(why, size, "%s is empty", path);
    }
    gh_wipe(text, SECRET_MAX + 2);
    free(text);
    return NULL;
}

char *secret_read(const char *path, char *why, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a FIFO must not hold us */
    if (fd < 0) {
        snprintf(why, size, "cannot open %s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = read_fd(fd, path, why, size);
    close(fd);
    return text;
}

void secret_free(char *secret) {
    if (secret == NULL) return;
    gh_wipe(secret, SECRET_MAX + 2);
    free(secret);
}
