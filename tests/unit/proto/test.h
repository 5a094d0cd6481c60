/* What the unit tests of proto/lib and topology share: cmocka, and comparing printed problems. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/lib/problems.h"

/* The problems as a user sees them; to be freed. */
static inline char *problems_text(const struct problems *problems)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	problems_print(problems, out);
	fclose(out);
	return text;
}

/* Compare with what is expected, line by line, and empty the list. */
static inline void problems_expect(struct problems *problems, const char *expected)
{
	char *text = problems_text(problems);

	assert_string_equal(text, expected);
	free(text);
	problems_free(problems);
}
