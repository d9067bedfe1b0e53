/* Memory that comes and goes with each statement, in blocks that are larger than what malloc() keeps at hand for a thread (1,032 bytes; beyond them it costs ten
 * times as much). Each thread keeps a few of the blocks that it has given back. Built with AddressSanitizer it is malloc() and free(), so that no use of what was freed is hidden. */
#ifndef GH_SPOA_SPARE_H
#define GH_SPOA_SPARE_H

#include <stddef.h>

#define SPARE_STEP  512u                /* blocks are multiples of this */
#define SPARE_SIZES 12u                 /* and of at most so many of them; larger ones are malloc()'s */
#define SPARE_BYTES ((size_t)128 << 10) /* what a thread keeps at most */

/* What a block for size bytes takes. */
static inline size_t spare_room(size_t size) {
    return size == 0 || size > SPARE_SIZES * SPARE_STEP ? size : (size + SPARE_STEP - 1) / SPARE_STEP * SPARE_STEP;
}
/* As malloc(); not cleared. Only spare_put() takes it back, on any thread. */
void *spare_get(size_t size);
/* size: as asked for, or its spare_room(). NULL is fine. */
void spare_put(void *block, size_t size);

#endif
