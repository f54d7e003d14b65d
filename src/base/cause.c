/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/cause.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <lauxlib.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>

#include "base/printed.h"
#include "base/raise.h"

/* ---- file systems that may be missing ---- */

static bool is_missing(const char *path)
{
	return access(path, F_OK) && errno == ENOENT;
}

/* Whether a file system of this kind is mounted at path. In a chroot or a container it may not be. */
static bool is_mounted(const char *path, long magic)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (long)fs.f_type == magic;
}

const char *lbpf_no_sys(void)
{
	return is_mounted("/sys", SYSFS_MAGIC) ? NULL : "/sys is not mounted here";
}

const char *lbpf_no_tracefs(void)
{
	if (!is_missing("/sys/kernel/tracing/events") || !is_missing("/sys/kernel/debug/tracing/events"))
		return NULL;
	if (!is_mounted("/sys", SYSFS_MAGIC))
		return "/sys is not mounted here, which tracefs is found below";
	return "tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing)";
}

const char *lbpf_no_kernel_btf(void)
{
	if (!is_missing("/sys/kernel/btf/vmlinux"))
		return NULL;
	if (!is_mounted("/sys", SYSFS_MAGIC))
		return "/sys is not mounted here, so the kernel's BTF, /sys/kernel/btf/vmlinux, can't be read";
	return "there is no /sys/kernel/btf/vmlinux; perhaps this kernel was built without CONFIG_DEBUG_INFO_BTF";
}

const char *lbpf_no_proc(void)
{
	return is_mounted("/proc", PROC_SUPER_MAGIC) ? NULL : "/proc is not mounted here";
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

/* The capabilities that messages name. CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON, which were split off from it in
 * Linux 5.8. */
static const struct {
	const char *name;
	uint64_t any; /* the process has the capability if it has any of these bits */
} known[] = {
	{ "CAP_BPF", BIT(39) | BIT(CAP_SYS_ADMIN) },
	{ "CAP_PERFMON", BIT(38) | BIT(CAP_SYS_ADMIN) },
	{ "CAP_NET_ADMIN", BIT(CAP_NET_ADMIN) },
	{ "CAP_SYS_ADMIN", BIT(CAP_SYS_ADMIN) },
};

uint64_t lbpf_effective(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data))
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

/* Whether the process is in a user namespace other than the initial one. *sure becomes false if /proc doesn't tell. */
static bool in_user_namespace(bool *sure)
{
	const ino_t initial = 0xEFFFFFFD; /* the kernel's PROC_USER_INIT_INO */
	struct stat namespace;

	*sure = stat("/proc/self/ns/user", &namespace) == 0;
	return *sure && namespace.st_ino != initial;
}

bool lbpf_takes_token(void)
{
	bool sure;
	int err = errno; /* the caller's errno, which it returns later */
	bool takes = in_user_namespace(&sure);

	errno = err;
	return takes;
}

/* The process's capabilities that count for BPF. In a user namespace of its own a process has many capabilities, but
 * the kernel ignores them here. *sure becomes false if it isn't known whether the process is in one. */
static uint64_t capabilities_of_ours(bool *sure)
{
	return in_user_namespace(sure) ? 0 : lbpf_effective();
}

/* Whether a seccomp filter checks system calls of this thread, as far as /proc tells. */
static bool has_seccomp(void)
{
	static const char field[] = "\nSeccomp:\t";
	char status[8192];
	const char *at;
	int fd = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, status, sizeof(status) - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	status[n] = '\0';
	at = strstr(status, field);
	return at && at[sizeof(field) - 1] == '2'; /* SECCOMP_MODE_FILTER */
}

/* Pushes a list of the capabilities that the text names and that are in the set `some`; or, if `among` is false, that
 * are not in it. The list is "CAP_A, CAP_B or CAP_C", with `last` before the last one; "" if it is empty. */
static const char *push_names(lua_State *L, const char *text, uint64_t some, bool among, const char *last)
{
	const char *names[sizeof(known) / sizeof(*known)];
	size_t count = 0;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strstr(text, known[i].name) && !(some & known[i].any) != among)
			names[count++] = known[i].name;
	lua_pushliteral(L, "");
	for (size_t i = 0; i < count; i++) {
		lua_pushfstring(L, "%s%s%s", lua_tostring(L, -1), i == 0 ? "" : i + 1 < count ? ", " : last, names[i]);
		lua_remove(L, -2);
	}
	return lua_tostring(L, -1);
}

const char *lbpf_no_bpf(void)
{
	return has_seccomp() ? "this process's seccomp filter forbids bpf(2)" : "this kernel has no bpf(2)";
}

bool lbpf_has_capabilities(const char *capabilities)
{
	bool sure;
	int err = errno; /* the caller's errno, which it returns later */
	uint64_t ours = capabilities_of_ours(&sure);

	errno = err;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strstr(capabilities, known[i].name) && !(ours & known[i].any))
			return false;
	return true;
}

struct powers {
	/* Of the requested capabilities: those that the process lacks, and those that it has; both on the Lua stack. */
	const char *missing, *there;
	bool sure, seccomp;
};

static struct powers push_powers(lua_State *L, const char *capabilities)
{
	int err = errno; /* the caller's errno, which it returns later */
	struct powers p = { .seccomp = has_seccomp() };
	uint64_t ours = capabilities_of_ours(&p.sure);

	luaL_checkstack(L, 20, NULL);
	p.missing = push_names(L, capabilities, ours, false, " or ");
	p.there = push_names(L, capabilities, ours, true, " and ");
	errno = err;
	return p;
}

/* Pushes ", though this process has …; perhaps by …". */
static const char *push_other_causes(lua_State *L, const struct powers *p)
{
	return lua_pushfstring(L,
			       ", though this process has %s%s; perhaps by %slockdown, a security module or the "
			       "kernel's configuration",
			       p->there, p->sure ? "" : ", if it is in no user namespace (/proc is not mounted here)",
			       p->seccomp ? "its seccomp filter, " : "");
}

const char *lbpf_refused(lua_State *L, const char *capabilities)
{
	struct powers p = push_powers(L, capabilities);

	if (!*p.missing)
		return lua_pushfstring(L, "refused%s", push_other_causes(L, &p));
	return lua_pushfstring(L, "refused; perhaps %s is missing%s", p.missing,
			       p.seccomp ? ", or this process's seccomp filter forbids it" : "");
}

const char *lbpf_refused_attach(lua_State *L, uint32_t prog_type)
{
	static const struct {
		uint64_t types;
		const char *capabilities;
	} rows[] = {
		/* uprobes need more than other events, and the program doesn't tell whether it is for a uprobe */
		{ BIT(BPF_PROG_TYPE_KPROBE), "CAP_PERFMON or CAP_SYS_ADMIN" },
		{ BIT(BPF_PROG_TYPE_TRACEPOINT) | BIT(BPF_PROG_TYPE_PERF_EVENT) | BIT(BPF_PROG_TYPE_RAW_TRACEPOINT) |
			  BIT(BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE) | BIT(BPF_PROG_TYPE_TRACING) |
			  BIT(BPF_PROG_TYPE_LSM),
		  "CAP_PERFMON" },
		{ BIT(BPF_PROG_TYPE_STRUCT_OPS) | BIT(BPF_PROG_TYPE_EXT), "CAP_BPF or CAP_SYS_ADMIN" },
		{ UINT64_MAX, "CAP_NET_ADMIN" },
	};
	size_t i = 0;

	while (!(rows[i].types & BIT(prog_type & 63)))
		i++;
	if (lbpf_has_capabilities(rows[i].capabilities) && !has_seccomp())
		return NULL;
	return lbpf_refused(L, rows[i].capabilities);
}

/* ---- programs ---- */

const char *lbpf_refused_kind(lua_State *L, const char *kind, const char *capabilities)
{
	struct powers p = push_powers(L, capabilities);
	const char *causes = !*p.missing
		? push_other_causes(L, &p)
		: lua_pushfstring(L, "; perhaps %s is missing, or %slockdown or a security module forbids it",
				  p.missing, p.seccomp ? "its seccomp filter, " : "");

	return lua_pushfstring(L, "the kernel refused this kind of program (%s) before verifying it%s", kind, causes);
}

/* Whether a line of the verifier's log says nothing about what is wrong. For an infinite loop, the states come after
 * the line that says what is wrong. */
static bool is_chatter(const char *line)
{
	static const char *const begins[] = { "func#",	    "verification time ", "stack depth ", "insns processed ",
					      "cur state:", "old state:",	  "Live regs ",	  "Validating " };

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

/* Whether a line of the verifier's log is its trace through the program: an instruction, or what is known of registers
 * there. */
static bool is_trace(const char *line, size_t len)
{
	static const char *const begins[] = { "; ",	"from ",     "Func#",	"mark_precise: ",
					      "regs=",	"last_idx ", "parent ", "propagating ",
					      " frame", "caller:",   "callee:", " R" };
	size_t digits = strspn(line, "0123456789");

	for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++)
		if (strncmp(line, begins[i], strlen(begins[i])) == 0)
			return true;
	return (digits && digits < len && line[digits] == ':') || strncmp(line, "processed ", 10) == 0;
}

/* Pushes "; source: …" with the line of source that comes before the complaint in the log, or "" if there is none.
 * Since Linux 6.9 the line ends in " @ <file>:<line>". */
static const char *push_source(lua_State *L, const char *log, const char *complaint)
{
	const char *line = complaint;
	size_t len;

	while (line > log) {
		line--;
		if (strncmp(line, "; ", 2) != 0 || (line > log && line[-1] != '\n') || strncmp(line, ";  @ ", 5) == 0)
			/* "; @" without text: code that clang added, which belongs to no line. */
			continue;
		len = strcspn(line, "\n") - 2;
		return lua_pushfstring(L, "; source: %s", lua_pushlstring(L, line + 2, len));
	}
	return lua_pushliteral(L, "");
}

/* Whether the errno says that the kernel has run out of something, which has nothing to do with the program. */
static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == EAGAIN || err == EINTR;
}

const char *lbpf_verifier_push(lua_State *L, const char *log, int err)
{
	size_t len;
	const char *complaint = lbpf_verifier_complaint(log, &len), *source;

	if (!complaint)
		return NULL;
	if (is_shortage(err) || is_trace(complaint, len))
		return lua_pushfstring(L, "not loaded, though the verifier has nothing against it: %s",
				       strerrordesc_np(err) ? strerrordesc_np(err) : "unknown error");
	source = push_source(L, log, complaint);
	return lua_pushfstring(L, "refused by the verifier: %s%s", lua_pushlstring(L, complaint, len), source);
}

/* ---- loads ---- */

const char *lbpf_load_cause(lua_State *L, const char *text, int err)
{
	size_t len;
	const char *cause = lbpf_printed_cause(text, &len);

	if (err == EPERM)
		return lbpf_refused(L, "CAP_BPF, CAP_PERFMON or CAP_NET_ADMIN");
	if (err == ENOSYS)
		return lbpf_no_bpf();
	if (err == ESRCH && lbpf_no_kernel_btf())
		return lbpf_no_kernel_btf();
	return cause ? lua_pushlstring(L, cause, len) : NULL;
}
