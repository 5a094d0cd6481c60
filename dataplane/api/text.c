/* Addresses as text; see text.h. */
#include "dataplane/api/text.h"

#include <stdio.h>

const char *text_vtep(char *buf, size_t size, const struct vtep *vtep)
{
	const uint8_t *b = (const uint8_t *)&vtep->remote;

	snprintf(buf, size, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
	return buf;
}
