/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cause.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <lauxlib.h>
#include <linux/capability.h>
#include <linux/magic.h>

/* ---- tracefs ---- */

static bool is_missing(const char *path)
{
	return access(path, F_OK) && errno == ENOENT;
}

const char *lbpf_no_tracefs(void)
{
	bool missing = is_missing("/sys/kernel/tracing/events") && is_missing("/sys/kernel/debug/tracing/events");

	return missing ? "tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing)" : NULL;
}

/* ---- bpffs ---- */

static bool is_elsewhere(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type != BPF_FS_MAGIC;
}

const char *lbpf_pin_cause(const char *path, int err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t len = (size_t)(name - path);
	char dir[256];

	if (len >= sizeof(dir))
		return NULL;
	memcpy(dir, len ? path : ".", len ? len : 1);
	dir[len ? len : 1] = '\0';
	if (is_elsewhere(dir))
		return "the directory is on no bpffs (mount -t bpf bpf /sys/fs/bpf)";
	if (strchr(name, '.') && (err == EPERM || err == EINVAL))
		return "names on a bpffs may not contain '.'";
	return NULL;
}

const char *lbpf_no_pin(const char *path)
{
	struct stat at;

	if (stat(path, &at) == 0 && S_ISDIR(at.st_mode))
		return "this is no pin, but a directory";
	return is_elsewhere(path) ? "this is no pin: it is on no bpffs" : NULL;
}

/* ---- capabilities ---- */

#define BIT(n) (UINT64_C(1) << (n))

/* CAP_SYS_ADMIN stands for those that were split off from it. */
static const struct {
	const char *name;
	uint64_t any; /* one of these will do */
} known[] = {
	{ "CAP_BPF", BIT(39) | BIT(CAP_SYS_ADMIN) },
	{ "CAP_PERFMON", BIT(38) | BIT(CAP_SYS_ADMIN) },
	{ "CAP_NET_ADMIN", BIT(CAP_NET_ADMIN) },
	{ "CAP_SYS_ADMIN", BIT(CAP_SYS_ADMIN) },
};

/* Those that count: in a user namespace of its own, a process has many that are good for nothing here. */
static uint64_t capabilities_of_ours(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	const ino_t initial = 0xEFFFFFFD; /* the kernel's PROC_USER_INIT_INO */
	struct stat namespace;

	if (stat("/proc/self/ns/user", &namespace) || namespace.st_ino != initial)
		return 0;
	if (syscall(SYS_capget, &header, data))
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

bool lbpf_has_capabilities(const char *capabilities)
{
	int err = errno; /* which callers have yet to pass on */
	uint64_t ours = capabilities_of_ours();

	errno = err;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strstr(capabilities, known[i].name) && !(ours & known[i].any))
			return false;
	return true;
}

/* Pushes ", though this process has …; perhaps by …". */
static const char *push_other_causes(lua_State *L, const char *capabilities)
{
	luaL_gsub(L, capabilities, " or ", " and ");
	return lua_pushfstring(L,
			       ", though this process has %s; perhaps by lockdown, a security module or the kernel's "
			       "configuration",
			       lua_tostring(L, -1));
}

const char *lbpf_refused(lua_State *L, const char *capabilities)
{
	if (lbpf_has_capabilities(capabilities))
		return lua_pushfstring(L, "refused%s", push_other_causes(L, capabilities));
	return lua_pushfstring(L, "refused; perhaps %s is missing", capabilities);
}

/* ---- programs ---- */

const char *lbpf_refused_kind(lua_State *L, const char *kind, const char *capabilities)
{
	const char *causes = lbpf_has_capabilities(capabilities)
		? push_other_causes(L, capabilities)
		: lua_pushfstring(L, "; perhaps %s is missing, or lockdown or a security module forbids it",
				  capabilities);

	return lua_pushfstring(L, "the kernel refused this kind of program (%s) before verifying it%s", kind, causes);
}

/* What the verifier writes whatever it thinks of a program. Of an infinite loop, the states come behind what it says
 * of it. */
static bool is_chatter(const char *line)
{
	static const char *const begins[] = { "func#",	    "verification time ", "stack depth ", "insns processed ",
					      "cur state:", "old state:" };

	for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++)
		if (strncmp(line, begins[i], strlen(begins[i])) == 0)
			return true;
	return false;
}

const char *lbpf_verifier_complaint(const char *log, size_t *len)
{
	static const char statistics[] = "processed ", none[] = "processed 0 ";
	const char *found = NULL, *line = log, *end;

	for (; *line && strncmp(line, statistics, sizeof(statistics) - 1) != 0; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		if (end > line && !is_chatter(line)) {
			found = line;
			*len = (size_t)(end - line);
		}
	}
	if (!found && *line && strncmp(line, none, sizeof(none) - 1) != 0) {
		found = line;
		*len = strcspn(line, "\n");
	}
	return found;
}
