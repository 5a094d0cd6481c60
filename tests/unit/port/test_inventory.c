/*
 * The inventory's parser: what is taken, and each message that a fault gets.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/port/inventory.h"

static struct inventory inventory;
static char messages[8192];

static int parse(const char *text, size_t size)
{
	FILE *errors = fmemopen(messages, sizeof(messages), "w");
	int rc;

	assert_non_null(errors);
	memset(messages, 0, sizeof(messages));
	rc = inventory_parse("ports.conf", text, size, &inventory, errors);
	fclose(errors);
	return rc;
}

static void test_good(void **state)
{
	static const char text[] =
		"# comment\n"
		"\n"
		"port up0 role=uplink backend=packet netns=/run/netns/w device=up0 tap=up0 # more\n"
		"\tport  p1\trole=access  backend=packet netns=self device=eth1.5\r\n"
		"port up1 role=uplink backend=ethdev pci=0000:03:00.0 tap=t1 mtu=9000\n"
		"port up2 role=uplink backend=ethdev pci=03:1f.7\n"
		"port up3 role=uplink backend=ethdev vdev=net_ring0,nodeaction=r0:0:CREATE";

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1), 0);
	assert_string_equal(messages, "");
	assert_int_equal(inventory.n, 5);
	assert_int_equal(inventory.ports[0].spec.role, PORT_ROLE_UPLINK);
	assert_int_equal(inventory.ports[0].spec.backend, PORT_BACKEND_PACKET);
	assert_string_equal(inventory.ports[0].netns, "/run/netns/w");
	assert_string_equal(inventory.ports[0].spec.device, "up0");
	assert_int_equal(inventory.ports[1].spec.role, PORT_ROLE_ACCESS);
	assert_string_equal(inventory.ports[1].spec.tap, "p1");
	assert_string_equal(inventory.ports[1].netns, "");
	assert_int_equal(inventory.ports[1].line, 4);
	assert_int_equal(inventory.ports[1].spec.id, 1);
	assert_int_equal(inventory.ports[2].spec.mtu, 9000);
	assert_string_equal(inventory.ports[2].spec.device, "0000:03:00.0");
	assert_int_equal(inventory.ports[3].spec.mtu, 1500);
	assert_string_equal(inventory.ports[4].spec.device, "net_ring0,nodeaction=r0:0:CREATE");
	assert_int_equal(inventory.ports[4].spec.tap_fd, -1);
}

static void test_faults(void **state)
{
	static const struct {
		const char *line, *message;
	} faults[] = {
		{"prot a", "ports.conf:2: \"prot\": expected \"port\""},
		{"port", "no port name"},
		{"port Up0 role=uplink", "\"Up0\" is no port name"},
		{"port abcdefghijklmno role=uplink", "is no port name"},
		{"port a role=uplink backend=packet netns=/n", "device is missing"},
		{"port a role=uplink backend=packet device=a", "netns is missing"},
		{"port a role=uplink backend=packet netns=n device=a", "netns \"n\": expected an"},
		{"port a role=uplink backend=packet netns=/n device=a/b", "no interface name"},
		{"port a role=uplink backend=packet netns=/n device=abcdefghijklmnop",
			"no interface name"},
		{"port a role=up backend=packet netns=/n device=a", "role is \"up\", expected"},
		{"port a backend=packet netns=/n device=a", "role is \"\", expected"},
		{"port a role=access backend=dpdk", "backend is \"dpdk\", expected"},
		{"port a role=access backend=ethdev", "either pci or vdev"},
		{"port a role=access backend=ethdev pci=1 vdev=b", "either pci or vdev"},
		{"port a role=access backend=ethdev pci=0000:03:00", "expected an address like"},
		{"port a role=access backend=ethdev pci=0000:03:20.0", "expected an address like"},
		{"port a role=access backend=ethdev vdev=a mtu=100", "mtu \"100\": expected"},
		{"port a role=access backend=ethdev vdev=a mtu=1500x", "mtu \"1500x\": expected"},
		{"port a role=access backend=ethdev vdev=a mtu=-1", "mtu \"-1\": expected"},
		{"port a role=access backend=ethdev vdev=a netns=/a", "takes no netns"},
		{"port a role=access backend=packet netns=/n device=a mtu=9", "takes no pci"},
		{"port a role=access role=access", "role is given twice"},
		{"port a role=", "role is empty"},
		{"port a colour=red", "unknown key \"colour\""},
		{"port a role", "\"role\": expected key=value"},
		{"port a tap=A", "tap \"A\": expected"},
		{"port \x1b[31mred", "\"?[31mred\" is no port name"},
		{"port ok role=access backend=packet netns=/n device=other",
			"is there already, in line 1"},
		{"port a tap=ok role=access backend=packet netns=/n device=b",
			"TAP \"ok\" is there"},
		{"port a role=access backend=packet netns=/n device=ok", "device \"ok\" is there"},
	};
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const int n = snprintf(text, sizeof(text),
			"port ok role=access backend=packet netns=/n device=ok\n%s\n",
			faults[i].line);

		assert_int_equal(parse(text, (size_t)n), -EINVAL);
		if (strstr(messages, faults[i].message) == NULL ||
			strncmp(messages, "ports.conf:2: ", 14) != 0)
			fail_msg("\"%s\": said \"%s\", not \"%s\"", faults[i].line, messages,
				faults[i].message);
	}
	/* the same device of another namespace is another device */
	snprintf(text, sizeof(text), "%s%s",
		"port a role=access backend=packet netns=/n device=x\n",
		"port b role=access backend=packet netns=/m device=x\n");
	assert_int_equal(parse(text, strlen(text)), 0);
}

static void test_bounds(void **state)
{
	char *text = malloc(INVENTORY_SIZE_MAX + 2);
	size_t size = 0;
	int i;

	(void)state;
	assert_non_null(text);
	assert_int_equal(parse("", 0), -EINVAL);
	assert_non_null(strstr(messages, "no port"));
	assert_int_equal(parse("port a\0b", 8), -EINVAL);
	assert_non_null(strstr(messages, "NUL"));
	memset(text, 'x', INVENTORY_SIZE_MAX + 2);
	assert_int_equal(parse(text, INVENTORY_SIZE_MAX + 1), -EFBIG);
	assert_int_equal(parse(text, INVENTORY_LINE_MAX + 1), -EINVAL);
	assert_non_null(strstr(messages, "line longer than"));
	for (i = 0; i < PORT_MAX + 1; i++)
		size += (size_t)sprintf(text + size,
			"port p%d role=access backend=packet netns=/n device=d%d\n", i, i);
	assert_int_equal(parse(text, size), -EINVAL);
	assert_non_null(strstr(messages, "ports.conf:257: more than 256 ports"));
	/* all errors are said, up to a bound, and how many more there are */
	for (i = 0, size = 0; i < 50; i++)
		size += (size_t)sprintf(text + size, "x\n");
	assert_int_equal(parse(text, size), -EINVAL);
	assert_non_null(strstr(messages, "ports.conf:20: "));
	assert_null(strstr(messages, "ports.conf:21: "));
	assert_non_null(strstr(messages, "30 more errors"));
	/* nobody listening is fine */
	assert_int_equal(inventory_parse("f", "x\n", 2, &inventory, NULL), -EINVAL);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
