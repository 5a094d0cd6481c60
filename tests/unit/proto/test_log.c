/* Logs: one line an event, levels, quoting, cutting of long lines, errno kept. */
#include "tests/unit/proto/test.h"

#include <errno.h>
#include <regex.h>
#include <unistd.h>

#include "proto/lib/log.h"

static int pipe_fds[2];
static char seen[8192];

static int setup(void **state)
{
	return pipe(pipe_fds);
}

static int teardown(void **state)
{
	log_setup(LOG_LEVEL_INFO, 2);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return 0;
}

/* Everything that was logged since; the writing end is closed by none, so read what is there. */
static const char *logged(void)
{
	ssize_t n;

	write(pipe_fds[1], "", 1) == 1 ? (void)0 : fail();
	n = read(pipe_fds[0], seen, sizeof(seen) - 1);
	assert_true(n > 0);
	seen[n - 1] = '\0';
	return seen;
}

static void line_has_its_form(void **state)
{
	regex_t form;

	log_setup(LOG_LEVEL_INFO, pipe_fds[1]);
	log_info("session_open", "node=%s port=%d", "lvrtc1", 7);
	assert_int_equal(
		regcomp(&form,
			"^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z info "
			"session_open node=lvrtc1 port=7\n$",
			REG_EXTENDED | REG_NOSUB),
		0);
	assert_int_equal(regexec(&form, logged(), 0, NULL, 0), 0);
	regfree(&form);
}

static void event_without_values(void **state)
{
	log_setup(LOG_LEVEL_INFO, pipe_fds[1]);
	log_error("started", "%s", "");
	assert_non_null(strstr(logged(), "Z error started"));
}

static void less_important_is_left_out(void **state)
{
	log_setup(LOG_LEVEL_WARN, pipe_fds[1]);
	log_info("quiet", "a=1");
	log_debug("quiet", "a=2");
	log_warn("loud", "a=3");
	log_error("loud", "a=4");
	assert_null(strstr(logged(), "quiet"));
	assert_non_null(strstr(seen, " warn loud a=3\n"));
	assert_non_null(strstr(seen, " error loud a=4\n"));
}

static void long_line_is_cut(void **state)
{
	char text[4000];
	size_t len;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_setup(LOG_LEVEL_INFO, pipe_fds[1]);
	log_info("long", "text=%s", text);
	len = strlen(logged());
	assert_int_equal(len, 2000);
	assert_string_equal(seen + len - 4, "...\n");
}

static void errno_is_kept(void **state)
{
	log_setup(LOG_LEVEL_INFO, -1); /* the write fails with EBADF */
	errno = ENOENT;
	log_error("lost", "a=1");
	assert_int_equal(errno, ENOENT);
	log_setup(LOG_LEVEL_INFO, pipe_fds[1]);
}

static void quoting(void **state)
{
	char buf[64], small[8];

	assert_string_equal(log_quote(buf, sizeof(buf), "two words"), "\"two words\"");
	assert_string_equal(log_quote(buf, sizeof(buf), "a\"b\\c"), "\"a\\\"b\\\\c\"");
	assert_string_equal(log_quote(buf, sizeof(buf), "a\nb\x1b"), "\"a\\x0ab\\x1b\"");
	assert_string_equal(log_quote(buf, sizeof(buf), "Rīga"), "\"Rīga\"");
	assert_string_equal(log_quote(small, sizeof(small), "abcdefghi"), "\"a\"");
	assert_string_equal(log_quote(small, 2, "abc"), "");
}

static void levels_by_name(void **state)
{
	assert_int_equal(log_level_parse("error"), LOG_LEVEL_ERROR);
	assert_int_equal(log_level_parse("debug"), LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("verbose"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(line_has_its_form, setup, teardown),
		cmocka_unit_test_setup_teardown(event_without_values, setup, teardown),
		cmocka_unit_test_setup_teardown(less_important_is_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(long_line_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(errno_is_kept, setup, teardown),
		cmocka_unit_test(quoting),
		cmocka_unit_test(levels_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
