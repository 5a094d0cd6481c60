/*
 * audumsctl node top: what a node does, live.
 *
 * On a terminal: a screen of its own, drawn anew in place, left as it was found however this ends.
 * Elsewhere: one block, or one line of JSON, each time.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "controller/ctl/client.h"
#include "controller/ctl/cmd_lab.h"
#include "controller/ctl/groups.h"
#include "controller/ctl/top.h"

#define INTERVAL_MS     2000
#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_MS 3600000

struct topping {
	struct ctl *ctl;
	const struct args *args;
	const char *node;
	unsigned long interval_ms;
	size_t rows;
	enum top_sort sort;
	bool once;
	/* the screen */
	bool screen;
	struct termios before;
	int stderr_fd; /* the real one; what is said meanwhile is in `said_fd` */
	int said_fd;
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	ended = 1;
}

static void on_resize(int number)
{
	/* only interrupts the wait: the size is read for each drawing */
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int look(struct topping *t, struct top_look *l)
{
	memset(l, 0, sizeof(*l));
	for (int i = 0; i < TOP_PARTS; i++) {
		Audums__V1__DataplaneRequest request;
		union top_ask ask;
		int exit_code;

		top_request((enum top_part)i, &ask, &request);
		exit_code = node_ask(t->ctl, t->args, t->node, &request, NODE_ASK_MS,
			node_replies_take, &l->parts[i]);
		if (exit_code) {
			top_look_free(l);
			return exit_code;
		}
		/* rates of ports matter most: their moment is the look's */
		if (i == TOP_PORTS)
			l->time_ns = now_ns();
	}
	return EXIT_OK;
}

/* ---- the screen --------------------------------------------------------------------------- */

static void screen_open(struct topping *t)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &t->before))
		return;
	raw = t->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw))
		return;
	t->screen = true;
	/* what goes wrong would be drawn over: it is kept, and said afterwards */
	t->said_fd = memfd_create("audumsctl-said", MFD_CLOEXEC);
	t->stderr_fd = t->said_fd >= 0 ? dup(STDERR_FILENO) : -1;
	if (t->stderr_fd >= 0)
		dup2(t->said_fd, STDERR_FILENO);
	fputs("\033[?1049h\033[?25l", stdout);
	fflush(stdout);
}

static void screen_close(struct topping *t)
{
	char text[1024];
	ssize_t n;

	if (!t->screen)
		return;
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
	if (t->stderr_fd >= 0) {
		fflush(stderr);
		dup2(t->stderr_fd, STDERR_FILENO);
		close(t->stderr_fd);
		lseek(t->said_fd, 0, SEEK_SET);
		while ((n = read(t->said_fd, text, sizeof(text))) > 0)
			fprintf(stderr, "%.*s", (int)n, text);
	}
	if (t->said_fd >= 0)
		close(t->said_fd);
	t->screen = false;
}

/* Draw the text from the top left corner: no line longer and no more lines than fit. */
static void screen_draw(const char *text)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	unsigned int row = 0;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	fputs("\033[H", stdout);
	while (*text && row < size.ws_row) {
		unsigned int column = 0;

		if (row)
			fputs("\r\n", stdout);
		for (; *text && *text != '\n'; text++) {
			if (*text == '\033') {
				/* a colour takes no room */
				while (*text && *text != 'm')
					putchar(*text++);
				putchar('m');
				if (!*text)
					break;
				continue;
			}
			/* the octets after a character's first one take none either */
			column += ((unsigned char)*text & 0xc0) != 0x80;
			if (column <= size.ws_col)
				putchar(*text);
		}
		fputs("\033[0m\033[K", stdout);
		text += *text == '\n';
		row++;
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

/* ---- rounds ------------------------------------------------------------------------------- */

static void head_print(const struct topping *t, const struct top *top, FILE *out)
{
	char clock[16] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (localtime_r(&now, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(out, "%s  %s  over %.1f s%s\n\n", t->node, clock, top->seconds,
		t->screen ? "  (q: quit, s: sort by rate or name)" : "");
}

static int show(const struct topping *t, const struct top_look *before, const struct top_look *now)
{
	struct top top;
	char *text = NULL;
	size_t size;
	int exit_code;
	FILE *out;

	if (!top_make(&top, before, now, t->sort))
		return ctl_error("out of memory");
	if (t->ctl->format == OUTPUT_JSON) {
		exit_code = top_json(&top, t->node, stdout);
	} else {
		out = open_memstream(&text, &size);
		if (!out) {
			top_free(&top);
			return ctl_error("out of memory");
		}
		head_print(t, &top, out);
		exit_code = top_print(t->ctl, &top, t->rows, out);
		fclose(out);
		if (!exit_code && t->screen)
			screen_draw(text);
		else if (!exit_code)
			printf("%s%s", text, t->once ? "" : "\n");
		free(text);
	}
	top_free(&top);
	if (!exit_code && (fflush(stdout) || ferror(stdout))) {
		/* who reads it has gone */
		ended = 1;
	}
	return exit_code;
}

/* Wait until the next look is due; keys and resizing draw anew. */
static int wait_next(struct topping *t, const struct top_look *before, const struct top_look *now,
	uint64_t due_ns)
{
	while (!ended) {
		struct pollfd fd = {.fd = t->screen ? STDIN_FILENO : -1, .events = POLLIN};
		const uint64_t time = now_ns();
		char key;
		int n;

		if (time >= due_ns)
			return EXIT_OK;
		n = poll(&fd, 1, (int)((due_ns - time + 999999) / 1000000));
		if (n < 0 && errno != EINTR)
			return ctl_error("cannot wait: %s", strerror(errno));
		if (n > 0) {
			if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q') {
				ended = 1;
				return EXIT_OK;
			}
			if (key == 's')
				t->sort = t->sort == TOP_BY_RATE ? TOP_BY_NAME : TOP_BY_RATE;
		}
		if (n != 0 && !ended && t->screen && before && show(t, before, now))
			return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int rounds(struct topping *t)
{
	struct top_look before = {0}, now = {0};
	uint64_t due = now_ns();
	bool shown = false;
	int exit_code = look(t, &before);

	while (!exit_code && !ended) {
		due += t->interval_ms * 1000000;
		if (due < now_ns())
			due = now_ns(); /* asking takes longer than that */
		exit_code = wait_next(t, shown ? &before : NULL, &now, due);
		if (exit_code || ended)
			break;
		if (shown) {
			top_look_free(&before);
			before = now;
			now = (struct top_look){0};
		}
		exit_code = look(t, &now);
		if (exit_code)
			break;
		shown = true;
		exit_code = show(t, &before, &now);
		if (t->once)
			break;
	}
	top_look_free(&before);
	top_look_free(&now);
	return exit_code;
}

static int top_run(struct ctl *ctl, const struct args *args)
{
	const struct sigaction end = {.sa_handler = on_signal};
	const struct sigaction resize = {.sa_handler = on_resize};
	const char *sort = args_option(args, "sort");
	struct topping t = {
		.ctl = ctl,
		.args = args,
		.node = args->operands[0],
		.once = args_flag(args, "once"),
		.stderr_fd = -1,
		.said_fd = -1,
	};
	unsigned long rows;
	int exit_code;

	if (!args_duration(args, "interval", INTERVAL_MS, &t.interval_ms) ||
		!args_number(args, "rows", 1, 65536, 0, &rows))
		return EXIT_USAGE;
	if (t.interval_ms < INTERVAL_MIN_MS || t.interval_ms > INTERVAL_MAX_MS) {
		ctl_error("--interval: from 100ms to 1h");
		return EXIT_USAGE;
	}
	if (sort && strcmp(sort, "rate") && strcmp(sort, "name")) {
		ctl_error("--sort: rate or name");
		return EXIT_USAGE;
	}
	if (ctl->format == OUTPUT_YAML) {
		ctl_error("top is shown as a table or as JSON");
		return EXIT_USAGE;
	}
	t.sort = sort && !strcmp(sort, "name") ? TOP_BY_NAME : TOP_BY_RATE;
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGHUP, &end, NULL);
	sigaction(SIGWINCH, &resize, NULL);
	if (!t.once && ctl->format == OUTPUT_TABLE && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		screen_open(&t);
	t.rows = rows ? rows : t.screen ? 8 : 0;
	exit_code = rounds(&t);
	screen_close(&t);
	return exit_code;
}

static const struct command_option top_options[] = {
	{.name = "interval", .value = "TIME", .help = "between two looks (default: 2s)"},
	{.name = "sort",
		.value = "HOW",
		.help = "rate (default, most packets first) or name",
		.completion = COMPLETE_WORDS,
		.words = "rate name"},
	{.name = "rows",
		.value = "NUMBER",
		.help = "rows of each table (default: 8 on a terminal, else all)"},
	{.name = "once", .help = "two looks, one answer"},
	NODE_ASK_OPTIONS,
	{0},
};

const struct command top_commands[] = {
	{.path = "node top",
		.operands = "NODE",
		.operands_min = 1,
		.operands_max = 1,
		.summary =
			"What a node does, live: rates of workers, ports, segments, VTEPs, drops",
		.description =
			"On a terminal: q quits, s sorts by rate or name. Into a pipe: a block, or\n"
			"with -o json a line, every interval.",
		.example = "audumsctl node top lvrtc1\n"
			   "audumsctl node top lvrtc1 --once -o json",
		.options = top_options,
		.completion = {COMPLETE_NODE},
		.run = top_run},
	{0},
};
