/* Structured logs; see log.h. The only state is the level and the descriptor, set once at start. */
#include "proto/lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2000

static enum log_level log_max = LOG_LEVEL_INFO;
static int log_fd = 2;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_setup(enum log_level max, int fd)
{
	log_max = max;
	log_fd = fd;
}

int log_level_parse(const char *name)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (strcmp(name, level_names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	const int saved = errno;
	char line[LINE_MAX_BYTES + 1];
	struct timespec ts;
	struct tm tm;
	size_t len;
	int n;
	va_list ap;

	if (level > log_max)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	len = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line + len, sizeof(line) - len, ".%03ldZ %s %s%s", ts.tv_nsec / 1000000,
		level_names[level], event, fmt[0] ? " " : "");
	len += (size_t)n;
	if (len < sizeof(line)) {
		va_start(ap, fmt);
		n = vsnprintf(line + len, sizeof(line) - len, fmt, ap);
		va_end(ap);
		if (n > 0)
			len += (size_t)n;
	}
	if (len >= LINE_MAX_BYTES) {
		len = LINE_MAX_BYTES;
		memcpy(line + len - 4, "...", 3);
	} else {
		len++;
	}
	line[len - 1] = '\n';
	/* A log line that can't be written has nowhere else to go. */
	if (write(log_fd, line, len) < 0) {
	}
	errno = saved;
}

const char *log_quote(char *buf, size_t size, const char *s)
{
	size_t at = 0;

	if (size < 3) {
		if (size > 0)
			buf[0] = '\0';
		return buf;
	}
	buf[at++] = '"';
	for (; *s && at + 6 < size; s++) {
		const unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\') {
			buf[at++] = '\\';
			buf[at++] = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			at += (size_t)snprintf(buf + at, size - at, "\\x%02x", c);
		} else {
			buf[at++] = (char)c;
		}
	}
	buf[at++] = '"';
	buf[at] = '\0';
	return buf;
}
