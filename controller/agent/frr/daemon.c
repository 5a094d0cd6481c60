/* One FRR daemon; see daemon.h. */
#include "controller/agent/frr/daemon.h"

#include "controller/rpc/loop.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 10000
#define POSTPONE_MS  20
#define FAILURES_MAX 4096

/* One item on its way. */
struct run {
	struct daemon *dm;
	enum conf_order order;
	char key[DAEMON_KEY_MAX];
	bool undo, lost;
	unsigned int left; /* commands not answered */
	bool sent;         /* all are queued */
	char error[DAEMON_ERROR_MAX];
};

/* ---- failures ---- */

static struct daemon_failure *failure_find(const struct daemon *dm, const char *key)
{
	for (size_t i = 0; i < dm->failure_count; i++)
		if (strcmp(dm->failures[i].key, key) == 0)
			return &dm->failures[i];
	return NULL;
}

static void failure_set(struct daemon *dm, const char *key, const char *error)
{
	struct daemon_failure *f = failure_find(dm, key);

	if (!f) {
		struct daemon_failure *grown;

		if (dm->failure_count >= FAILURES_MAX)
			return;
		grown = realloc(dm->failures, (dm->failure_count + 1) * sizeof(*grown));
		if (!grown)
			return;
		dm->failures = grown;
		f = &grown[dm->failure_count++];
		memset(f, 0, sizeof(*f));
		snprintf(f->key, sizeof(f->key), "%s", key);
	}
	snprintf(f->error, sizeof(f->error), "%s", error);
	f->delay_ms = f->delay_ms ? f->delay_ms * 2 : RETRY_MIN_MS;
	if (f->delay_ms > RETRY_MAX_MS)
		f->delay_ms = RETRY_MAX_MS;
	f->retry_at_ms = loop_now_ms() + f->delay_ms;
	loop_timer_arm(dm->retry, f->delay_ms, 0);
}

static void failure_clear(struct daemon *dm, const char *key)
{
	struct daemon_failure *f = failure_find(dm, key);

	if (f)
		*f = dm->failures[--dm->failure_count];
}

const char *daemon_error(const struct daemon *dm, const char *key)
{
	const struct daemon_failure *f = failure_find(dm, key);

	return f ? f->error : NULL;
}

/* ---- sending ---- */

static void save(struct daemon *dm)
{
	int err;

	if (!dm->file[0])
		return;
	err = conf_save(&dm->applied, dm->file, dm->instance);
	if (err)
		log_error("state_write_failed", "file=%s error=%s", dm->file, strerror(-err));
}

static void run_end(struct run *r)
{
	struct daemon *dm = r->dm;
	struct conf_item *it = conf_find(&dm->applied, r->order, r->key);

	dm->in_flight--;
	if (!r->lost && r->undo && it)
		conf_remove(&dm->applied, it);
	if (!r->lost && !r->undo && it) {
		it->sure = !r->error[0];
		if (r->error[0]) {
			log_warn("frr_refused", "daemon=%s item=%s error=\"%s\"", dm->name, r->key,
				r->error);
			failure_set(dm, r->key, r->error);
		} else {
			failure_clear(dm, r->key);
		}
	}
	if (dm->in_flight == 0 && !r->lost) {
		dm->epoch++;
		save(dm);
		loop_task_schedule(dm->task); /* what changed meanwhile */
	}
	free(r);
	if (dm->changed)
		dm->changed(dm->arg, dm);
}

static void answered(struct run *r, int status, const char *text, bool matters)
{
	if (status == VTY_LOST)
		r->lost = true;
	else if (status != VTY_OK && matters && !r->undo && !r->error[0])
		snprintf(r->error, sizeof(r->error), "%.*s (status %d)", (int)strcspn(text, "\r\n"),
			text[0] ? text : "refused", status);
	if (--r->left == 0 && r->sent)
		run_end(r);
}

static void run_answer(void *arg, int status, const char *text, size_t len)
{
	answered(arg, status, text, true);
}

static void run_answer_any(void *arg, int status, const char *text, size_t len)
{
	answered(arg, status, text, false);
}

/* Send each line; the answers go to `r` (NULL: nobody). */
static void send_lines(struct daemon *dm, const char *lines, struct run *r, vty_done_fn *done)
{
	char line[VTY_COMMAND_MAX];

	while (*lines) {
		const size_t n = strcspn(lines, "\n");
		int err = -EINVAL;

		if (n < sizeof(line)) {
			memcpy(line, lines, n);
			line[n] = '\0';
			err = vty_send(dm->vty, line, r ? done : NULL, r);
		}
		if (!err) {
			dm->commands++;
			if (r)
				r->left++;
		} else if (r) {
			r->lost = true;
		}
		lines += n;
		if (*lines)
			lines++;
	}
}

static struct run *run_new(struct daemon *dm, const struct conf_item *it, bool undo)
{
	struct run *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->dm = dm;
	r->order = it->order;
	r->undo = undo;
	snprintf(r->key, sizeof(r->key), "%s", it->key);
	dm->in_flight++;
	return r;
}

static void run_sent(struct run *r)
{
	r->sent = true;
	if (r->left == 0)
		run_end(r);
}

struct sender {
	struct daemon *dm;
	const char *context; /* where the daemon's parser stands; NULL = outside of configuration */
};

static void enter(struct sender *s, const char *context)
{
	if (s->context && strcmp(s->context, context) == 0)
		return;
	if (s->context && s->context[0])
		send_lines(s->dm, "end\n", NULL, NULL);
	if (!s->context || s->context[0])
		send_lines(s->dm, "configure terminal\n", NULL, NULL);
	send_lines(s->dm, context, NULL, NULL);
	s->context = context;
}

/* Lines of `old` that begin with "route-target" and are not in `now`, each with "no " before it.
 * The one kind of line that adds up instead of replacing. */
static void stale_lines(const char *old, const char *now, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	while (*old) {
		const size_t n = strcspn(old, "\n") + 1;
		char line[128];

		if (strncmp(old, "route-target ", 13) == 0 && n < sizeof(line)) {
			memcpy(line, old, n);
			line[n] = '\0';
			if (!strstr(now, line) && at + n + 4 < size)
				at += (size_t)snprintf(out + at, size - at, "no %s", line);
		}
		old += n;
	}
}

/* All lines but the last, `fix`, the last. */
static void send_item(struct daemon *dm, const struct conf_item *it, const char *fix, struct run *r)
{
	const size_t len = strlen(it->apply);
	size_t at = len > 0 ? len - 1 : 0;
	char *head;

	while (at > 0 && it->apply[at - 1] != '\n')
		at--;
	if (!fix || !fix[0] || at == 0) {
		send_lines(dm, it->apply, r, run_answer);
		return;
	}
	head = strndup(it->apply, at);
	if (!head) {
		r->lost = true;
		return;
	}
	send_lines(dm, head, r, run_answer);
	send_lines(dm, fix, r, run_answer_any);
	send_lines(dm, it->apply + at, r, run_answer);
	free(head);
}

static void apply_item(struct sender *s, const struct conf_item *want)
{
	struct daemon *dm = s->dm;
	struct conf_item *was = conf_find(&dm->applied, want->order, want->key);
	char fix[4096] = "";
	struct run *r;

	if (was && was->redo && was->fix)
		snprintf(fix, sizeof(fix), "%s", was->fix);
	else if (was && want->in_place)
		stale_lines(was->apply, want->apply, fix, sizeof(fix));
	/* A session is begun anew when what it consists of has changed. */
	if (was && !want->in_place && !conf_item_equal(was, want)) {
		enter(s, want->context);
		send_lines(dm, was->undo, NULL, NULL);
	}
	if (conf_put(&dm->applied, want->order, want->in_place, want->key, want->context,
		    want->apply, want->undo) < 0)
		return;
	r = run_new(dm, want, false);
	if (!r)
		return;
	enter(s, want->context);
	send_item(dm, want, fix, r);
	run_sent(r);
}

static void undo_item(struct sender *s, const struct conf_item *it)
{
	struct run *r = run_new(s->dm, it, true);
	char *context;

	if (!r)
		return;
	context = strdup(it->context); /* the item may go before the sender's next look */
	if (!context) {
		r->lost = true;
		run_sent(r);
		return;
	}
	enter(s, context);
	send_lines(s->dm, it->undo, r, run_answer_any);
	s->context = NULL;
	send_lines(s->dm, "end\n", NULL, NULL);
	free(context);
	run_sent(r);
}

static bool item_due(struct daemon *dm, const struct conf_item *want)
{
	const struct conf_item *was = conf_find(&dm->applied, want->order, want->key);
	const struct daemon_failure *f;

	if (was && was->sure && !was->redo && conf_item_equal(was, want))
		return false;
	f = failure_find(dm, want->key);
	/* a new text is tried at once */
	return !f || !was || !conf_item_equal(was, want) || f->retry_at_ms <= loop_now_ms();
}

static void sync_now(void *arg)
{
	struct daemon *dm = arg;
	struct sender s = {.dm = dm};
	bool sends = false, postponed = false;

	if (!dm->up || dm->in_flight)
		return;
	/* Take away, in reverse order. */
	for (size_t i = dm->applied.count; i-- > 0;) {
		struct conf_item *it = &dm->applied.items[i];

		if (conf_find(&dm->wanted, it->order, it->key))
			continue;
		if (dm->may_undo && !dm->may_undo(dm->arg, it)) {
			postponed = true;
			continue;
		}
		sends = true;
		undo_item(&s, it);
		if (it->order == CONF_BASE) {
			/* the instance takes all that is in it along */
			for (size_t k = dm->applied.count; k-- > 0;)
				if (dm->applied.items[k].order > CONF_BASE)
					conf_remove(&dm->applied, &dm->applied.items[k]);
		}
	}
	for (size_t i = 0; i < dm->wanted.count; i++) {
		if (!item_due(dm, &dm->wanted.items[i]))
			continue;
		if (!sends)
			dm->epoch++;
		sends = true;
		apply_item(&s, &dm->wanted.items[i]);
	}
	if (s.context)
		send_lines(dm, "end\n", NULL, NULL);
	if (sends) {
		dm->epoch++;
		save(dm);
		log_info("frr_written", "daemon=%s items=%u", dm->name, dm->in_flight);
	}
	if (postponed)
		loop_timer_arm(dm->retry, POSTPONE_MS, 0);
}

static void retry(void *arg)
{
	struct daemon *dm = arg;

	loop_task_schedule(dm->task);
	for (size_t i = 0; i < dm->failure_count; i++)
		if (dm->failures[i].retry_at_ms > loop_now_ms() && !loop_timer_armed(dm->retry))
			loop_timer_arm(dm->retry, dm->failures[i].retry_at_ms - loop_now_ms(), 0);
}

void daemon_sync(struct daemon *dm)
{
	loop_task_schedule(dm->task);
}

void daemon_want(struct daemon *dm, struct conf *c)
{
	conf_clear(&dm->wanted);
	dm->wanted = *c;
	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < dm->failure_count;) {
		bool wanted = false;

		for (size_t k = 0; k < dm->wanted.count && !wanted; k++)
			wanted = strcmp(dm->wanted.items[k].key, dm->failures[i].key) == 0;
		if (wanted)
			i++;
		else
			dm->failures[i] = dm->failures[--dm->failure_count];
	}
	daemon_sync(dm);
}

void daemon_redo(struct daemon *dm, enum conf_order order, const char *key, const char *fix)
{
	struct conf_item *it = conf_find(&dm->applied, order, key);

	if (it) {
		it->redo = true;
		free(it->fix);
		it->fix = fix ? strdup(fix) : NULL;
	}
	daemon_sync(dm);
}

void daemon_forget(struct daemon *dm, enum conf_order from)
{
	for (size_t i = dm->applied.count; i-- > 0;)
		if (dm->applied.items[i].order >= from)
			conf_remove(&dm->applied, &dm->applied.items[i]);
	daemon_sync(dm);
}

bool daemon_holds(const struct daemon *dm, enum conf_order order, const char *key)
{
	const struct conf_item *was = conf_find(&dm->applied, order, key);
	const struct conf_item *want = conf_find(&dm->wanted, order, key);

	return was && want && was->sure && conf_item_equal(was, want);
}

/* ---- the connection ---- */

static void vty_up(void *arg, const char *instance)
{
	struct daemon *dm = arg;

	if (!instance[0] || strcmp(instance, dm->instance) != 0) {
		snprintf(dm->instance, sizeof(dm->instance), "%s", instance);
		conf_clear(&dm->applied);
		if (dm->file[0] && conf_load(&dm->applied, dm->file, instance) < 0)
			log_warn("state_read_failed", "file=%s", dm->file);
	}
	dm->up = dm->was_up = true;
	dm->up_at_ms = loop_now_ms();
	dm->reason[0] = '\0';
	dm->epoch++;
	log_info("frr_up", "daemon=%s known_items=%zu", dm->name, dm->applied.count);
	daemon_sync(dm);
	if (dm->changed)
		dm->changed(dm->arg, dm);
}

static void vty_down(void *arg, const char *reason)
{
	struct daemon *dm = arg;

	dm->up = false;
	dm->epoch++;
	snprintf(dm->reason, sizeof(dm->reason), "%s", reason);
	log_warn("frr_down", "daemon=%s reason=\"%s\"", dm->name, reason);
	if (dm->changed)
		dm->changed(dm->arg, dm);
}

int daemon_open(struct daemon *dm, struct loop *loop, const char *name, const char *socket,
	const char *file)
{
	static const struct vty_events events = {.up = vty_up, .down = vty_down};

	dm->name = name;
	dm->loop = loop;
	if (file && snprintf(dm->file, sizeof(dm->file), "%s", file) >= (int)sizeof(dm->file))
		return -ENAMETOOLONG;
	dm->task = loop_task_new(loop, sync_now, dm);
	dm->retry = loop_timer_new(loop, retry, dm);
	if (!dm->task || !dm->retry)
		return -ENOMEM;
	dm->vty = vty_new(loop, socket, &events, dm);
	return dm->vty ? 0 : -errno;
}

void daemon_close(struct daemon *dm)
{
	dm->up = false;
	dm->changed = NULL;
	vty_free(dm->vty);
	dm->vty = NULL;
	loop_task_free(dm->task);
	loop_timer_free(dm->retry);
	dm->task = NULL;
	dm->retry = NULL;
	conf_clear(&dm->wanted);
	conf_clear(&dm->applied);
	free(dm->failures);
	dm->failures = NULL;
	dm->failure_count = 0;
}
