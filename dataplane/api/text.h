/*
 * Addresses as text, for everything this process says. Private to api/.
 */
#pragma once

#include <stddef.h>

#include "dataplane/tables/vtep.h"

#define TEXT_ADDRESS_MAX 48 /* any address with its final NUL */

/* The VTEP's own address into `buf` (TEXT_ADDRESS_MAX octets); returns `buf`. */
const char *text_vtep(char *buf, size_t size, const struct vtep *vtep);
