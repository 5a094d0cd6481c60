/*
 * Memory of large tables. Invariant: what mem_map() gives is zero and untouched.
 */
#include "dataplane/tables/mem.h"

#include <sys/mman.h>

#define MEM_HUGE (8u << 20)

void *mem_map(size_t size, bool huge)
{
	void *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ptr == MAP_FAILED)
		return NULL;
	if (huge && size >= MEM_HUGE)
		(void)madvise(ptr, size, MADV_HUGEPAGE);
	return ptr;
}

void mem_unmap(void *ptr, size_t size)
{
	if (ptr)
		munmap(ptr, size);
}
