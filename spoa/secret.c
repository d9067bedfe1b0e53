#include "spoa/secret.h"

#include "filters/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAP_BYTES (1u << 20) /* a power of two; each secret takes its own length, rounded up likewise */
#define HEAP_PIECE 32u

bool secret_init(void) { return CRYPTO_secure_malloc_init(HEAP_BYTES, HEAP_PIECE) == 1; }

int secret_open(const char *path, char *why, size_t size) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a FIFO must not hold us */
    if (fd < 0) {
        snprintf(why, size, "cannot open %s: %s", path, strerror(errno));
        return -1;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        snprintf(why, size, "%s is not a regular file", path);
    else if ((st.st_mode & 077) != 0)
        snprintf(why, size, "%s can be read by others (mode %03o): chmod 600 it", path, (unsigned)(st.st_mode & 0777));
    else
        return fd;
    close(fd);
    return -1;
}

char *secret_take(const char *text, size_t len, const char *source, char *why, size_t size) {
    if (len > SECRET_MAX) {
        snprintf(why, size, "%s is longer than %d bytes", source, SECRET_MAX);
        return NULL;
    }
    if (memchr(text, '\0', len) != NULL) {
        snprintf(why, size, "%s holds a NUL byte", source);
        return NULL;
    }
    if (len > 0 && text[len - 1] == '\n') len--;
    if (len == 0) {
        snprintf(why, size, "%s is empty", source);
        return NULL;
    }
    char *copy = OPENSSL_secure_malloc(len + 1);
    if (copy == NULL) {
        snprintf(why, size, "out of memory for secrets");
        return NULL;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *secret_read(const char *path, char *why, size_t size) {
    char text[SECRET_MAX + 2], *secret = NULL;
    int fd = secret_open(path, why, size);
    if (fd < 0) return NULL;
    size_t len = 0;
    ssize_t n = 0;
    while (len <= SECRET_MAX && (n = read(fd, text + len, SECRET_MAX + 1 - len)) > 0) len += (size_t)n;
    if (n < 0)
        snprintf(why, size, "cannot read %s: %s", path, strerror(errno));
    else
        secret = secret_take(text, len, path, why, size);
    gh_wipe(text, sizeof text);
    close(fd);
    return secret;
}

void secret_free(char *secret) {
    if (secret != NULL) OPENSSL_secure_clear_free(secret, strlen(secret));
}
