/* A growing text; see strbuf.h. */
#include "proto/lib/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ALLOCATION 64

void strbuf_free(struct strbuf *buf)
{
	free(buf->text);
	memset(buf, 0, sizeof(*buf));
}

/* Room for `more` octets and the NUL. */
static bool strbuf_reserve(struct strbuf *buf, size_t more)
{
	size_t cap = buf->cap ? buf->cap : FIRST_ALLOCATION;
	char *text;

	if (buf->no_memory)
		return false;
	if (buf->len + more + 1 <= buf->cap)
		return true;
	while (cap < buf->len + more + 1)
		cap *= 2;
	text = realloc(buf->text, cap);
	if (text == NULL) {
		buf->no_memory = true;
		return false;
	}
	buf->text = text;
	buf->cap = cap;
	return true;
}

void strbuf_add(struct strbuf *buf, const char *data, size_t len)
{
	if (!strbuf_reserve(buf, len))
		return;
	if (len > 0)
		memcpy(buf->text + buf->len, data, len);
	buf->len += len;
	buf->text[buf->len] = '\0';
}

void strbuf_add_text(struct strbuf *buf, const char *text)
{
	strbuf_add(buf, text, strlen(text));
}

void strbuf_add_char(struct strbuf *buf, char c)
{
	strbuf_add(buf, &c, 1);
}

void strbuf_add_repeat(struct strbuf *buf, char c, size_t times)
{
	for (size_t i = 0; i < times; i++)
		strbuf_add_char(buf, c);
}

void strbuf_printf(struct strbuf *buf, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !strbuf_reserve(buf, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(buf->text + buf->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)n;
}

void strbuf_cut(struct strbuf *buf, size_t len)
{
	if (len >= buf->len)
		return;
	buf->len = len;
	buf->text[len] = '\0';
}

const char *strbuf_text(const struct strbuf *buf)
{
	return buf->text != NULL ? buf->text : "";
}

int strbuf_take(struct strbuf *buf, char **text, size_t *len)
{
	strbuf_add(buf, "", 0); /* so that an empty text is a text */
	if (buf->no_memory) {
		strbuf_free(buf);
		return -ENOMEM;
	}
	*text = buf->text;
	if (len != NULL)
		*len = buf->len;
	memset(buf, 0, sizeof(*buf));
	return 0;
}
