/*
 * A growing text. Once memory was short it stays as it was and says so: callers append without
 * looking and ask once, at the end. Always NUL-terminated when not empty.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct strbuf {
	char *text; /* NULL until something is added */
	size_t len;
	size_t cap;
	bool no_memory;
};

#define STRBUF_INIT                                                                                \
	{                                                                                          \
		0                                                                                  \
	}

void strbuf_free(struct strbuf *buf);
void strbuf_add(struct strbuf *buf, const char *data, size_t len);
void strbuf_add_text(struct strbuf *buf, const char *text);
void strbuf_add_char(struct strbuf *buf, char c);
void strbuf_add_repeat(struct strbuf *buf, char c, size_t times);
void strbuf_printf(struct strbuf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Cut to `len` octets, at most what it has. */
void strbuf_cut(struct strbuf *buf, size_t len);

/* The text so far; "" when empty. Valid until the next change. */
const char *strbuf_text(const struct strbuf *buf);

/*
 * Give the text to the caller, who frees it, and empty the buffer. Returns 0, or -ENOMEM when
 * memory was short at any time (the text is freed then). `len` may be NULL.
 */
int strbuf_take(struct strbuf *buf, char **text, size_t *len);
