/* Merging, finding and keeping the desired state; see desired.h. Checks are in check.c. */
#include "controller/agent/desired.h"

#include "controller/agent/check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int compare_name(const void *a, const void *b)
{
	return strcmp(
		(*(struct segment *const *)a)->cfg->name, (*(struct segment *const *)b)->cfg->name);
}

static int compare_vni(const void *a, const void *b)
{
	const uint32_t x = (*(struct segment *const *)a)->cfg->vni;
	const uint32_t y = (*(struct segment *const *)b)->cfg->vni;

	return x < y ? -1 : x > y;
}

static void segment_free(struct segment *s)
{
	if (!s)
		return;
	if (s->cfg)
		audums__v1__segment_config__free_unpacked(s->cfg, NULL);
	free(s->attachments);
	free(s);
}

static struct segment *segment_new(Audums__V1__SegmentConfig *cfg)
{
	struct segment *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->attachments = calloc(cfg->n_attachments + 1, sizeof(*s->attachments));
	if (!s->attachments) {
		free(s);
		return NULL;
	}
	s->cfg = cfg;
	return s;
}

void desired_clear(struct desired *d)
{
	for (size_t i = 0; i < d->count; i++)
		segment_free(d->segments[i]);
	free(d->segments);
	free(d->by_vni);
	if (d->base)
		audums__v1__node_base__free_unpacked(d->base, NULL);
	memset(d, 0, sizeof(*d));
}

struct segment *desired_find(const struct desired *d, const char *name)
{
	size_t lo = 0, hi = d->count;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const int c = strcmp(name, d->segments[mid]->cfg->name);

		if (c == 0)
			return d->segments[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

struct segment *desired_vni(const struct desired *d, uint32_t vni)
{
	size_t lo = 0, hi = d->vni_count;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const uint32_t v = d->by_vni[mid]->cfg->vni;

		if (v == vni)
			return d->by_vni[mid];
		if (vni < v)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

static bool names_hold(char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool config_equal(const Audums__V1__SegmentConfig *a, const Audums__V1__SegmentConfig *b)
{
	const size_t n = audums__v1__segment_config__get_packed_size(a);
	uint8_t *x, *y;
	bool equal = false;

	if (n != audums__v1__segment_config__get_packed_size(b))
		return false;
	x = malloc(n ? n : 1);
	y = malloc(n ? n : 1);
	if (x && y) {
		audums__v1__segment_config__pack(a, x);
		audums__v1__segment_config__pack(b, y);
		equal = memcmp(x, y, n) == 0;
	}
	free(x);
	free(y);
	return equal;
}

/* What was known of a segment before its configuration changed, as far as it still holds. */
static void carry_over(struct segment *to, const struct segment *from)
{
	to->kernel_ok = from->kernel_ok && to->cfg->vni == from->cfg->vni;
	to->frr_open = from->frr_open && to->cfg->vni == from->cfg->vni &&
		       strcmp(to->cfg->rd, from->cfg->rd) == 0;
	memcpy(to->rd, from->rd, sizeof(to->rd));
	to->reported = from->reported;
	for (size_t i = 0; i < to->cfg->n_attachments; i++)
		for (size_t j = 0; j < from->cfg->n_attachments; j++)
			if (strcmp(to->cfg->attachments[i]->port,
				    from->cfg->attachments[j]->port) == 0)
				to->attachments[i] = from->attachments[j];
}

static int index_vnis(struct desired *d)
{
	d->by_vni = calloc(d->count + 1, sizeof(*d->by_vni));
	if (!d->by_vni)
		return -ENOMEM;
	d->vni_count = 0;
	for (size_t i = 0; i < d->count; i++)
		if (!d->segments[i]->invalid[0])
			d->by_vni[d->vni_count++] = d->segments[i];
	qsort(d->by_vni, d->vni_count, sizeof(*d->by_vni), compare_vni);
	return 0;
}

int desired_merge(struct desired *d, Audums__V1__DesiredState *m, char *error, size_t error_size)
{
	struct desired next = {.generation = m->generation};
	const size_t old = m->full ? 0 : d->count;
	bool *kept = NULL;
	int err = -ENOMEM;

	if (m->n_segments > DESIRED_SEGMENT_MAX || old + m->n_segments > 2 * DESIRED_SEGMENT_MAX) {
		snprintf(error, error_size, "more segments than %d", DESIRED_SEGMENT_MAX);
		return -E2BIG;
	}
	if (m->node_base && !check_base(m->node_base, error, error_size))
		return -EINVAL;
	snprintf(error, error_size, "out of memory");
	next.segments = calloc(old + m->n_segments + 1, sizeof(*next.segments));
	kept = calloc(d->count + 1, sizeof(*kept));
	if (!next.segments || !kept)
		goto fail;
	/* New and changed ones first, so that a failure leaves `d` whole. */
	for (size_t i = 0; i < m->n_segments; i++) {
		struct segment *s = segment_new(m->segments[i]);

		if (!s)
			goto fail;
		next.segments[next.count++] = s;
	}
	qsort(next.segments, next.count, sizeof(*next.segments), compare_name);
	for (size_t i = 1; i < next.count; i++) {
		if (compare_name(&next.segments[i - 1], &next.segments[i]) == 0) {
			snprintf(error, error_size, "two segments of one name");
			err = -EINVAL;
			goto fail;
		}
	}
	/* Unchanged ones are moved, with what is known of them. */
	const size_t fresh = next.count;
	struct desired look = {.segments = next.segments, .count = fresh};

	for (size_t i = 0; i < d->count; i++) {
		struct segment *was = d->segments[i];
		struct segment *now = desired_find(&look, was->cfg->name);

		if (now)
			carry_over(now, was);
		if (now && config_equal(now->cfg, was->cfg)) {
			now->frr_ok = was->frr_ok;
			now->frr_match = was->frr_match;
			now->frr_open = was->frr_open;
			now->frr_tries = was->frr_tries;
			memcpy(now->frr_error, was->frr_error, sizeof(now->frr_error));
			memcpy(now->kernel_error, was->kernel_error, sizeof(now->kernel_error));
		}
		if (!now && !m->full &&
			!names_hold(m->removed_segments, m->n_removed_segments, was->cfg->name))
			kept[i] = true;
	}
	for (size_t i = 0; i < d->count; i++)
		if (kept[i])
			next.segments[next.count++] = d->segments[i];
	qsort(next.segments, next.count, sizeof(*next.segments), compare_name);
	check_segments(next.segments, next.count);
	err = index_vnis(&next);
	if (err) {
		/* the kept ones still belong to `d` */
		for (size_t i = 0; i < next.count; i++)
			for (size_t j = 0; j < d->count; j++)
				if (next.segments[i] == d->segments[j])
					next.segments[i] = NULL;
		for (size_t i = 0; i < next.count; i++) {
			if (next.segments[i])
				next.segments[i]->cfg = NULL; /* still in `m` */
			segment_free(next.segments[i]);
		}
		free(next.segments);
		free(kept);
		return err;
	}
	/* No way back from here. */
	m->n_segments = 0;
	if (m->node_base) {
		next.base = m->node_base;
		m->node_base = NULL;
	} else if (!m->full) {
		next.base = d->base;
		d->base = NULL;
	}
	for (size_t i = 0; i < d->count; i++)
		if (!kept[i])
			segment_free(d->segments[i]);
	free(kept);
	d->count = 0;
	desired_clear(d);
	*d = next;
	return 0;
fail:
	for (size_t i = 0; i < next.count; i++) {
		next.segments[i]->cfg = NULL; /* still in `m` */
		segment_free(next.segments[i]);
	}
	free(next.segments);
	free(kept);
	return err;
}

/* ---- on disk ---- */

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		const ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static int sync_directory_of(const char *path)
{
	char dir[PATH_MAX];
	char *slash;
	int fd, err = 0;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

int desired_save(const struct desired *d, const char *path)
{
	Audums__V1__DesiredState m = AUDUMS__V1__DESIRED_STATE__INIT;
	char tmp[PATH_MAX];
	uint8_t *buf = NULL;
	int fd = -1, err = -ENOMEM;
	size_t len;

	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	m.generation = d->generation;
	m.full = m.last = true;
	m.node_base = d->base;
	m.segments = calloc(d->count + 1, sizeof(*m.segments));
	if (!m.segments)
		return -ENOMEM;
	for (size_t i = 0; i < d->count; i++)
		m.segments[i] = d->segments[i]->cfg;
	m.n_segments = d->count;
	len = audums__v1__desired_state__get_packed_size(&m);
	buf = malloc(len + 1);
	if (!buf)
		goto out;
	audums__v1__desired_state__pack(&m, buf);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	err = write_all(fd, buf, len);
	if (!err && fsync(fd) < 0)
		err = -errno;
	if (!err && rename(tmp, path) < 0)
		err = -errno;
	if (err)
		unlink(tmp);
	else
		err = sync_directory_of(path);
out:
	if (fd >= 0)
		close(fd);
	free(buf);
	free(m.segments);
	return err;
}

Audums__V1__DesiredState *desired_read(const char *path)
{
	Audums__V1__DesiredState *m = NULL;
	uint8_t *buf = NULL;
	struct stat st;
	size_t have = 0;
	int saved = 0;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0) {
		saved = errno;
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)DESIRED_FILE_MAX) {
		saved = EFBIG;
		goto out;
	}
	buf = malloc((size_t)st.st_size + 1);
	if (!buf) {
		saved = ENOMEM;
		goto out;
	}
	while (have < (size_t)st.st_size) {
		const ssize_t n = read(fd, buf + have, (size_t)st.st_size - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	m = audums__v1__desired_state__unpack(NULL, have, buf);
	if (!m)
		saved = EINVAL;
out:
	close(fd);
	free(buf);
	errno = saved;
	return m;
}
