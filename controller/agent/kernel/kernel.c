/* The kernel half of the agent; see kernel.h. */
#include "controller/agent/kernel/kernel.h"

#include "controller/agent/desired.h"
#include "controller/agent/inventory.h"
#include "controller/agent/kernel/sysctl.h"
#include "controller/rpc/loop.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DUMP_MS      10000
#define AUDIT_MS     30000
#define SLICE_OPS    512
#define SLICE_DELETE 128
#define ROUNDS       8
#define ROUNDS_QUIET 4 /* more rounds than any change needs: events are missing */
#define TOLERATED    2 /* failed slices in a row that are nobody's concern */
#define SLOWED       7 /* as if so many slices had failed */
#define BACKOFF_MIN  5
#define BACKOFF_MAX  500
#define REPAIRS_RATE 200 /* a second; beyond it somebody fights with us and we slow down */

static void model_changed(void *arg, const struct klink *l, bool gone)
{
	struct kernel *k = arg;

	/* a device that comes brings the namespace's default settings */
	if (!gone && !l->master && !(l->flags & IFF_LOOPBACK) && !kplan_ours(l, &k->journal))
		k->sysctls_due = true;
}

static void watch_lost(struct kernel *k, int err)
{
	log_error("netlink_watch_failed", "error=%s", strerror(-err));
	loop_fd_remove(k->fd);
	k->fd = NULL;
	k->up = false;
	kwatch_close(&k->watch);
}

static void watch_ready(void *arg, int fd, unsigned int ready)
{
	struct kernel *k = arg;
	const int r = kwatch_read(&k->watch);

	if (r < 0)
		watch_lost(k, r);
	if (r && k->changed)
		k->changed(k->arg);
}

static int watch_start(struct kernel *k)
{
	int err = kwatch_open(&k->watch, &k->model);

	if (err)
		return err;
	err = kwatch_dump(&k->watch);
	if (!err)
		err = kwatch_sync(&k->watch, DUMP_MS);
	if (!err) {
		k->fd = loop_fd_add(k->loop, kwatch_fd(&k->watch), LOOP_IN, watch_ready, k);
		if (!k->fd)
			err = -errno;
	}
	if (err) {
		kwatch_close(&k->watch);
		return err;
	}
	k->up = true;
	return 0;
}

/* Events are trusted but not blindly: what some change of the kernel doesn't announce (a bridge
 * option by sysfs) is found here. */
static void audit(void *arg)
{
	struct kernel *k = arg;
	int err;

	k->sysctls_due = true;
	err = k->fd ? kwatch_dump(&k->watch) : watch_start(k);
	if (err)
		log_error("netlink_audit_failed", "error=%s", strerror(-err));
	if (k->changed)
		k->changed(k->arg);
}

int kernel_open(struct kernel *k, struct loop *loop, const char *journal_path)
{
	int err;

	k->loop = loop;
	k->sysctls_due = true;
	err = kmodel_init(&k->model);
	if (err)
		return err;
	k->model.changed = model_changed;
	k->model.arg = k;
	err = journal_open(&k->journal, journal_path);
	if (!err)
		err = kwrite_open(&k->write);
	if (!err)
		err = watch_start(k);
	if (!err) {
		k->audit = loop_timer_new(loop, audit, k);
		if (k->audit)
			loop_timer_arm(k->audit, AUDIT_MS, AUDIT_MS);
		else
			err = -ENOMEM;
	}
	if (err)
		kernel_close(k);
	return err;
}

void kernel_close(struct kernel *k)
{
	loop_timer_free(k->audit);
	loop_fd_remove(k->fd);
	k->audit = NULL;
	k->fd = NULL;
	kwatch_close(&k->watch);
	kwrite_close(&k->write);
	journal_clear(&k->journal);
	kplan_clear(&k->plan);
	kmodel_clear(&k->model);
}

bool kernel_has_vni(const struct kernel *k, uint32_t vni)
{
	char name[IFNAMSIZ];

	kplan_vxlan_name(name, vni);
	return kmodel_name(&k->model, name) != NULL;
}

/* Note in the journal what is about to be made, before it is made. */
static int journal_ahead(struct kernel *k, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		const struct kop *op = &k->plan.ops[i];

		if (op->type == KOP_BRIDGE_ADD || op->type == KOP_VXLAN_ADD)
			err = journal_add_link(&k->journal, op->name);
		else if (op->type == KOP_ADDR_ADD)
			err = journal_add_addr(&k->journal, op->name, op->ip, op->plen);
	}
	return err ? err : journal_save(&k->journal);
}

/* Forget what is neither there nor wanted. Links stay noted while they are: an alias that somebody
 * takes off does not make them a stranger's. */
static void journal_tidy(struct kernel *k, const struct desired *d, const struct inventory *inv)
{
	struct journal *j = &k->journal;
	int err;

	for (size_t i = 0; i < j->count;) {
		const struct journal_entry e = j->entries[i];
		const struct klink *l = kmodel_name(&k->model, e.device);

		if (e.is_addr && !kplan_addr_wanted(d, inv, e.device, e.ip, e.plen) &&
			(!l || !klink_has_addr(l, e.ip, e.plen)))
			journal_remove_addr(j, e.device, e.ip, e.plen);
		else if (!e.is_addr && !l && !kplan_link_wanted(d, e.device))
			journal_remove_link(j, e.device);
		else
			i++;
	}
	err = journal_save(j);
	if (err)
		log_error("journal_write_failed", "error=%s", strerror(-err));
}

/* Tell what was repaired. Returns whether there was anything: a device that is just being deleted
 * only fails. */
static bool tell_drift(struct kernel *k, const struct desired *d, size_t count)
{
	size_t last = KOP_NO_SEGMENT - 1;
	bool told = false;

	for (size_t i = 0; i < count; i++) {
		const struct kop *op = &k->plan.ops[i];
		const struct klink *l = op->ifindex ? kmodel_index(&k->model, op->ifindex) : NULL;
		char object[64], message[128];

		/* one event a segment and round; a port that has just come is no drift */
		if (op->err || op->segment == last ||
			(l && !l->known && !kplan_ours(l, &k->journal)))
			continue;
		last = op->segment;
		if (op->segment == KOP_NO_SEGMENT)
			snprintf(object, sizeof(object), "node/%s", d->base->node);
		else
			snprintf(object, sizeof(object), "segment/%s",
				d->segments[op->segment]->cfg->name);
		snprintf(message, sizeof(message), "%s: %s", op->name, kop_name(op->type));
		if (k->drift)
			k->drift(k->arg, object, message);
		told = true;
	}
	return told;
}

static bool collect_errors(struct kernel *k, struct desired *d, size_t count)
{
	bool failed = false;

	for (size_t i = 0; i < count; i++) {
		const struct kop *op = &k->plan.ops[i];
		struct segment *s = op->segment == KOP_NO_SEGMENT ? NULL : d->segments[op->segment];

		/* Gone already, or there already: the events will say so. */
		if (!op->err ||
			(op->err == -ENODEV && (op->type == KOP_LINK_DEL || op->type == KOP_GROUP ||
						       op->type == KOP_GROUP_DEL)) ||
			(op->err == -EADDRNOTAVAIL && op->type == KOP_ADDR_DEL) ||
			(op->err == -EEXIST && op->type == KOP_ADDR_ADD))
			continue;
		failed = true;
		if (k->failures < TOLERATED) {
			log_debug("kernel_change_failed", "change=\"%s\" error=\"%s\"",
				kop_name(op->type), op->error);
			continue;
		}
		log_warn("kernel_change_failed", "change=\"%s\" error=\"%s\"", kop_name(op->type),
			op->error);
		if (!s)
			snprintf(k->base_error, sizeof(k->base_error), "%s", op->error);
		else if (op->attachment != KOP_NO_SEGMENT)
			snprintf(s->attachments[op->attachment].error,
				sizeof(s->attachments[op->attachment].error), "%s", op->error);
		else
			snprintf(s->kernel_error, sizeof(s->kernel_error), "%s", op->error);
	}
	return failed;
}

/* All is as it should be: remember what was there, and note what bears our alias, so that it stays
 * ours if somebody takes the alias off. */
static void all_known(struct kernel *k)
{
	for (size_t b = 0; b < k->model.buckets; b++) {
		for (struct klink *l = k->model.by_index[b]; l; l = l->next_index) {
			l->known = true;
			if (!l->noted && kplan_ours(l, &k->journal))
				l->noted = journal_add_link(&k->journal, l->name) == 0;
		}
	}
}

static void apply_sysctls(struct kernel *k, const struct desired *d, const struct inventory *inv)
{
	k->sysctls_due = false;
	k->writes += sysctl_apply_namespace();
	for (size_t i = 0; i < d->base->n_uplinks; i++) {
		const char *tap = kplan_tap(inv, d->base->uplinks[i]->port);

		if (kmodel_name(&k->model, tap))
			k->writes += sysctl_apply_uplink(tap);
	}
}

static bool repairs_too_many(struct kernel *k, size_t count)
{
	const uint64_t now = loop_now_ms();

	if (now - k->repairs_at_ms >= 1000) {
		k->repairs_at_ms = now;
		k->repairs = 0;
	}
	if (k->repairs > REPAIRS_RATE) {
		log_warn("repairs_slowed", "in_this_second=%u", k->repairs);
		k->failures = SLOWED;
		return true;
	}
	k->repairs += (unsigned int)count;
	return false;
}

unsigned int kernel_backoff_ms(const struct kernel *k)
{
	const unsigned int shift = k->failures < 8 ? k->failures : 8;
	const unsigned int ms = BACKOFF_MIN << shift;

	return ms < BACKOFF_MAX ? ms : BACKOFF_MAX;
}

enum kernel_result kernel_reconcile(
	struct kernel *k, struct desired *d, const struct inventory *inv, bool settled)
{
	bool told = !settled;

	if (!k->up || !d->base)
		return KERNEL_DONE;
	if (k->sysctls_due)
		apply_sysctls(k, d, inv);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		size_t count;
		bool failed, cut;
		int err = kplan_make(&k->plan, d, inv, &k->model, &k->journal);

		count = k->plan.count;
		k->base_ok = !err;
		for (size_t i = 0; i < count; i++)
			k->base_ok = k->base_ok && k->plan.ops[i].segment != KOP_NO_SEGMENT;
		if (k->base_ok)
			k->base_error[0] = '\0';
		if (err) {
			log_error("plan_failed", "error=%s", strerror(-err));
			return KERNEL_BACKOFF;
		}
		if (count == 0) {
			all_known(k);
			journal_tidy(k, d, inv);
			k->failures = k->fruitless = 0;
			return KERNEL_DONE;
		}
		if (settled && repairs_too_many(k, count))
			return KERNEL_BACKOFF;
		if (kplan_slice(&k->plan, &k->model, SLICE_OPS, SLICE_DELETE) < 0)
			return KERNEL_BACKOFF;
		cut = k->plan.count < count;
		count = k->plan.count;
		err = journal_ahead(k, count);
		if (err) {
			snprintf(k->base_error, sizeof(k->base_error), "journal: %s",
				strerror(-err));
			log_error("journal_write_failed", "error=%s", strerror(-err));
			return KERNEL_BACKOFF;
		}
		err = kwrite_run(&k->write, k->plan.ops, count);
		k->writes += count;
		log_info("kernel_written", "changes=%zu first=\"%s: %s\"", count,
			k->plan.ops[0].name, kop_name(k->plan.ops[0].type));
		for (size_t i = 0; i < count; i++)
			log_debug("kernel_op", "device=%s ifindex=%d change=\"%s\" err=%d",
				k->plan.ops[i].name, k->plan.ops[i].ifindex,
				kop_name(k->plan.ops[i].type), k->plan.ops[i].err);
		if (!told)
			told = tell_drift(k, d, count);
		failed = collect_errors(k, d, count);
		if (err)
			log_error("netlink_write_failed", "error=%s", strerror(-err));
		err = kwatch_read(&k->watch);
		/* The kernel says nothing of some changes of a device that is down. */
		if (!err && !failed && round + 1 >= ROUNDS_QUIET)
			err = kwatch_dump(&k->watch);
		if (err < 0) {
			watch_lost(k, err);
			return KERNEL_BACKOFF;
		}
		if (failed) {
			k->failures++;
			return KERNEL_BACKOFF;
		}
		k->failures = 0;
		if (cut)
			return KERNEL_AGAIN;
	}
	/* The kernel takes it and shows something else, again and again. */
	if (k->fruitless < SLOWED && ++k->fruitless == SLOWED)
		log_warn("kernel_disagrees", "changes=%zu first=\"%s: %s\"", k->plan.count,
			k->plan.ops[0].name, kop_name(k->plan.ops[0].type));
	k->failures = k->fruitless;
	return KERNEL_BACKOFF;
}
