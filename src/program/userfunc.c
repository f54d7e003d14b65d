/* SPDX-License-Identifier: MIT */
/* Functions of programs and libraries that uprobes are put on: finding their offset in the file.
 *
 * libbpf finds functions by name as well. But if a function has several versions, it takes any of them (before 1.3) or
 * the first that isn't weak. If the function is chosen when a process starts (STT_GNU_IFUNC), it finds none, or an old
 * one that nothing calls. So libbpf gets the offset in the file. */
#define _GNU_SOURCE
#include "program/userfunc.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "btf/elf.h"

/* ---- files ---- */

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#elif defined(__riscv)
#define MULTIARCH "riscv64-linux-gnu"
#elif defined(__s390x__)
#define MULTIARCH "s390x-linux-gnu"
#elif defined(__powerpc64__)
#define MULTIARCH "powerpc64le-linux-gnu"
#else
#define MULTIARCH ""
#endif

static bool is_library(const char *name)
{
	size_t len = strlen(name);

	return strstr(name, ".so.") || (len >= 3 && strcmp(name + len - 3, ".so") == 0);
}

/* Searches for the file in a list of directories that is separated by colons. */
static bool search(char room[PATH_MAX], const char *directories, const char *name, int access)
{
	while (directories && *directories) {
		size_t len = strcspn(directories, ":");
		int n = snprintf(room, PATH_MAX, "%.*s/%s", (int)len, directories, name);

		if (len && n > 0 && n < PATH_MAX && faccessat(AT_FDCWD, room, access, AT_EACCESS) == 0)
			return true;
		directories += len + (directories[len] == ':');
	}
	return false;
}

const char *lbpf_userfunc_path(char room[PATH_MAX], const char *path)
{
	bool library = is_library(path);
	int access = library ? R_OK : R_OK | X_OK;

	if (strchr(path, '/'))
		return path;
	if (search(room, getenv(library ? "LD_LIBRARY_PATH" : "PATH"), path, access))
		return room;
	if (search(room, library ? "/usr/lib64:/usr/lib:/lib/" MULTIARCH ":/usr/lib/" MULTIARCH : "/usr/bin:/usr/sbin",
		   path, access))
		return room;
	return path;
}

/* Opens the file. Returns 0, an errno, or -1 if its symbols have a form that we don't read. */
static int open_file(struct lbpf_elf *elf, const char *path)
{
	char room[PATH_MAX];
	struct stat at;
	int err, fd = open(lbpf_userfunc_path(room, path), O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	*elf = (struct lbpf_elf){ .fd = fd };
	if (fd < 0)
		return errno == ENOENT && strstr(path, "!/") ? -1 : errno;
	if (fstat(fd, &at))
		return errno;
	if (!S_ISREG(at.st_mode))
		return S_ISDIR(at.st_mode) ? EISDIR : ENOEXEC;
	err = lbpf_elf_open_any(elf, fd, NULL, (uint64_t)at.st_size);
	if (err && memcmp(elf->head.e_ident, ELFMAG, SELFMAG) == 0 && elf->head.e_ident[EI_CLASS] == ELFCLASS32)
		return -1;
	if (err != ELIBBAD || elf->head.e_shoff)
		return err;
	elf->count = 0; /* a program without a section table can run, too */
	return 0;
}

static void close_file(struct lbpf_elf *elf)
{
	lbpf_elf_close(elf);
	if (elf->fd >= 0)
		close(elf->fd);
}

/* ---- functions ---- */

static int errno_of(const struct lbpf_elfsym *place)
{
	switch (place->found) {
	case LBPF_ELFSYM_FOUND:
		return 0;
	case LBPF_ELFSYM_CHOSEN:
		return EOPNOTSUPP;
	case LBPF_ELFSYM_SEVERAL:
	case LBPF_ELFSYM_VERSIONS:
		return ENOTUNIQ;
	case LBPF_ELFSYM_NOWHERE:
		return EINVAL;
	default:
		return ENOENT;
	}
}

/* The first function or place that was not found; NULL if all were. */
static const struct lbpf_elfsym *first_bad(const struct lbpf_elfsym *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].found != LBPF_ELFSYM_FOUND)
			return &list[i];
	return NULL;
}

int lbpf_userfunc_find(const char *path, struct lbpf_elfsym *list, size_t count)
{
	const struct lbpf_elfsym *bad;
	struct lbpf_elf elf;
	int err = open_file(&elf, path);

	if (!err)
		err = lbpf_elfsym_find(&elf, list, count);
	close_file(&elf);
	if (err == ENOEXEC || err == ELIBBAD)
		return list->name ? LIBBPF_ERRNO__FORMAT : -1;
	bad = err ? NULL : first_bad(list, count);
	return bad ? errno_of(bad) : err;
}

/* ---- in words ---- */

static const char *push_file_cause(lua_State *L, const char *path, int err)
{
	if (err == ENOENT && !strchr(path, '/'))
		return lua_pushfstring(L, "there is no %s '%s' in the folders of programs and libraries",
				       is_library(path) ? "library" : "program", path);
	if (err == LIBBPF_ERRNO__FORMAT)
		return lua_pushfstring(L, "'%s' is neither a program nor a library (ELF), or it is damaged", path);
	return lua_pushfstring(L, "'%s': %s", path, strerrordesc_np(err));
}

static const char *push_place_cause(lua_State *L, const char *path, const struct lbpf_elfsym *place)
{
	char text[256];

	snprintf(text, sizeof(text), "no code is at 0x%" PRIx64 "; an offset in the file is wanted, not an address",
		 place->offset);
	if (place->meant)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ": for this one, 0x%" PRIx64, place->meant);
	return lua_pushfstring(L, "'%s': %s", path, text);
}

/* Whether both paths refer to the same file. The numbers of device and inode in /proc/self/maps can't be compared,
 * because they may be those of the layer below an overlay. */
static bool is_same(const char *one, const char *other)
{
	struct stat a, b;

	return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* The offset in the file of an address, by a line of /proc/self/maps, "<first>-<end> <permissions> <offset> …"; 0 if
 * the address isn't in the line's range. */
static uint64_t offset_in(const char *line, uint64_t address)
{
	char *at;
	uint64_t first = strtoull(line, &at, 16), end = *at == '-' ? strtoull(at + 1, &at, 16) : 0;

	at = *at == ' ' ? strchr(at + 1, ' ') : NULL;
	return at && address >= first && address < end ? address - first + strtoull(at, NULL, 16) : 0;
}

/* The offset in the file of the function that this process has under a name. Another process may have another function
 * under the same name. 0 if there is none, or it is in another file. */
static uint64_t chosen_here(const char *path, const char *name)
{
	uint64_t address = (uintptr_t)dlsym(RTLD_DEFAULT, name), found = 0;
	FILE *maps = address ? fopen("/proc/self/maps", "re") : NULL;
	char line[PATH_MAX + 128], room[PATH_MAX];
	const char *from;

	while (maps && !found && fgets(line, sizeof(line), maps))
		found = offset_in(line, address);
	if (maps)
		fclose(maps);
	if (!found)
		return 0;
	line[strcspn(line, "\n")] = '\0';
	from = strchr(line, '/');
	return from && is_same(from, lbpf_userfunc_path(room, path)) ? found : 0;
}

static const char *push_chosen_cause(lua_State *L, const char *path, const char *name)
{
	uint64_t here = chosen_here(path, name);
	char text[64] = "";

	if (here)
		snprintf(text, sizeof(text), ", 0x%" PRIx64 " in this process", here);
	return lua_pushfstring(L,
			       "'%s' chooses when a process starts which function '%s' is (IFUNC): give the name of "
			       "the chosen one, or its offset in the file%s",
			       path, name, text);
}

/* Messages about a file and a function. */
static const char *const words[] = {
	[LBPF_ELFSYM_ABSENT] = "'%s' has no function '%s'",
	[LBPF_ELFSYM_STRIPPED] = "'%s' exports no function '%s', and it is stripped: it has no symbols of others; give "
				 "the function's offset in the file",
	[LBPF_ELFSYM_SEVERAL] = "'%s' has several functions '%s': give the offset of one in the file",
	[LBPF_ELFSYM_VERSIONS] = "'%s' has several versions of '%s', none of them the default: give one, as in "
				 "name@version",
	[LBPF_ELFSYM_NOWHERE] = "'%s' has no code for its function '%s'",
};

const char *lbpf_userfunc_cause(lua_State *L, const char *path, const struct lbpf_elfsym *list, size_t count, int err)
{
	const struct lbpf_elfsym *bad = first_bad(list, count);

	if (!bad || bad->found == LBPF_ELFSYM_UNSEEN)
		return push_file_cause(L, path, err);
	if (!bad->name)
		return push_place_cause(L, path, bad);
	if (bad->found == LBPF_ELFSYM_CHOSEN)
		return push_chosen_cause(L, path, bad->name);
	return lua_pushfstring(L, words[bad->found], path, bad->name);
}

const char *lbpf_userfunc_no_probe(lua_State *L, const char *path, const char *provider, const char *name)
{
	struct lbpf_elf elf;
	int err = open_file(&elf, path);
	bool probes = false;

	for (size_t i = 1; i < elf.count && !err; i++)
		probes |= strcmp(lbpf_elf_name(&elf, i), ".note.stapsdt") == 0;
	close_file(&elf);
	if (err < 0)
		return NULL;
	if (err)
		return push_file_cause(L, path, err == ENOEXEC || err == ELIBBAD ? LIBBPF_ERRNO__FORMAT : err);
	return probes ? lua_pushfstring(L, "'%s' has no USDT probe %s:%s", path, provider, name)
		      : lua_pushfstring(L, "'%s' has no USDT probes (no section .note.stapsdt)", path);
}
