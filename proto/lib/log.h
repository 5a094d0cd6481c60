/*
 * Structured logs, one line an event: "TIMESTAMP LEVEL event key=value key=value".
 *
 * Both the dataplane and the controller's programs log through this, so that an operator greps one
 * format. An event is a short lower-case name with underscores; the rest is key=value text made by
 * the caller's format; values with blanks are to be quoted by the caller (log_quote helps). No
 * secrets. Each call is one write(2), so lines of several threads never mix. Not for forwarding
 * code: it is a system call.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/*
 * Set the least important level that is written (default LOG_LEVEL_INFO) and the descriptor lines
 * go to (default 2). Call it once, before the first thread starts.
 */
void log_setup(enum log_level max, int fd);

/* Parse "error", "warn", "info" or "debug"; returns the level, or -EINVAL. */
int log_level_parse(const char *name);

/* Write one line. `event` is the name, `fmt` the key=value part ("" for none). At most 2,000 bytes
 * are written, longer lines are cut and end in "...". errno is preserved. */
void log_event(enum log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Quote `s` for use as a value: in double quotes, with control characters, quotes and backslashes
 * escaped. Writes at most `size` bytes with the final NUL into `buf` and returns `buf`.
 */
const char *log_quote(char *buf, size_t size, const char *s);

#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)
