/* SPDX-License-Identifier: MIT */
/* Signals that this process catches.
 *
 * The handler notes the signal in each set that wants it, and writes to the set's eventfd. Whoever waits polls that
 * descriptor too, so a signal that comes just before the wait ends it as well, and so does one that another thread
 * handles.
 *
 * The handler may interrupt anything. So the sets are static, and everything that it touches is atomic. SA_RESTART,
 * because other libraries' reads and writes must not fail for a signal that concerns them not at all; poll(2) is
 * interrupted all the same. SA_ONSTACK, because hosts with small stacks (Go) demand it.
 *
 * A forked child has a copy of the sets, and at first the parent's eventfds. There, the handler only notes the signal;
 * the child gets eventfds of its own when it next uses a set. */
#define _GNU_SOURCE
#include "base/caught.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/process.h"

#define NUMBERS 32 /* of signals */

struct set {
	const lua_State *_Atomic state; /* NULL: free */
	_Atomic uint32_t wanted;
	_Atomic uint32_t came;
	_Atomic uint32_t came_in; /* the process they came to; a child doesn't have its parent's */
	_Atomic uint32_t process; /* the process that made the eventfd */
	_Atomic uint32_t writers; /* handlers that are about to write to the eventfd */
	_Atomic int fd;		  /* -1: closed */
};

static struct set sets[LBPF_CAUGHT_MOST];
static _Atomic unsigned int used; /* sets from here on were never open */

_Atomic bool lbpf_caught_any;

/* What handled a signal before the first set wanted it, and how many sets do. */
static struct {
	unsigned int users;
	struct sigaction before;
} actions[NUMBERS];

/* ---- the handler ---- */

static void set_ring(struct set *set)
{
	uint64_t one = 1;
	int fd;

	set->writers++;
	fd = set->fd;
	if (fd >= 0)
		(void)!write(fd, &one, sizeof(one)); /* EAGAIN: it is readable anyway */
	set->writers--;
}

/* Returns whether the set wants the signal. */
static bool set_note(struct set *set, uint32_t bit, uint32_t here)
{
	if (!(set->wanted & bit))
		return false;
	if (set->came_in != here) {
		set->came = 0;
		set->came_in = here;
	}
	set->came |= bit;
	lbpf_caught_any = true;
	if (set->process == here)
		set_ring(set);
	return true;
}

static void caught(int number);

static bool is_ours(const struct sigaction *action)
{
	return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == caught;
}

/* If no set wants the signal, somebody who had replaced our handler has put it back after the last set was closed, or
 * calls it from his own. What was there before us gets the signal: in the first case, by being put back. In the second,
 * his handler stays, and so does the process if what was there before is the kernel's doing. */
static void pass_on(int number)
{
	const struct sigaction *before = &actions[number].before;
	struct sigaction now;

	if (sigaction(number, NULL, &now))
		return;
	if (is_ours(&now)) {
		if (sigaction(number, before, NULL) == 0)
			raise(number); /* comes once this handler has returned */
	} else if (!(before->sa_flags & SA_SIGINFO) && before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
		before->sa_handler(number);
	}
}

static void caught(int number)
{
	uint32_t here = lbpf_process_number();
	bool wanted = false;
	int err = errno;

	for (unsigned int i = 0; i < used; i++)
		wanted |= set_note(&sets[i], LBPF_CAUGHT_BIT(number), here);
	if (!wanted)
		pass_on(number);
	errno = err;
}

/* ---- what handled the signals before ---- */

/* Opening and closing exclude each other. The lock has the number of the process, so that a child doesn't wait for a
 * thread that only its parent has. */
static _Atomic uint32_t lock;

static void lock_take(void)
{
	uint32_t here = lbpf_process_number(), holder = lock;

	while (holder == here || !atomic_compare_exchange_weak(&lock, &holder, here)) {
		sched_yield();
		holder = lock;
	}
}

static void lock_give(void)
{
	lock = 0;
}

static void action_take(int number)
{
	/* No other signal interrupts the handler, so a set has one writer in a thread. */
	struct sigaction ours = { .sa_handler = caught, .sa_flags = SA_RESTART | SA_ONSTACK }, before;

	sigfillset(&ours.sa_mask);
	actions[number].users++;
	if (sigaction(number, &ours, &before) == 0 && !is_ours(&before))
		actions[number].before = before;
}

/* If somebody has put another handler in the place of ours, that one stays. */
static void action_give(int number)
{
	struct sigaction now;

	if (--actions[number].users == 0 && sigaction(number, NULL, &now) == 0 && is_ours(&now))
		sigaction(number, &actions[number].before, NULL);
}

static void actions_do(uint32_t wanted, void (*act)(int number))
{
	for (int number = 1; number < NUMBERS; number++)
		if (wanted & LBPF_CAUGHT_BIT(number))
			act(number);
}

/* ---- sets ---- */

static uint32_t set_came(const struct set *set)
{
	return set->came_in == lbpf_process_number() ? set->came : 0;
}

/* Looks anew whether there is something to take. A handler sets the flag after it has noted its signal. */
static void look_anew(void)
{
	lbpf_caught_any = false;
	for (unsigned int i = 0; i < used; i++)
		if (sets[i].state && set_came(&sets[i]))
			lbpf_caught_any = true;
}

/* In a child: replaces the parent's eventfd by one of its own, with the same number. Returns 0 or an errno. */
static int set_renew(struct set *set)
{
	uint32_t here = lbpf_process_number();
	int fd, err;

	if (lbpf_likely(set->process == here))
		return 0;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return errno;
	err = dup3(fd, set->fd, O_CLOEXEC) < 0 ? errno : 0;
	close(fd);
	if (err)
		return err;
	set->writers = 0; /* those of the parent's other threads */
	set->process = here;
	if (set_came(set))
		set_ring(set);
	return 0;
}

/* Makes the descriptor readable exactly if there are signals to take. */
static void set_settle(struct set *set)
{
	uint64_t count;

	if (set_renew(set))
		return;
	(void)!read(set->fd, &count, sizeof(count));
	if (set_came(set))
		set_ring(set);
}

static struct set *free_set(void)
{
	for (unsigned int i = 0; i < LBPF_CAUGHT_MOST; i++)
		if (!sets[i].state) {
			used = i < used ? used : i + 1;
			return &sets[i];
		}
	errno = ENOSPC;
	return NULL;
}

int lbpf_caught_open(const lua_State *state, uint32_t wanted, int *number)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), err = 0;
	struct set *set;

	if (fd < 0)
		return errno;
	lock_take();
	set = free_set();
	if (set) {
		set->came = 0;
		set->process = lbpf_process_number();
		set->writers = 0;
		set->fd = fd;
		set->wanted = wanted;
		set->state = state;
		actions_do(wanted, action_take);
		*number = (int)(set - sets);
	} else {
		err = errno;
	}
	lock_give();
	if (err)
		close(fd);
	return err;
}

/* Waits for handlers in other threads that may still write to the descriptor. */
void lbpf_caught_close(int number)
{
	struct set *set = &sets[number];
	bool here = set->process == lbpf_process_number();
	int fd;

	lock_take();
	actions_do(set->wanted, action_give);
	set->wanted = 0;
	fd = atomic_exchange(&set->fd, -1);
	while (here && set->writers)
		sched_yield();
	close(fd);
	set->came = 0;
	set->state = NULL;
	look_anew();
	lock_give();
}

uint32_t lbpf_caught_wanted(int number)
{
	return sets[number].wanted;
}

uint32_t lbpf_caught_look(int number)
{
	return set_came(&sets[number]);
}

bool lbpf_caught_take(int number, uint32_t came)
{
	struct set *set = &sets[number];
	uint32_t before = set_came(set);

	if ((before & came) != came)
		return false;
	set->came &= ~came;
	set_settle(set);
	look_anew();
	return true;
}

int lbpf_caught_fd(int number)
{
	int err = set_renew(&sets[number]);

	errno = err;
	return err ? -1 : sets[number].fd;
}

/* ---- waits ---- */

bool lbpf_caught_look_all(const lua_State *state)
{
	for (unsigned int i = 0; i < used; i++)
		if (sets[i].state == state && set_came(&sets[i]))
			return true;
	return false;
}

nfds_t lbpf_caught_list(const lua_State *state, struct pollfd *list)
{
	nfds_t n = 0;

	for (unsigned int i = 0; i < used; i++)
		if (sets[i].state == state && !set_renew(&sets[i]))
			list[n++] = (struct pollfd){ .fd = sets[i].fd, .events = POLLIN };
	return n;
}

void lbpf_caught_settle(const lua_State *state)
{
	for (unsigned int i = 0; i < used; i++)
		if (sets[i].state == state)
			set_settle(&sets[i]);
}
