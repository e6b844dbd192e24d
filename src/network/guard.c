/*
 * guard.c
 *		A bound from outside of libcurl on how long it may keep the process.
 *
 * A timer on the monotonic clock sends a real-time signal to this thread; the
 * handler calls shutdown(2), which POSIX allows there, and notes that it did.
 * What is static here is what a signal handler can reach.
 */
#include "postgres.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "network/guard.h"

/* How long one call may take before its socket is cut, and the next one's (ns). */
#define FIRST_CUT_S 1
#define NEXT_CUT_NS 100000000

/* not in glibc's headers before 2.38, but in the kernel's interface */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static timer_t				 guard_timer;
static int					 guard_signal = 0; /* 0: not set up yet */
static volatile sig_atomic_t watched = -1;
static volatile sig_atomic_t cut_sockets[GUARD_MAX_CUTS];
static volatile sig_atomic_t n_cut = 0;

/* The signal's handler: cuts the socket that is being worked on. */
static void
on_guard_signal(int signal)
{
	int saved_errno = errno;
	int fd = watched;

	if (fd >= 0)
	{
		(void) shutdown(fd, SHUT_RDWR);
		if (n_cut < GUARD_MAX_CUTS)
			cut_sockets[n_cut++] = fd;
		watched = -1;
	}
	errno = saved_errno;
}

/* A real-time signal that nobody in this process has taken; 0 if there is none. */
static int
free_signal(void)
{
	for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++)
	{
		struct sigaction current;

		if (sigaction(signal, NULL, &current) == 0 && current.sa_handler == SIG_DFL)
			return signal;
	}
	return 0;
}

/* See guard.h. */
void
guard_init(void)
{
	struct sigaction action = { .sa_handler = on_guard_signal, .sa_flags = SA_RESTART };
	struct sigevent	 event = { .sigev_notify = SIGEV_THREAD_ID };
	int				 signal;

	if (guard_signal != 0)
		return;
	signal = free_signal();
	event.sigev_signo = signal;
	event.sigev_notify_thread_id = (pid_t) syscall(SYS_gettid);
	sigfillset(&action.sa_mask);
	if (signal == 0 || sigaction(signal, &action, NULL) != 0 ||
		timer_create(CLOCK_MONOTONIC, &event, &guard_timer) != 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("could not set up a timer for HTTP requests: %m")));
	guard_signal = signal;
}

/* See guard.h. */
void
guard_leave_unblocked(sigset_t *signals)
{
	Assert(guard_signal != 0);
	sigdelset(signals, guard_signal);
}

/* See guard.h. */
void
guard_raise(void)
{
	struct itimerspec times = { .it_value.tv_sec = FIRST_CUT_S,
								.it_interval.tv_nsec = NEXT_CUT_NS };

	n_cut = 0;
	timer_settime(guard_timer, 0, &times, NULL);
}

/* See guard.h. */
void
guard_watch(int fd)
{
	watched = fd;
}

/* See guard.h. */
void
guard_forget(int fd)
{
	if (watched == fd)
		watched = -1;
}

/* See guard.h. */
int
guard_lower(int cuts[GUARD_MAX_CUTS])
{
	struct itimerspec times = { 0 };
	int				  count;

	timer_settime(guard_timer, 0, &times, NULL);
	watched = -1;
	count = n_cut;
	for (int i = 0; i < count; i++)
		cuts[i] = cut_sockets[i];
	return count;
}
