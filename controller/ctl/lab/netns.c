/*
 * Named network namespaces, as `ip netns` makes them: a bind mount in /run/netns keeps one alive.
 *
 * The calling thread switches and always comes back; nothing else of the process changes. Called by
 * all of the lab library.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/rtnl.h"

static void netns_path(const char *name, char out[LAB_PATH_LEN])
{
	snprintf(out, LAB_PATH_LEN, LAB_NETNS_DIR "/%s", name);
}

bool netns_exists(const char *name)
{
	char path[LAB_PATH_LEN];

	netns_path(name, path);
	return access(path, F_OK) == 0;
}

int netns_open(const char *name)
{
	char path[LAB_PATH_LEN];
	int fd;

	netns_path(name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

ino_t netns_inode(const char *name)
{
	char path[LAB_PATH_LEN];
	struct stat st;

	netns_path(name, path);
	return stat(path, &st) ? 0 : st.st_ino;
}

int lab_netns_enter(const char *netns)
{
	int back, fd, ret;

	back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (back < 0)
		return -errno;
	fd = netns_open(netns);
	if (fd < 0) {
		ret = fd;
		goto out_back;
	}
	if (setns(fd, CLONE_NEWNET)) {
		ret = -errno;
		goto out;
	}
	close(fd);
	return back;
out:
	close(fd);
out_back:
	close(back);
	return ret;
}

void lab_netns_leave(int back)
{
	/* can only fail when the descriptor is none of ours: going on elsewhere would be worse */
	if (setns(back, CLONE_NEWNET))
		_exit(70);
	close(back);
}

/*
 * The directory is a shared mount, so that removing a name reaches the other mount namespaces of
 * the machine too (what `ip netns` does; see ip-netns(8)).
 */
static int netns_dir_make(void)
{
	if (mkdir(LAB_NETNS_DIR, 0755) && errno != EEXIST)
		return -errno;
	if (!mount("", LAB_NETNS_DIR, "none", MS_SHARED | MS_REC, NULL))
		return 0;
	if (errno != EINVAL)
		return -errno;
	if (mount(LAB_NETNS_DIR, LAB_NETNS_DIR, "none", MS_BIND | MS_REC, NULL))
		return -errno;
	if (mount("", LAB_NETNS_DIR, "none", MS_SHARED | MS_REC, NULL))
		return -errno;
	return 0;
}

int netns_create(const char *name)
{
	char path[LAB_PATH_LEN];
	struct rtnl *nl = NULL;
	int back, fd, ret;

	ret = netns_dir_make();
	if (ret)
		return ret;
	netns_path(name, path);
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return -errno;
	close(fd);

	back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (back < 0) {
		ret = -errno;
		goto out_unlink;
	}
	if (unshare(CLONE_NEWNET)) {
		ret = -errno;
		close(back);
		goto out_unlink;
	}
	if (mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL))
		ret = -errno;
	lab_netns_leave(back);
	if (ret)
		goto out_unlink;

	ret = rtnl_open(&nl, name);
	if (!ret)
		ret = rtnl_link_up(nl, "lo", true);
	rtnl_close(nl);
	if (ret)
		netns_delete(name);
	return ret;
out_unlink:
	unlink(path);
	return ret;
}

int netns_delete(const char *name)
{
	char path[LAB_PATH_LEN];

	netns_path(name, path);
	/* several mounts may lie on one name after a crash in between */
	while (!umount2(path, MNT_DETACH))
		;
	if (unlink(path) && errno != ENOENT)
		return -errno;
	return 0;
}

int netns_sysctl(const char *name, const char *key, const char *value)
{
	char path[LAB_PATH_LEN];
	int back, fd, ret = 0;

	back = lab_netns_enter(name);
	if (back < 0)
		return back;
	snprintf(path, sizeof(path), "/proc/sys/%s", key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		goto out;
	}
	if (write(fd, value, strlen(value)) < 0)
		ret = -errno;
	close(fd);
out:
	lab_netns_leave(back);
	return ret;
}

int lab_exec(const char *netns, char *const argv[], struct lab_err *err)
{
	int back = lab_netns_enter(netns);

	if (back < 0)
		return lab_fail(err, back, "cannot enter namespace %s: %s", netns, strerror(-back));
	close(back);
	execvp(argv[0], argv);
	return lab_fail(err, -errno, "cannot run %s: %s", argv[0], strerror(errno));
}

/* Whether a line of /proc/net/if_inet6 is the device's link-local address, its duplicates sought.
 */
static bool link_local_line(const char *line, const char *device)
{
	unsigned int flags;
	char name[LAB_IFNAME_LEN];

	return !strncmp(line, "fe80", 4) &&
	       sscanf(line, "%*s %*x %*x %*x %x %15s", &flags, name) == 2 &&
	       !(flags & IFA_F_TENTATIVE) && !strcmp(name, device);
}

int netns_ipv6_wait(const char *device, unsigned int timeout_ms)
{
	const uint64_t deadline = clock_ms() + timeout_ms;

	for (;;) {
		FILE *f = fopen("/proc/thread-self/net/if_inet6", "re");
		bool ready = false;
		char line[128];

		while (f && !ready && fgets(line, sizeof(line), f))
			ready = link_local_line(line, device);
		if (f)
			fclose(f);
		if (ready)
			return 0;
		if (clock_ms() >= deadline)
			return -ETIMEDOUT;
		poll(NULL, 0, 5);
	}
}
