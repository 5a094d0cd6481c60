/*
 * Memory of large tables: anonymous pages, zero until touched, so that a table's capacity costs
 * nothing before it is used. Used inside dataplane/tables and
 * dataplane/mirror.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory of `size` octets, page aligned; NULL and errno. `huge`: it will be touched all
 * over, so large pages pay. */
void *mem_map(size_t size, bool huge);

/* Give it back; NULL is allowed. */
void mem_unmap(void *ptr, size_t size);
