/*
 * Files and programs of a lab: small helpers without any knowledge of labs.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "controller/ctl/lab/internal.h"

int lab_fail(struct lab_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return code;
}

void lab_err_add(struct lab_err *err, const char *fmt, ...)
{
	size_t used;
	va_list ap;

	if (!err)
		return;
	used = strlen(err->text);
	if (used && used + 2 < sizeof(err->text)) {
		err->text[used++] = '\n';
		err->text[used] = '\0';
	}
	va_start(ap, fmt);
	vsnprintf(err->text + used, sizeof(err->text) - used, fmt, ap);
	va_end(ap);
}

uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return timespec_ms(ts.tv_sec, ts.tv_nsec);
}

int path_make(const char *path)
{
	char part[PATH_MAX];
	char *p;

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (p = part + 1;; p++) {
		if (*p && *p != '/')
			continue;
		char end = *p;
		*p = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return -errno;
		if (!end)
			return 0;
		*p = end;
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) && errno != ENOENT ? -errno : 0;
}

int path_remove(const char *path)
{
	int ret;

	if (access(path, F_OK))
		return errno == ENOENT ? 0 : -errno;
	ret = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	return ret == -1 ? -errno : ret;
}

int file_write(const char *path, const char *text, mode_t mode)
{
	char tmp[PATH_MAX];
	size_t left = strlen(text);
	int fd, ret = 0;

	if (snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	while (left) {
		ssize_t n = write(fd, text, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			ret = -errno;
			break;
		}
		text += n;
		left -= (size_t)n;
	}
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret && rename(tmp, path))
		ret = -errno;
	if (ret)
		unlink(tmp);
	return ret;
}

char *file_read(const char *path, size_t max)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t n;

	if (!f)
		return NULL;
	text = malloc(max + 1);
	if (text) {
		n = fread(text, 1, max, f);
		text[n] = '\0';
	}
	fclose(f);
	return text;
}

/* Where each program is built, seen from the build tree's root. */
static const struct {
	const char *program;
	const char *folder;
} build_places[] = {
	{"audumsd", "controller/audumsd"},
	{"audums-agent", "controller/agent"},
	{"audums-holder", "dataplane/holder"},
	{"audums-dataplane", "dataplane"},
	{"audums-dataplane", "dataplane/main"},
	{"audumsctl", "controller/ctl"},
};

static const char *const install_places[] = {
	"/usr/local/libexec/audums",
	"/usr/local/sbin",
	"/usr/libexec/audums",
	"/usr/sbin",
	"/usr/bin",
};

static bool program_at(
	char *out, size_t size, const char *folder, const char *sub, const char *program)
{
	int n = snprintf(out, size, "%s%s%s/%s", folder, *sub ? "/" : "", sub, program);
	struct stat st;

	return n > 0 && (size_t)n < size && !access(out, X_OK) && !stat(out, &st) &&
	       S_ISREG(st.st_mode);
}

int program_find(const char *program, char out[LAB_PATH_LEN * 2])
{
	const size_t size = LAB_PATH_LEN * 2;
	char self[PATH_MAX];
	const char *override = getenv("AUDUMS_BUILD");
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (override)
		for (size_t i = 0; i < sizeof(build_places) / sizeof(build_places[0]); i++)
			if (!strcmp(build_places[i].program, program) &&
				program_at(out, size, override, build_places[i].folder, program))
				return 0;
	if (n > 0) {
		self[n] = '\0';
		char *folder = dirname(self);

		if (program_at(out, size, folder, "", program) ||
			program_at(out, size, folder, "../libexec/audums", program))
			return 0;
		for (int up = 0; up < 4; up++) {
			for (size_t i = 0; i < sizeof(build_places) / sizeof(build_places[0]); i++)
				if (!strcmp(build_places[i].program, program) &&
					program_at(
						out, size, folder, build_places[i].folder, program))
					return 0;
			folder = dirname(folder);
		}
	}
	for (size_t i = 0; i < sizeof(install_places) / sizeof(install_places[0]); i++)
		if (program_at(out, size, install_places[i], "", program))
			return 0;
	return -ENOENT;
}

int frr_find(const char *daemon, char out[LAB_PATH_LEN])
{
	static const char *const places[] = {
		"/usr/lib/frr", "/usr/libexec/frr", "/usr/local/sbin", "/usr/sbin"};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (program_at(out, LAB_PATH_LEN, places[i], "", daemon))
			return 0;
	return -ENOENT;
}
