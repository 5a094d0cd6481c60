/*
 * What must be true before a lab is brought up, so that nothing is created in vain.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sched.h>

#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/rtnl.h"

#define MEMORY_NODE_KB (120 * 1024)
#define MEMORY_BASE_KB (100 * 1024)

struct check {
	struct lab_err *err;
	int result; /* the first thing that was found */
};

static void found(struct check *c, int code)
{
	if (!c->result)
		c->result = code;
}

static void check_tun(struct check *c)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		lab_err_add(c->err,
			"/dev/net/tun cannot be opened (%s): load the kernel's module tun, or let "
			"the container have the device",
			strerror(errno));
		found(c, -ENOTSUP);
		return;
	}
	close(fd);
}

static void check_programs(struct check *c, const struct lab *lab)
{
	static const struct {
		const char *name;
		unsigned int part;
	} ours[] = {
		{"audumsd", LAB_PART_CONTROLLER},
		{"audums-agent", LAB_PART_AGENT},
		{"audums-holder", LAB_PART_HOLDER},
		{"audums-dataplane", LAB_PART_HOLDER},
	};
	static const char *const frr[] = {"zebra", "bgpd", "bfdd"};
	char path[LAB_PATH_LEN * 2];

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (!(lab->parts & ours[i].part) || !program_find(ours[i].name, path))
			continue;
		lab_err_add(c->err,
			"program %s is neither in the build tree nor installed: build Audums "
			"(ninja -C build)",
			ours[i].name);
		found(c, -ENOENT);
	}
	for (size_t i = 0; lab->parts & LAB_PART_FRR && i < sizeof(frr) / sizeof(frr[0]); i++) {
		if (!frr_find(frr[i], path))
			continue;
		lab_err_add(c->err,
			"FRR's %s is not installed: deploy/install-packages.sh installs all that "
			"is needed",
			frr[i]);
		found(c, -ENOENT);
	}
}

static void check_memory(struct check *c, const struct lab *lab)
{
	char *text = file_read("/proc/meminfo", 16384);
	const char *line = text ? strstr(text, "MemAvailable:") : NULL;
	unsigned long have = line ? strtoul(line + 13, NULL, 10) : 0;
	unsigned long need = MEMORY_BASE_KB + lab->node_count * (unsigned long)MEMORY_NODE_KB;

	if (line && have < need) {
		lab_err_add(c->err, "%lu MB of memory are available; %u nodes need about %lu MB",
			have / 1024, lab->node_count, need / 1024);
		found(c, -ENOMEM);
	}
	free(text);
}

/* Makes each kind of device once, in a namespace that is gone afterwards. */
static void check_kernel(struct check *c)
{
	int back, ret;
	struct rtnl *nl = NULL;

	back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (back < 0 || unshare(CLONE_NEWNET)) {
		lab_err_add(c->err, "the kernel gives no network namespace: %s", strerror(errno));
		found(c, -ENOTSUP);
		if (back >= 0)
			close(back);
		return;
	}
	ret = rtnl_open(&nl, NULL);
	if (ret) {
		lab_err_add(c->err, "the kernel gives no rtnetlink socket: %s", strerror(-ret));
		found(c, -ENOTSUP);
	}
	for (int i = 0; !ret && i < 3; i++) {
		static const char *const kinds[] = {"bridge", "veth", "vxlan"};
		int made = i == 0   ? rtnl_bridge_add(nl, "br")
			   : i == 1 ? rtnl_veth_add(nl, "a", 1500, -1, "b", 1500, 0)
				    : rtnl_vxlan_add(nl, "vx", 1);

		if (!made)
			continue;
		lab_err_add(c->err, "the kernel has no %s devices (%s)", kinds[i], strerror(-made));
		found(c, -ENOTSUP);
	}
	rtnl_close(nl);
	lab_netns_leave(back);
}

int lab_check(const struct lab *lab, struct lab_err *err)
{
	struct check c = {.err = err};
	unsigned int traces;

	err->text[0] = '\0';
	if (geteuid())
		return lab_fail(err, -EPERM,
			"a lab needs root: it makes network namespaces and devices (sudo audumsctl "
			"lab up ...)");
	traces = lab_traces(lab->name, NULL, NULL);
	if (traces)
		return lab_fail(err, -EEXIST,
			"lab %s is up already, or left %u things behind (audumsctl lab down %s "
			"removes them; --name brings a second one up)",
			lab->name, traces, lab->name);
	check_programs(&c, lab);
	check_memory(&c, lab);
	check_tun(&c);
	check_kernel(&c);
	return c.result;
}
