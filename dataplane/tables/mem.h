/*
 * Memory of large tables: anonymous pages, zero until touched, so that a table's capacity costs
 * nothing before it is used. Large ones ask for huge pages. Used inside dataplane/tables and
 * dataplane/mirror.
 */
#pragma once

#include <stddef.h>

/* Zeroed memory of `size` octets, page aligned; NULL and errno. */
void *mem_map(size_t size);

/* Give it back; NULL is allowed. */
void mem_unmap(void *ptr, size_t size);
